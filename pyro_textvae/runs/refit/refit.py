# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A trained run with another prior, fitted after training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyro_textvae.config.checks import SEED, at_least, check_argument
from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Corpus
from pyro_textvae.data.records import SplitName
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import Comparison, compare
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.weights_hash import load_with_hash
from pyro_textvae.runs.build import Pair
from pyro_textvae.runs.code import remember
from pyro_textvae.runs.load import (
    REFIT,
    StoredRun,
    load_pair,
    load_run_corpus,
    load_tokenizer,
    read_run,
)
from pyro_textvae.runs.refit.effect import Batches, Effect, effect_on, log_px, some_sentences
from pyro_textvae.runs.refit.new_prior import (
    MIXTURE,
    check_support,
    config_with_prior,
    with_prior,
)
from pyro_textvae.runs.refit.prior_fit import (
    FittedPair,
    RefitTarget,
    fit_to_aggregate,
    fit_to_likelihood,
)
from pyro_textvae.runs.settings_files import read_sources, write_what_rebuilds
from pyro_textvae.training.fit_prior import FittedPrior
from pyro_textvae.training.retrain_guide import retrain_guide

_EPOCHS_OF_GUIDE = 2
_SENTENCES_OF_BOUND = 2000
_SENTENCES_AT_ONCE = 64


@dataclass(frozen=True, repr=False)
class Refit(Effect):
    """What was fitted, and what it does on sentences of one split.

    fitted
        The prior, and how well it fits what was held out: the log-density of draws of the valid
        split, or the mean log p(x) of its sentences where it was fitted to the likelihood.
    before_fit
        The same under the prior that the run was trained with.
    traces
        Fitted to the likelihood: of each round of draws, the mean log p(x) of the sentences that it
        is fitted to, by the draws that it is fitted with, before and after each step.
    on_train
        Likewise: the nll of these very sentences by draws of their own, new less old.
    median_ess
        Of each round, the effective draws of the median sentence, of 64.
    retrained
        The mean bound of held-out sentences before and after each time that the guide was trained.
    """

    fitted: FittedPrior
    before_fit: float
    traces: tuple[tuple[float, ...], ...] = ()
    median_ess: tuple[float, ...] = ()
    on_train: Comparison | None = None
    retrained: tuple[tuple[float, float], ...] = ()


def refit(
    path: str | Path | RunFolder,
    out: str | Path,
    *,
    prior: str = MIXTURE,
    options: Mapping[str, Any] | None = None,
    target: RefitTarget = "aggregate",
    alternate: int = 0,
    num_train_sentences: int = 1000,
    split: SplitName = "test",
    num_sentences: int = 300,
    num_samples: int = 300,
    seed: int = 0,
    device: str = "cpu",
    overwrite: bool = False,
    trust_code: bool = False,
) -> Refit:
    r"""Fit p(z) anew, the decoder fixed, and write it as a run.

    To the aggregate posterior of the guide, or to the likelihood, by Monte Carlo EM:

    .. math::
        \max_p \; \frac 1 N \sum_n E_{q(z \mid x_n)} \log p(z), \qquad
        \max_p \; \frac 1 N \sum_n \log \int p(x_n \mid z) \, p(z) \, dz

    The evidence lower bound rises by what the Kullback-Leibler divergence of the aggregate
    posterior to the prior falls by. Whether log p(x) rises with it is another question: both are
    measured, the second by the ``auto`` proposal.

    Source: Hoffman and Johnson (2016), ELBO surgery,
    http://approximateinference.org/accepted/HoffmanJohnson2016.pdf, for the bound; Ghosh et al.
    (2020), https://arxiv.org/abs/1903.12436, for a density fitted after training; Wei and Tanner
    (1990), https://doi.org/10.1080/01621459.1990.10474930, for Monte Carlo EM.

    :param path: a run whose model takes a prior by name, with one vector of latents a sentence.
    :param out: folder of the new run.
    :param prior: name of the catalogue, or ``file.py:Class``.
    :param options: of the prior; without ``num_components``, held-out sentences choose the number
        of Gaussians of ``gaussian_mixture``.
    :param target: ``"aggregate"`` or ``"likelihood"``.
    :param alternate: times that the guide is trained on under the new prior, and the prior fitted
        again.
    :param num_train_sentences: of the train split, at random, that the likelihood is fitted on.
    :param num_sentences: of the split, at random, on which both runs are scored; of up to 2,000
        are the bound, where the guide stays, and the parts of the KL.
    :param num_samples: draws of the latents for each of them.
    :raises UserError: for a run whose prior cannot be changed, where ``out`` holds a run, and where
        the likelihood of the train sentences falls.
    """
    num_sentences = check_argument("num_sentences", num_sentences, int, at_least(2))
    num_train_sentences = check_argument(
        "num_train_sentences", num_train_sentences, int, at_least(2)
    )
    alternate = check_argument("alternate", alternate, int, at_least(0))
    target = check_argument("target", target, RefitTarget)
    seed = check_argument("seed", seed, int, SEED)
    scoring = EvaluationConfig(split=split, num_samples=num_samples, seed=seed, device=device)
    run = read_run(path, trust_code=trust_code)
    new = RunFolder(out)
    new.check_free(overwrite=overwrite)
    old, weights = load_with_hash(run.folder, lambda: load_pair(run, device=device))
    if "prior" not in run.specs or not hasattr(old.model, "prior"):
        raise UserError(
            f"the model of {run.folder.path} takes no prior by name, so there is none to change"
        )
    config = config_with_prior(run, prior, dict(options or {}))
    corpus = load_run_corpus(run)
    train = some_sentences(corpus, "train", num_train_sentences, seed)
    start = with_prior(run, old, config, seed)
    check_support(start.model, start.guide, train[0])

    def fit(present: Pair, config: TrainConfig, seed: int) -> FittedPair:
        if target == "aggregate":
            return fit_to_aggregate(run, corpus, present, config, seed)
        return fit_to_likelihood(
            run, corpus, present, config, train, seed, go_on=present is not old
        )

    first = step = fit(old, config, seed)
    steps, retrained = [first], []
    for number in range(1, alternate + 1):
        retrained.append(_retrain(step.pair, corpus, run.config, seed + number))
        step = fit(step.pair, step.config, seed + number)
        steps.append(step)
    on_train = None
    if target == "likelihood":
        on_train = _checked_on_train(old, step.pair, train, num_sentences, scoring)
    effect = effect_on(
        old,
        step.pair,
        some_sentences(corpus, split, num_sentences, seed),
        some_sentences(corpus, split, max(num_sentences, _SENTENCES_OF_BOUND), seed),
        scoring,
        same_guide=not alternate,
    )
    _write(
        run, new, step, corpus, _origin(run, weights, target, alternate, step), overwrite=overwrite
    )
    return Refit(
        **vars(effect),
        fitted=step.fitted,
        before_fit=first.before,
        traces=tuple(trace for each in steps for trace in each.traces),
        median_ess=tuple(ess for each in steps for ess in each.median_ess),
        on_train=on_train,
        retrained=tuple(retrained),
    )


def _retrain(pair: Pair, corpus: Corpus, config: TrainConfig, seed: int) -> tuple[float, float]:
    """Train the guide on under the present prior; the bound of the valid split, before and after.

    Afterwards the whole pair is in evaluation mode again.
    """
    epochs = iter(range(_EPOCHS_OF_GUIDE))
    result = retrain_guide(
        pair.model,
        pair.guide,
        lambda: corpus.batches("train", seed=seed, epoch=next(epochs), **config.batch_limits),
        lambda: corpus.batches("valid", _SENTENCES_AT_ONCE, shuffle=False),
        epochs=_EPOCHS_OF_GUIDE,
        learning_rate=config.learning_rate,
        seed=seed,
    )
    pair.modules.eval()
    return result


def _checked_on_train(
    old: Pair, new: Pair, train: Batches, num_sentences: int, scoring: EvaluationConfig
) -> Comparison:
    """The nll of some of the sentences that were fitted, by draws of their own.

    :raises UserError: where it has risen, which EM on the likelihood itself does not do.
    """
    some = train[: -(-num_sentences // len(train[0]["tokens"]))]
    before, after = (log_px(pair, some, scoring) for pair in (old, new))
    result = compare(after, before)
    if result.sign > 0:
        raise UserError(
            "log p(x) of the very sentences that the prior is fitted to has fallen: "
            f"{result.verdict('the new prior', 'the old prior')}; the draws of the posterior are "
            "not to be trusted here, and nothing is written: give --target aggregate"
        )
    return result


def _origin(
    run: StoredRun, weights: str | None, target: RefitTarget, alternate: int, step: FittedPair
) -> dict[str, Any]:
    return {
        "of": str(run.folder.path),
        "weights_sha256": weights,
        "target": target,
        "alternate": alternate,
        "chosen_by_held_out": ["num_components"] if step.fitted.tried else [],
    }


def _write(
    run: StoredRun,
    folder: RunFolder,
    step: FittedPair,
    corpus: Corpus,
    origin: Mapping[str, Any],
    *,
    overwrite: bool,
) -> None:
    tokenizer = load_tokenizer(run)
    kind = run.tokenizer_kind or run.config.tokenizer
    config, pair = step.config, step.pair
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
                refit=dict(origin),
            )
            folder.replace(new)
        remember(StoredRun(folder, config, dict(run.sizes), contents).own_code)
