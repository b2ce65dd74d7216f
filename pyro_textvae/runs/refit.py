# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A trained run with another prior, fitted to its aggregate posterior."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyro
import torch
from torch import Tensor, nn

from pyro_textvae import zoo
from pyro_textvae.config.checks import SEED, at_least, check_argument
from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Corpus
from pyro_textvae.data.records import SplitName
from pyro_textvae.displayed import Displayed
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import Comparison, LogLikelihood, compare, log_likelihood
from pyro_textvae.evaluation.by_guide import ByGuide
from pyro_textvae.evaluation.sentences import batch_of, seed_of, sentences_in_corpus_order
from pyro_textvae.generation import encode
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.weights_hash import load_with_hash
from pyro_textvae.runs.build import PARTS, Pair, build_pair
from pyro_textvae.runs.code import remember
from pyro_textvae.runs.evaluate import build_proposal
from pyro_textvae.runs.load import (
    REFIT,
    StoredRun,
    load_pair,
    load_run_corpus,
    load_tokenizer,
    read_run,
)
from pyro_textvae.runs.settings_files import read_sources, write_what_rebuilds
from pyro_textvae.training.fit_prior import (
    NUM_COMPONENTS,
    FittedPrior,
    fit_by_gradient,
    fit_mixture,
)

_PRIOR = "model.prior."
_DRAWS_TO_FIT = 5
_DRAWS_TO_COMPARE = 50
_SENTENCES_AT_ONCE = 64


@dataclass(frozen=True, repr=False)
class Refit(Displayed):
    """What another prior does to a run, on sentences of one split.

    fitted
        The prior, and the log-density of held-out draws of the valid split under it.
    log_density_before
        The same under the prior that the run was trained with.
    bound_gain, bound_gain_error
        By how much the evidence lower bound rises, nats per sentence: the fall of the KL of the
        aggregate posterior to the prior. The error is over the sentences, on the same draws.
    before, after
        log p(x) of the sentences by the proposal, under the old prior and the new one.
    comparison
        Of them: the difference of the nll that a new sentence would see, new less old.
    guide_before, guide_after
        Mean nll by the guide's weights, which counts a better guide as a better model.
    """

    fitted: FittedPrior
    log_density_before: float
    bound_gain: float
    bound_gain_error: float
    before: LogLikelihood
    after: LogLikelihood
    comparison: Comparison
    guide_before: float
    guide_after: float


def refit(
    path: str | Path | RunFolder,
    out: str | Path,
    *,
    prior: str = "gaussian_mixture",
    options: Mapping[str, Any] | None = None,
    split: SplitName = "test",
    num_sentences: int = 300,
    num_samples: int = 300,
    seed: int = 0,
    device: str = "cpu",
    overwrite: bool = False,
    trust_code: bool = False,
) -> Refit:
    r"""Fit p(z) anew to the aggregate posterior, guide and decoder fixed, and write it as a run.

    .. math::
        \max_p \; \frac 1 N \sum_n E_{q(z \mid x_n)} \log p(z)

    The evidence lower bound rises by what the Kullback-Leibler divergence of the aggregate
    posterior to the prior falls by. Whether log p(x) rises with it is another question: both are
    measured, the second by the ``auto`` proposal.

    Source: Hoffman and Johnson (2016), ELBO surgery,
    http://approximateinference.org/accepted/HoffmanJohnson2016.pdf, for the bound; Ghosh et al.
    (2020), https://arxiv.org/abs/1903.12436, for a density fitted after training.

    :param path: a run whose model takes a prior by name, with one vector of latents a sentence.
    :param out: folder of the new run.
    :param prior: name of the catalogue, or ``file.py:Class``.
    :param options: of the prior; without ``num_components``, held-out latents choose the number of
        Gaussians of ``gaussian_mixture``.
    :param num_sentences: of the split, at random, on which both runs are scored.
    :param num_samples: draws of the latents for each of them.
    :raises UserError: for a run whose prior cannot be changed, and where ``out`` holds a run.
    """
    num_sentences = check_argument("num_sentences", num_sentences, int, at_least(2))
    seed = check_argument("seed", seed, int, SEED)
    config = EvaluationConfig(split=split, num_samples=num_samples, seed=seed, device=device)
    run = read_run(path, trust_code=trust_code)
    new = RunFolder(out)
    new.check_free(overwrite=overwrite)
    old, weights = load_with_hash(run.folder, lambda: load_pair(run, device=device))
    if "prior" not in run.specs or not hasattr(old.model, "prior"):
        raise UserError(
            f"the model of {run.folder.path} takes no prior by name, so there is none to change"
        )
    corpus = load_run_corpus(run)
    new_config, pair = _with_prior(run, old, prior, dict(options or {}), seed)
    draws, held_out = (
        torch.cat([z.flatten(0, 1) for z in _draws(old, batches, _DRAWS_TO_FIT, seed + place)])
        for place, batches in enumerate(
            corpus.batches(name, _SENTENCES_AT_ONCE, shuffle=False) for name in ("train", "valid")
        )
    )
    before = _log_density(old, held_out)
    fitted = _fit(pair, new_config, draws, held_out, seed)
    if prior == "gaussian_mixture":
        # Its number of components is known only now.
        options_of_mixture = {**new_config.options, "num_components": fitted.prior.num_components}
        new_config = replace(new_config, options=options_of_mixture)
        pair = _rebuilt(run, old, new_config, prior)
        _prior_of(pair).load_state_dict(fitted.prior.state_dict())
    pair.modules.eval()
    measured = _measure(old, pair, corpus, config, num_sentences)
    _write(run, new, new_config, pair, corpus, weights, overwrite=overwrite)
    return Refit(fitted, before, *measured)


def _with_prior(
    run: StoredRun, old: Pair, prior: str, options: dict[str, Any], seed: int
) -> tuple[TrainConfig, Pair]:
    """The settings and the pair with the new prior, at its start; all else is as it was."""
    taken = zoo.parameters(zoo.load("priors", prior))
    for name in options:
        if name not in taken:
            raise UserError(
                f"{prior} has no option {name!r}; it takes: "
                f"{', '.join(sorted(set(taken) - {'latent_dim'})) or 'none'}"
            )
    config = replace(run.config, prior=prior, options={**_of_others(run), **options})
    pyro.set_rng_seed(seed)
    return config, _rebuilt(run, old, config, prior)


def _rebuilt(run: StoredRun, old: Pair, config: TrainConfig, prior: str) -> Pair:
    """The pair of these settings, with the weights that the old one has of all but its prior."""
    pair = build_pair(
        config, run.sizes, tokenizer=load_tokenizer(run), specs={**run.specs, "prior": prior}
    )
    kept = {n: v for n, v in old.modules.state_dict().items() if not n.startswith(_PRIOR)}
    missing, unexpected = pair.modules.load_state_dict(kept, strict=False)
    strange = [name for name in (*missing, *unexpected) if not name.startswith(_PRIOR)]
    if strange:
        raise UserError(
            f"with another prior the model has other weights too, such as {strange[0]}: its prior "
            "cannot be changed after training"
        )
    return pair


def _of_others(run: StoredRun) -> dict[str, Any]:
    """The options of the run, without those that its old prior alone has taken."""
    kinds = {"model": "models", "guide": "guides", **PARTS}
    takers = {name: zoo.parameters(zoo.load(kinds[name], spec)) for name, spec in run.specs.items()}
    others = {option for name, taken in takers.items() if name != "prior" for option in taken}
    of_prior = set(takers["prior"]) - others
    return {name: value for name, value in run.config.options.items() if name not in of_prior}


def _fit(
    pair: Pair, config: TrainConfig, draws: Tensor, held_out: Tensor, seed: int
) -> FittedPrior:
    if config.prior == "gaussian_mixture":
        given = config.options.get("num_components")
        return fit_mixture(draws, held_out, NUM_COMPONENTS if given is None else [given], seed=seed)
    with pyro.settings.context(module_local_params=True):
        return fit_by_gradient(_prior_of(pair), draws, held_out, seed=seed)


def _draws(
    pair: Pair, batches: Iterable[Mapping[str, Tensor]], number: int, seed: int
) -> Iterator[Tensor]:
    """So many draws of the latent of each sentence of each batch, ``(number, N, D)``.

    :param seed: of all of them; every batch and every draw has random numbers of its own.
    :raises UserError: for other latents than one vector a sentence.
    """
    for index, batch in enumerate(batches):
        drawn = []
        for place in range(number):
            own_seed = seed_of(seed, "refit", index, place) % 2**32
            latents = encode(pair.guide, batch, mean=False, seed=own_seed)
            z = next(iter(latents.values()))
            if len(latents) > 1 or z.dim() != 2:
                shapes = ", ".join(f"{n!r} {tuple(v.shape[1:])}" for n, v in latents.items())
                raise UserError(
                    f"the latents are {shapes}, and a prior is fitted to one vector a sentence"
                )
            drawn.append(z)
        yield torch.stack(drawn)


def _prior_of(pair: Pair) -> nn.Module:
    """The part of a model that says where its latents come from."""
    prior = pair.model.prior
    assert isinstance(prior, nn.Module)
    return prior


def _log_density(pair: Pair, draws: Tensor) -> float:
    with evaluation_mode(pair.model, pair.guide, 0):
        return float(_prior_of(pair)().log_prob(draws).mean())


def _measure(
    old: Pair, new: Pair, corpus: Corpus, config: EvaluationConfig, num_sentences: int
) -> tuple[Any, ...]:
    """The bound, log p(x) and the guide's estimate of it, under both priors."""
    sentences = sentences_in_corpus_order(corpus.batches(config.split, 64, shuffle=False))
    generator = torch.Generator().manual_seed(config.seed)
    places = torch.randperm(len(sentences), generator=generator)[:num_sentences].sort().values
    batches = [
        batch_of([sentences[place] for place in part.tolist()])
        for part in places.split(_SENTENCES_AT_ONCE)
    ]
    gains = []
    for z in _draws(old, batches, _DRAWS_TO_COMPARE, config.seed + 2):
        with evaluation_mode(old.model, old.guide, config.seed):
            before, after = (_prior_of(pair)().log_prob(z).double() for pair in (old, new))
        gains.append((after - before).mean(0))
    gain = torch.cat(gains)
    scored, by_guide = [], []
    for pair in (old, new):
        scored.append(
            log_likelihood(
                pair.model,
                pair.guide,
                batches,
                config.num_samples,
                config.seed,
                proposal=build_proposal(config),
            )
        )
        guide = ByGuide.of(
            pair.model,
            pair.guide,
            batches,
            seed=config.seed,
            num_global_draws=None,
            max_tokens=None,
        )
        by_guide.append(guide.likelihood.nll)
    before, after = scored
    error = gain.std().item() / math.sqrt(len(gain))
    return gain.mean().item(), error, before, after, compare(after, before), *by_guide


def _write(
    run: StoredRun,
    folder: RunFolder,
    config: TrainConfig,
    pair: Pair,
    corpus: Corpus,
    weights: str | None,
    *,
    overwrite: bool,
) -> None:
    tokenizer = load_tokenizer(run)
    kind = run.tokenizer_kind or run.config.tokenizer
    with folder.writing():
        folder.check_free(overwrite=overwrite)
        with folder.replacement() as new:
            new.path.mkdir(parents=True)
            new.save_weights(pair.modules)
            contents = write_what_rebuilds(
                new,
                config.to_dict(),
                pair,
                run.sizes,
                tokenizer,
                corpus,
                tokenizer_kind=kind,
                sources=read_sources({**pair.specs, "tokenizer": kind}),
                made_by=REFIT,
                tokenizer_was_given=bool(run.contents.get("tokenizer_was_given")),
                refit={"of": str(run.folder.path), "weights_sha256": weights},
            )
            folder.replace(new)
        remember(StoredRun(folder, config, dict(run.sizes), contents).own_code)
