# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""An independent check of a log-likelihood, by annealing on some of its sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.evaluation.annealing.path import AnnealingSettings
from pyro_textvae.evaluation.annealing.sandwich import CLOSED, Sandwich
from pyro_textvae.evaluation.annealing.sentences import AnnealedSentences, in_order
from pyro_textvae.evaluation.importance.result import LogLikelihood
from pyro_textvae.evaluation.importance.settled import HEAVY_TAIL
from pyro_textvae.evaluation.sentences import seed_of, sentences_in_corpus_order

NOTEWORTHY_DIFFERENCE = 0.05
"""Nats per sentence below which a difference is not worth a warning, however certain."""
NOTEWORTHY_ERRORS = 3.0
"""Standard errors within which a difference is noise."""
_UNSETTLED = 100.0
_MORE_CHAINS = 4


@dataclass(frozen=True)
class Difference:
    """Annealed minus checked estimate, mean over some sentences; nats per sentence.

    standard_error
        Monte Carlo error of the mean: both estimates' own errors, combined.
    """

    mean: float
    standard_error: float
    num_sentences: int

    @property
    def warns(self) -> bool:
        """Whether the checked estimates are too low by more than chance and 0.05 nats."""
        return self.mean > self._noteworthy

    @property
    def annealing_falls_short(self) -> bool:
        """Whether annealing is the lower of the two, and so too short to say anything."""
        return self.mean < -self._noteworthy

    @property
    def _noteworthy(self) -> float:
        return max(NOTEWORTHY_DIFFERENCE, NOTEWORTHY_ERRORS * self.standard_error)

    def to_dict(self) -> dict[str, float]:
        """For a result file."""
        return asdict(self) | {
            "warns": self.warns,
            "annealing_falls_short": self.annealing_falls_short,
        }


@dataclass(frozen=True)
class AnnealingCheck:
    """Annealed importance sampling beside the estimates that are checked; float64, nats, ``(M,)``.

    indices
        Places of the checked sentences in the split, ascending.
    is_random, is_worst
        Why a sentence is among them; it can be both.
    annealed, annealed_error
        log p(x) by annealing, in expectation a lower bound, and its standard error.
    spread
        Standard deviation of the log-weights over chains: well below 1, or annealing is too short.
    acceptance
        Mean probability of acceptance of the transitions.
    checked, checked_error
        The estimates that are checked, and their standard errors; NaN counts as no error.
    keys
        A number made of the sentence: the errors of equal sentences are equal in ``checked``.
    elbo
        The guide's evidence lower bound.
    sandwich
        The bounds from both sides. Annealing back begins where the chains came, so that the upper
        one is approximate: a mode that they have not met is missed by both.
    num_again
        Sentences that were annealed once more, with four times as many chains.
    evaluations
        Decoder evaluations in all, a gradient counted as three.
    """

    indices: Tensor
    is_random: Tensor
    is_worst: Tensor
    annealed: Tensor
    annealed_error: Tensor
    spread: Tensor
    acceptance: Tensor
    checked: Tensor
    checked_error: Tensor
    keys: Tensor
    elbo: Tensor
    sandwich: Sandwich
    num_again: int
    evaluations: int
    settings: AnnealingSettings
    seed: int

    @cached_property
    def random(self) -> Difference:
        """On the random sentences: what holds for the mean over the split."""
        return self._difference(self.is_random)

    @cached_property
    def worst(self) -> Difference:
        """On the sentences with the worst diagnostics."""
        return self._difference(self.is_worst)

    @cached_property
    def is_outside(self) -> Tensor:
        """Whether a checked estimate is outside of its bounds, ``(M,)`` of bool.

        By more than 0.1 nats, and by more than three errors of both.
        """
        checked_error = self.checked_error.nan_to_num(0.0)
        below = self.sandwich.lower - self.checked
        above = self.checked - self.sandwich.upper
        errors = (self.sandwich.lower_error, self.sandwich.upper_error)
        rooms = [
            (NOTEWORTHY_ERRORS * torch.hypot(error, checked_error)).clamp(min=CLOSED)
            for error in errors
        ]
        return (below > rooms[0]) | (above > rooms[1])

    @cached_property
    def inference_gap(self) -> float:
        """Annealed log p(x) minus the guide's bound, mean over the random sentences.

        The approximation gap is this less the amortisation gap, which needs the best bound of the
        guide's family (Cremer et al., 2018, Inference suboptimality in variational autoencoders).
        """
        return (self.annealed - self.elbo)[self.is_random].mean().item()

    def to_dict(self) -> dict[str, Any]:
        """The summary for a result file; nats per sentence."""
        errors = self.annealed_error[self.is_random]
        return {
            "random": self.random.to_dict(),
            "worst": self.worst.to_dict(),
            "sandwich": self.sandwich.to_dict(self.indices)
            | {"num_outside": int(self.is_outside.sum())},
            "inference_gap": self.inference_gap,
            "inference_gap_standard_error": errors.norm().item() / len(errors),
            "mean_spread": self.spread.mean().item(),
            "largest_spread": self.spread.max().item(),
            "acceptance": self.acceptance.mean().item(),
            "num_again": self.num_again,
            "evaluations": self.evaluations,
            "seed": self.seed,
            **asdict(self.settings),
        }

    def _difference(self, mask: Tensor) -> Difference:
        _, group = self.keys[mask].unique(return_inverse=True)
        shared = torch.zeros(len(group), dtype=torch.float64)
        shared.index_add_(0, group, self.checked_error[mask].nan_to_num(0.0))
        errors = torch.cat([self.annealed_error[mask], shared])
        return Difference(
            mean=(self.annealed - self.checked)[mask].mean().item(),
            standard_error=errors.norm().item() / len(group),
            num_sentences=int(mask.sum()),
        )


def check_with_annealing(
    model: nn.Module,
    guide: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    likelihood: LogLikelihood,
    *,
    num_random: int = 50,
    num_worst: int = 20,
    settings: AnnealingSettings | None = None,
    close: bool = True,
    seed: int = 0,
    max_tokens: int = 16384,
    progress: bool = False,
) -> AnnealingCheck:
    """Sandwich log p(x) by annealing, on random sentences and on those of the worst diagnostics.

    The worst are those that are not settled, and then those of the largest k-hat; without any k-hat
    (fewer than 100 draws), those of the lowest effective sample size.

    :param batches: the batches that ``likelihood`` was made of.
    :param likelihood: the estimates to check.
    :param close: anneal sentences whose bounds are not close once more, by four times as many
        chains of their own. What decides is how far the bounds are from each other, to either side,
        which says next to nothing of which way a bound is off.
    :raises ValueError: for numbers below 1, other sentences than those of ``likelihood``, a model
        without a latent, or a pair that annealing cannot start for.
    """
    for name, value in (("num_random", num_random), ("num_worst", num_worst)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    sentences = sentences_in_corpus_order(batches)
    count = likelihood.num_sentences
    if len(sentences) != count:
        raise ValueError(
            f"the batches have {len(sentences)} sentences and the likelihood {count}: give the "
            "batches that it was made of"
        )
    is_random = torch.zeros(count, dtype=torch.bool)
    is_worst = is_random.clone()
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    is_random[shuffled[:num_random]] = True
    is_worst[_badness(likelihood).argsort(descending=True)[:num_worst]] = True
    indices = (is_random | is_worst).nonzero().squeeze(1)
    annealed_sentences = [sentences[index] for index in indices.tolist()]
    run = AnnealedSentences(
        model,
        guide,
        annealed_sentences,
        settings or AnnealingSettings(),
        seed=seed,
        max_tokens=max_tokens,
    )
    sandwich = _sandwich(run, "annealing", progress)
    evaluations = run.evaluations
    open_places = (~sandwich.is_closed).nonzero().squeeze(1)
    if close and len(open_places):
        more_chains = replace(run.settings, num_chains=_MORE_CHAINS * run.settings.num_chains)
        again = AnnealedSentences(
            model,
            guide,
            [annealed_sentences[place] for place in open_places.tolist()],
            more_chains,
            seed=seed_of(seed, "again"),
            max_tokens=max_tokens,
        )
        sandwich = sandwich.replaced(open_places, _sandwich(again, "annealing again", progress))
        evaluations += again.evaluations
    return AnnealingCheck(
        indices=indices,
        is_random=is_random[indices],
        is_worst=is_worst[indices],
        annealed=sandwich.lower,
        annealed_error=sandwich.lower_error,
        spread=sandwich.spread,
        acceptance=sandwich.lower_acceptance,
        checked=likelihood.log_px[indices],
        checked_error=likelihood.standard_error[indices],
        keys=likelihood.keys[indices],
        elbo=likelihood.elbo[indices],
        sandwich=sandwich,
        num_again=len(open_places) if close else 0,
        evaluations=evaluations,
        settings=run.settings,
        seed=seed,
    )


def _sandwich(run: AnnealedSentences, title: str, progress: bool) -> Sandwich:
    """The bounds of all its sentences."""
    lower, upper = [], []
    with run.progress_bar(title, shown=progress) as bar:
        for rows, path in run.paths(bar):
            forward = path.forward()
            lower.append((rows, forward))
            upper.append((rows, path.backward(path.approximate_posterior(forward))))
    return Sandwich.of(in_order(lower), in_order(upper))


def _badness(likelihood: LogLikelihood) -> Tensor:
    if likelihood.khat.isnan().all():
        return -likelihood.ess
    # Annealed populations have no k-hat; what was annealed is harder than what needed not to be.
    annealed = HEAVY_TAIL + likelihood.standard_error.nan_to_num(1.0)
    khat = likelihood.khat.where(~likelihood.khat.isnan(), annealed)
    return torch.where(likelihood.settled, khat, khat + _UNSETTLED)
