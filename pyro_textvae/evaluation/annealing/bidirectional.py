# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A sandwich around log p(x) of sentences that the model made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.contract import TEXT_SITE, TOKENS
from pyro_textvae.evaluation.annealing.path import AnnealingSettings
from pyro_textvae.evaluation.annealing.sandwich import CLOSED
from pyro_textvae.evaluation.annealing.sentences import AnnealedSentences, in_order
from pyro_textvae.evaluation.sentences import (
    batch_of,
    num_tokens_of,
    seed_of,
    single_sentences,
)
from pyro_textvae.infer.batches import Fields, text_fields_of
from pyro_textvae.infer.masked_text import without_masked
from pyro_textvae.infer.plates import SitePlates
from pyro_textvae.infer.running import evaluation_mode, to_device
from pyro_textvae.infer.simulate import Condition, simulate, takes_condition
from pyro_textvae.infer.sites import latent_sites

NOTEWORTHY_ERRORS = 3.0
"""Standard errors within which the bounds may cross."""
_CANDIDATES = 8


@dataclass(frozen=True)
class BidirectionalCheck:
    """A sandwich around log p(x) of sentences that the model made; float64, nats, ``(N,)``.

    lower, lower_error
        By annealing to the joint, and the Monte Carlo error of the chains.
    upper
        By annealing from the z that made the sentence back to the start. Its chains share that z,
        so that only the spread over sentences shows its error.
    lower_acceptance, upper_acceptance
        Mean probability of acceptance of the transitions.
    """

    lower: Tensor
    lower_error: Tensor
    upper: Tensor
    lower_acceptance: Tensor
    upper_acceptance: Tensor
    evaluations: int
    settings: AnnealingSettings
    seed: int

    @cached_property
    def gap(self) -> Tensor:
        """Upper minus lower: not negative in expectation, and 0 for annealing that is perfect."""
        return self.upper - self.lower

    @cached_property
    def mean_gap(self) -> float:
        """Mean gap; in expectation, annealing to the joint is off by no more than this."""
        return self.gap.mean().item()

    @cached_property
    def gap_standard_error(self) -> float:
        """Standard error of ``mean_gap``, over sentences."""
        return _error_over_sentences(self.gap)

    @property
    def is_consistent(self) -> bool:
        """False where the bounds cross by more than three errors: something is wrong then."""
        return self.mean_gap > -NOTEWORTHY_ERRORS * self.gap_standard_error

    def to_dict(self) -> dict[str, Any]:
        """The summary for a result file; errors are over sentences, unlike ``lower_error``."""
        return {
            "num_sentences": len(self.gap),
            "num_closed": int((self.gap.abs() <= CLOSED).sum()),
            "lower": self.lower.mean().item(),
            "lower_standard_error": _error_over_sentences(self.lower),
            "upper": self.upper.mean().item(),
            "upper_standard_error": _error_over_sentences(self.upper),
            "gap": self.mean_gap,
            "gap_standard_error": self.gap_standard_error,
            "is_consistent": self.is_consistent,
            "lower_acceptance": self.lower_acceptance.mean().item(),
            "upper_acceptance": self.upper_acceptance.mean().item(),
            "evaluations": self.evaluations,
            "seed": self.seed,
            **asdict(self.settings),
        }


def bidirectional_check(
    model: nn.Module,
    guide: nn.Module,
    size: int = 24,
    *,
    sentences: Sequence[Mapping[str, Tensor]] = (),
    like: Sequence[int] = (),
    settings: AnnealingSettings | None = None,
    seed: int = 0,
    max_tokens: int = 16384,
    progress: bool = False,
) -> BidirectionalCheck:
    """Bound log p(x) from both sides on sentences simulated from the model.

    The z that made a sentence is an exact draw from p(z | x): annealing can start there too, and
    its gap to annealing from the other end calibrates the settings for this decoder.

    Source: Grosse et al. (2016), Measuring the reliability of MCMC inference with bidirectional
    Monte Carlo, https://arxiv.org/abs/1606.02275.

    :param size: number of sentences; at least 2, for a standard error.
    :param sentences: what a model that is conditioned on something is conditioned on, in turn: the
        keywords of a call for each, of which the text is not used.
    :param like: numbers of tokens: of many simulated sentences those are taken whose lengths are
        nearest to these, as a long sentence is harder. A choice by the text alone leaves its z an
        exact draw.
    :raises ValueError: for ``size`` below 2, a model without a latent, or a pair that annealing
        cannot start for.
    """
    if size < 2:
        raise ValueError(f"size must be at least 2, got {size}")
    candidates = _CANDIDATES * size if like else size
    condition = _condition(model, candidates, sentences, seed)
    with evaluation_mode(model, guide, seed_of(seed, "simulation") % 2**31):
        trace = simulate(model, condition)
    text: Any = trace.nodes[TEXT_SITE]
    tokens = SitePlates.of(TEXT_SITE, text).datum_first(without_masked(text), particles=False)
    latents = {
        name: SitePlates.of(name, site).datum_first(site["value"], particles=False)
        for name, site in latent_sites(trace)
    }
    fields: Mapping[str, Tensor] = {TOKENS: tokens}
    if not isinstance(condition, int):
        fields = Fields({**condition, TOKENS: tokens}, text_fields_of(condition))
    simulated = single_sentences(fields)
    if like:
        alike = _alike([int(num_tokens_of(each[TOKENS])) for each in simulated], like, size)
        simulated = [simulated[place] for place in alike]
        latents = {name: z[alike] for name, z in latents.items()}
    run = AnnealedSentences(
        model,
        guide,
        simulated,
        settings or AnnealingSettings(),
        seed=seed,
        max_tokens=max_tokens,
    )
    lower, upper = [], []
    with run.progress_bar("bidirectional annealing", shown=progress) as bar:
        for rows, path in run.paths(bar):
            lower.append((rows, path.forward()))
            start = {name: latents[name][rows][None] for name in path.names}
            upper.append((rows, path.backward(start)))
    below, above = in_order(lower), in_order(upper)
    return BidirectionalCheck(
        lower=below.log_px,
        lower_error=below.standard_error,
        upper=above.log_px,
        lower_acceptance=below.acceptance,
        upper_acceptance=above.acceptance,
        evaluations=run.evaluations,
        settings=run.settings,
        seed=seed,
    )


def _condition(
    model: nn.Module, size: int, sentences: Sequence[Mapping[str, Tensor]], seed: int
) -> Condition:
    """What to simulate ``size`` sentences on: a number, or fields of sentences at random."""
    if not (sentences and takes_condition(model, sentences[0])):
        return size
    generator = torch.Generator().manual_seed(seed_of(seed, "condition") % 2**31)
    places = torch.randperm(len(sentences), generator=generator)
    places = places.repeat(-(-size // len(sentences)))[:size]
    return to_device(batch_of([sentences[place] for place in places.tolist()]), model)


def _alike(lengths: Sequence[int], like: Sequence[int], size: int) -> list[int]:
    """Places of ``size`` sentences whose lengths are spread as those of ``like`` are."""
    ordered = sorted(like)
    left = dict(enumerate(lengths))
    chosen = []
    for rank in range(size):
        wanted = ordered[(2 * rank + 1) * len(ordered) // (2 * size)]
        place = min(left, key=lambda each: (abs(left[each] - wanted), each))
        chosen.append(place)
        del left[place]
    return chosen


def _error_over_sentences(values: Tensor) -> float:
    return values.std().item() / math.sqrt(len(values))
