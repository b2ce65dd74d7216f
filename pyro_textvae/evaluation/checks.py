# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The independent check of an evaluation, and its proposals side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae import zoo
from pyro_textvae.contract import TOKENS
from pyro_textvae.evaluation import LogLikelihood, log_likelihood
from pyro_textvae.evaluation.amortisation import amortisation_gap
from pyro_textvae.evaluation.annealing.bidirectional import bidirectional_check
from pyro_textvae.evaluation.annealing.check import AnnealingCheck, check_with_annealing
from pyro_textvae.evaluation.enumeration.summed_sites import integrated
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.proposal import Proposal
from pyro_textvae.evaluation.importance.target import suitable_tokens
from pyro_textvae.evaluation.sentences import (
    batch_of,
    num_tokens_of,
    sentences_in_corpus_order,
)
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.progress_bar import progress_bar

_MOST_SAMPLES = 1000
_NUM_SENTENCES = 50


def check(
    model: nn.Module,
    guide: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    likelihood: LogLikelihood,
    *,
    seed: int,
    max_tokens: int | None,
    progress: bool = True,
) -> dict[str, Any]:
    """Annealing, the sandwich on simulated text, the gaps of the guide, and all proposals.

    :param batches: those that ``likelihood`` was made of.
    :returns: plain values for ``evaluation.json``; ``left_out`` says why a part is missing.
    """
    if likelihood.exact:
        return {"left_out": ["there is no latent: the likelihood is exact, nothing to check"]}
    sentences = sentences_in_corpus_order(batches)
    max_tokens = max_tokens or suitable_tokens(model)
    if likelihood.summed_out is not None:
        return _of_sums(model, guide, sentences, likelihood, seed, max_tokens, progress)
    whole, model = model, integrated(model, guide, sentences[0], seed)
    result: dict[str, Any] = {"left_out": []}
    annealed: AnnealingCheck | None = None
    try:
        annealed = check_with_annealing(
            model,
            guide,
            sentences,
            likelihood,
            seed=seed,
            max_tokens=max_tokens,
            progress=progress,
        )
        result["annealing"] = _of_annealing(annealed)
        checked = [sentences[index] for index in annealed.indices.tolist()]
        result["bidirectional"] = bidirectional_check(
            model,
            guide,
            sentences=sentences,
            like=[int(num_tokens_of(sentence[TOKENS])) for sentence in checked],
            seed=seed,
            max_tokens=max_tokens,
            progress=progress,
        ).to_dict()
    except ValueError as error:
        result["left_out"].append(str(error))
    shuffled = torch.randperm(len(sentences), generator=torch.Generator().manual_seed(seed))
    places = shuffled[:_NUM_SENTENCES].sort().values
    if annealed is not None:
        places = annealed.indices[annealed.is_random]
    some = [sentences[index] for index in places.tolist()]
    try:
        gap = amortisation_gap(model, guide, some, seed=seed, max_tokens=max_tokens)
        result["gaps"] = gap.to_dict()
        if annealed is not None:
            # log p(x) - ELBO = approximation gap + amortisation gap.
            result["gaps"]["inference_gap"] = annealed.inference_gap
            result["gaps"]["approximation_gap"] = annealed.inference_gap - gap.mean
    except ValueError as error:
        result["left_out"].append(str(error))
    count = min(likelihood.num_samples, _MOST_SAMPLES)
    with evaluation_mode(model, guide, seed):
        posteriors = Posteriors(model, guide, some[0], seed)
    result["proposals"], left_out = _proposals(
        whole, guide, some, count, seed, max_tokens, progress, posteriors
    )
    result["left_out"] += left_out
    return result


def _of_sums(
    model: nn.Module,
    guide: nn.Module,
    sentences: Sequence[Mapping[str, Tensor]],
    likelihood: LogLikelihood,
    seed: int,
    max_tokens: int,
    progress: bool,
) -> dict[str, Any]:
    """The proposals side by side, where p(x) is a sum that the other checks do not make."""
    assert likelihood.summed_out is not None
    names = ", ".join(map(repr, likelihood.summed_out.names))
    shuffled = torch.randperm(len(sentences), generator=torch.Generator().manual_seed(seed))
    some = [sentences[index] for index in shuffled[:_NUM_SENTENCES].sort().values.tolist()]
    count = min(likelihood.num_samples, _MOST_SAMPLES)
    rows, left_out = _proposals(model, guide, some, count, seed, max_tokens, progress)
    reason = (
        f"{names} summed out: annealing, the bounds of simulated text and the gaps of the guide "
        "are of one posterior for each sentence, and are left out"
    )
    return {"left_out": [reason, *left_out], "proposals": rows}


def _of_annealing(annealed: AnnealingCheck) -> dict[str, Any]:
    columns = ("indices", "is_random", "is_worst", "annealed", "annealed_error", "checked")
    return (
        annealed.to_dict()
        | {name: getattr(annealed, name).tolist() for name in columns}
        | {name: getattr(annealed.sandwich, name).tolist() for name in ("upper", "upper_error")}
    )


def _proposals(
    model: nn.Module,
    guide: nn.Module,
    sentences: Sequence[Mapping[str, Tensor]],
    num_samples: int,
    seed: int,
    max_tokens: int,
    progress: bool,
    posteriors: Posteriors | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Every proposal for such latents with the same number of draws, on the same sentences.

    :param posteriors: of a sentence; None where some of the latents are summed out.
    :returns: a row for each, the guide's first; and why one has none.
    """
    rows, left_out = [], []
    names = sorted(zoo.names("proposals"), key=lambda name: name != "guide")
    for name in progress_bar(names, desc="proposals", shown=progress):
        proposal: Proposal = zoo.build(zoo.load("proposals", name), {})
        if not proposal.suits(posteriors):
            continue
        try:
            scored = log_likelihood(
                model,
                guide,
                [batch_of(sentences)],
                num_samples,
                seed,
                proposal=proposal,
                max_tokens=max_tokens,
            )
        except ValueError as error:
            left_out.append(str(error))
            continue
        rows.append(
            {
                "proposal": proposal.name,
                "decoder_evaluations": int(scored.decoder_evaluations.sum()),
                "num_samples": num_samples,
                "num_sentences": scored.num_sentences,
                **({"nll_joint": scored.nll_joint} if scored.beside_text else {}),
                "nll": scored.nll,
                "nll_standard_error": scored.nll_standard_error,
                "median_ess": scored.median_ess,
                "heavy_tail_share": scored.heavy_tail_share,
            }
        )
    return rows, left_out
