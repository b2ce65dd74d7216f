# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Importance-weighted log-likelihood, sentence by sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.config.checks import POSITIVE, SEED, at_least, check_argument
from pyro_textvae.evaluation.enumeration.integrated_model import IntegratedModel
from pyro_textvae.evaluation.enumeration.over_values import over_values
from pyro_textvae.evaluation.enumeration.summed_sites import find_summed_sites
from pyro_textvae.evaluation.enumeration.value_rows import ValueRows
from pyro_textvae.evaluation.families import GaussianFamily
from pyro_textvae.evaluation.importance.batch_estimates import batch_estimates
from pyro_textvae.evaluation.importance.estimate_settings import EstimateSettings
from pyro_textvae.evaluation.importance.partial_results import partial_results
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.proposal import Proposal
from pyro_textvae.evaluation.importance.result import LogLikelihood
from pyro_textvae.evaluation.importance.target import suitable_tokens
from pyro_textvae.evaluation.over_globals import (
    NUM_GLOBAL_DRAWS,
    draw_globals,
    mean_over_globals,
    with_first,
)
from pyro_textvae.evaluation.proposals import GuideProposal
from pyro_textvae.evaluation.sentences import (
    in_corpus_order,
    sentence_key,
    single_sentences,
)
from pyro_textvae.infer.batches import check_batches, check_text
from pyro_textvae.infer.function_program import as_program
from pyro_textvae.infer.given_globals import given_globals
from pyro_textvae.infer.running import device_of, evaluation_mode
from pyro_textvae.processes import gather, rank_and_size
from pyro_textvae.progress_bar import progress_bar


def log_likelihood(
    model: nn.Module,
    guide: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    num_samples: int = 1000,
    seed: int = 0,
    *,
    proposal: Proposal | None = None,
    quasi_random: bool = False,
    target_standard_error: float | None = None,
    most_rounds: int = 10,
    num_global_draws: int | None = None,
    sum_labels: bool = True,
    max_tokens: int | None = None,
    partial: str | Path | None = None,
    progress: bool = False,
) -> LogLikelihood:
    r"""Estimate log p(x) of every sentence with ``num_samples`` draws of its latents.

    .. math::
        \log p(x) \approx \log \frac{1}{K} \sum_{k=1}^K \frac{p(x, z_k)}{r(z_k \mid x)}, \qquad
        z_k \sim r(z \mid x)

    for K draws from the proposal r; nats. The random numbers of a sentence depend on ``seed`` and
    the sentence alone, so it gets the same estimate in any batch, with any ``max_tokens``, in any
    number of processes. Under ``torch.distributed`` the batches are dealt out to the processes in
    turn, and all return all rows. Meanwhile the modules are in evaluation mode, and autocast and
    TF32 are off; afterwards modes, random generators and Pyro's parameter store are as they were.
    Threads wait for each other here, for Pyro's handlers and store belong to the whole process.

    Where there are global latents g, outside the plate ``"data"``, all of this is done for each of
    ``num_global_draws`` draws of them from the guide, which all sentences share, and the mean of
    p(x | g) is taken: see :class:`~pyro_textvae.evaluation.importance.global_draws.GlobalDraws`.

    A latent that the guide marks ``infer={"enumerate": "parallel"}`` is summed out, and so is a
    discrete site, such as a label, that the model observes at a field of the batch: p(x, y) is
    estimated by K draws for each of its values y, up to 4096 of all sites together, and the
    result is that of p(x), with ``summed_out`` for what is of the values.

    .. math::
        p(x) = \sum_y p(x, y), \qquad p(x, y) \approx
        \frac{1}{K} \sum_{k=1}^K \frac{p(x, y, z_k)}{r(z_k \mid x, y)}

    A latent that the guide does not have, and the model marks, is summed out for every draw of the
    others.

    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    >>> decoder = LSTMDecoder(**sizes, latent_dim=2, max_length=8)
    >>> model = SentenceVAE(prior=StandardNormal(2), decoder=decoder)
    >>> guide = GaussianGuide(encoder=LSTMEncoder(**sizes), latent_dim=2)
    >>> batches = [{"tokens": torch.tensor([[4, 5, 2], [6, 2, 0]])}]
    >>> r = log_likelihood(model, guide, batches, num_samples=100, seed=0)
    >>> tuple(r.log_px.shape), r.num_tokens
    ((2,), 5)
    >>> bool((r.standard_error < 0.1).all())
    True

    Source: Burda et al. (2016), Importance Weighted Autoencoders, equation 8,
    https://arxiv.org/abs/1509.00519.

    :param batches: dicts with the batch first, of which each program gets the fields that it names;
        those of ``corpus.batches`` know their place in the split, others are taken as they come.
    :param proposal: where the draws come from; the guide by default.
    :param quasi_random: randomised quasi-Monte Carlo; needs a Gaussian posterior.
    :param target_standard_error: go on with further rounds of ``num_samples`` draws for each
        sentence whose standard error is above this, ``most_rounds`` in all. A sentence that stops
        early tends to be one whose error was underestimated: expect a small bias downwards.
    :param num_global_draws: M, by default 16 where there are global latents.
    :param sum_labels: whether to sum over what is observed beside the text; else all is of text and
        label together, at the cost of one value.
    :param max_tokens: tokens decoded at once; by default what suits the device.
    :param partial: a file that keeps the sentences that are done: the same call takes them up.
    :raises ValueError: for ``num_samples`` below 1, no batch at all, what is no batch, a model in
        half precision, latent sites or supports that model and guide do not share,
        ``quasi_random`` with a posterior that is not Gaussian, more than one draw from a
        posterior that is a point, ``num_global_draws`` for a model without global latents, or more
        than 4096 values to sum over.
    """
    model, guide = as_program(model), as_program(guide)
    num_samples = check_argument("num_samples", num_samples, int, at_least(1))
    seed = check_argument("seed", seed, int, SEED)
    check_argument("quasi_random", quasi_random, bool)
    check_argument("sum_labels", sum_labels, bool)
    target_standard_error = check_argument(
        "target_standard_error", target_standard_error, float | None, POSITIVE
    )
    most_rounds = check_argument("most_rounds", most_rounds, int, at_least(1))
    num_global_draws = check_argument("num_global_draws", num_global_draws, int | None, at_least(2))
    max_tokens = check_argument("max_tokens", max_tokens, int | None, at_least(1))
    partial = check_argument("partial", partial, str | None)
    check_batches(batches)
    _check_precision(model)
    notes = []
    if torch.is_autocast_enabled(device_of(model).type):
        notes.append("autocast was on and was switched off: likelihoods are in full precision")
    settings = EstimateSettings(
        num_samples=num_samples,
        seed=seed,
        proposal=proposal or GuideProposal(),
        quasi_random=quasi_random,
        target_standard_error=target_standard_error,
        most_rounds=1 if target_standard_error is None else most_rounds,
        max_tokens=max_tokens or suitable_tokens(model),
        sum_labels=sum_labels,
    )
    reason = settings.proposal.refuses(settings.draws)
    if reason is not None:
        raise ValueError(reason)
    batches, first = with_first(batches)
    draws = draw_globals(model, guide, first, seed, num_global_draws or NUM_GLOBAL_DRAWS)
    if not draws:
        if num_global_draws is not None:
            raise ValueError(
                f"num_global_draws={num_global_draws} would do nothing, for the model has no "
                "global latent, outside the plate 'data': leave it out"
            )
        return _summed(model, guide, batches, first, settings, notes, partial, progress)
    batches = list(batches)
    parts = []
    for draw in draws:
        with given_globals([model, guide], draw.values):
            given = replace(settings, seed=draw.seed)
            parts.append(_summed(model, guide, batches, first, given, notes, partial, progress))
    return mean_over_globals(draws, parts)


def _summed(
    model: nn.Module,
    guide: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    first: Mapping[str, Tensor] | None,
    settings: EstimateSettings,
    notes: list[str],
    partial: str | Path | None,
    progress: bool,
) -> LogLikelihood:
    """The estimates of a pair whose latents are all in the plate ``"data"``, some summed out."""
    if first is None:
        return _estimate(model, guide, batches, settings, notes, partial, progress)
    check_text(first)
    labels = settings.sum_labels
    found = find_summed_sites(model, guide, first, settings.seed, labels=labels)
    notes = [*notes, *found.notes]
    if found.integrated:
        names = ", ".join(map(repr, sorted(found.integrated)))
        notes.append(f"{names} of the model summed out for every draw of the other latents")
    if not found.sites:
        if found.integrated:
            model = IntegratedModel(model, found.integrated)
        return _estimate(model, guide, batches, settings, notes, partial, progress)
    rows = ValueRows(model, guide, found, settings.num_samples, settings.seed)
    estimates = _estimate(
        *(rows.model, rows.guide, rows.batches(batches), settings, notes, partial, progress),
        shown="nll of a value",
    )
    return over_values(estimates, rows)


def _estimate(
    model: nn.Module,
    guide: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    settings: EstimateSettings,
    notes: list[str],
    partial: str | Path | None,
    progress: bool,
    shown: str | None = None,
) -> LogLikelihood:
    """The estimates of a pair whose latents are all in the plate ``"data"``, none summed out.

    :param shown: what the mean is called while they are made.
    """
    notes, seed, num_samples = list(notes), settings.seed, settings.num_samples
    identity = settings.identity(model, guide) if partial else None
    rank, size = rank_and_size()
    rows: list[tuple[int, dict[str, Tensor], Tensor | None]] = []
    exact = False
    points: list[str] = []
    beside_text: list[str] = []
    done = total = 0.0
    with (
        partial_results(partial, identity) as kept,
        evaluation_mode(model, guide, seed),
        progress_bar(
            batches,
            shown=progress and rank == 0,
            desc="log-likelihood",
        ) as bar,
    ):
        for number, batch in enumerate(bar):
            check_text(batch)
            if number == 0:
                first = Posteriors(model, guide, batch, seed)
                exact = not first.names
                points = first.points
                beside_text = first.beside_text
                notes += _on_joint(beside_text)
                notes += _on_points(points, num_samples)
                if settings.quasi_random and not (
                    exact or isinstance(first.family, GaussianFamily)
                ):
                    raise ValueError(
                        "quasi-random draws need one latent with a Gaussian posterior, and the "
                        f"guide has {first.describe()}: leave quasi_random off"
                    )
                if not exact:
                    proposal = settings.proposal
                    said = [proposal.falls_back(first), proposal.goes_without_prior(first)]
                    notes += filter(None, said)
            if number % size != rank:
                continue
            keys = [sentence_key(sentence) for sentence in single_sentences(batch)]
            columns = kept.columns(keys) if kept else None
            if columns is None:
                columns = batch_estimates(model, guide, batch, settings)
                columns["keys"] = torch.tensor(keys)
                if kept:
                    kept.add(keys, columns)
            rows.append((number, columns, getattr(batch, "indices", None)))
            done += columns["log_px"].sum().item()
            total += len(keys)
            name = shown or ("nll_joint" if beside_text else "nll")
            bar.set_postfix_str(f"{name} {-done / total:.3f}")
    rows = sorted(gather(rows), key=lambda row: row[0])
    if not rows:
        raise ValueError("there is no batch to score: the split is empty")
    joined = {name: torch.cat([row[name] for _, row, _ in rows]) for name in rows[0][1]}
    of_sentences: dict[str, Any] = in_corpus_order(joined, [indices for _, _, indices in rows])
    return LogLikelihood(
        num_tokens_per_sentence=of_sentences.pop("tokens"),
        **of_sentences,
        num_samples=num_samples,
        seed=seed,
        proposal=settings.proposal.describe() | {"quasi_random": settings.quasi_random},
        exact=exact,
        notes=tuple(notes),
        points=tuple(points),
        beside_text=tuple(beside_text),
        identity=identity,
        global_draws=None,
    )


def _on_points(points: list[str], num_samples: int) -> list[str]:
    """What to say of a guide without a density; a run in training is logged by one draw."""
    if not points:
        return []
    reason = (
        f"the guide's posterior at {points[0]!r} puts all its mass on one point, so the "
        "likelihood cannot be estimated"
    )
    if num_samples > 1:
        raise ValueError(
            f"{reason}: its weights have no meaning; train the model with another guide"
        )
    return [f"{reason}: the nll is minus the log of p(x, z) at that point"]


def _on_joint(beside_text: list[str]) -> list[str]:
    """What to say where more than the text is observed."""
    if not beside_text:
        return []
    names = ", ".join(map(repr, beside_text))
    return [
        f"the model observes {names} beside the text: nll_joint, elbo and reconstruction are of "
        "all of that together; the nll, perplexity and bits of the text alone are not known"
    ]


def _check_precision(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if parameter.dtype in (torch.float16, torch.bfloat16):
            raise ValueError(
                f"parameter {name} of the model is {parameter.dtype}: its rounding is as large as "
                "what is estimated; call model.float() first"
            )
