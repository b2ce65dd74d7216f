# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every number about a run on a split."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from pyro_textvae import zoo
from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Batch, Corpus, Tokenizer
from pyro_textvae.data.corpus_files import is_without_splits
from pyro_textvae.data.longest_document import LONGEST_DOCUMENT
from pyro_textvae.data.records import SPLITS
from pyro_textvae.displayed import Displayed, as_plain
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.evaluation import LogLikelihood, information, log_likelihood
from pyro_textvae.evaluation.by_guide import ByGuide
from pyro_textvae.evaluation.checks import check
from pyro_textvae.evaluation.excess import Excess
from pyro_textvae.evaluation.importance.partial_results import remove_partial_results
from pyro_textvae.evaluation.importance.proposal import Proposal
from pyro_textvae.evaluation.importance.rounds import DrawSettings
from pyro_textvae.evaluation.label_probabilities import LabelProbabilities
from pyro_textvae.evaluation.over_globals import draw_globals
from pyro_textvae.evaluation.pair_likelihood import PairLikelihood
from pyro_textvae.processes import rank_and_size
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.environment import describe_environment
from pyro_textvae.run_folder.files import plain_json, write_json
from pyro_textvae.run_folder.quantities import quantity
from pyro_textvae.run_folder.sentence_table import sentence_table_path, write_sentence_table
from pyro_textvae.run_folder.weights_hash import load_with_hash
from pyro_textvae.runs.build import Pair
from pyro_textvae.runs.label_numbers import label_columns, label_numbers
from pyro_textvae.runs.load import (
    StoredRun,
    load_corpus_of,
    load_pair,
    load_run_corpus,
    load_tokenizer,
    read_run,
)
from pyro_textvae.runs.mining_numbers import mining_numbers
from pyro_textvae.runs.topic_numbers import numbers_of_topics
from pyro_textvae.units import UNITS, bits, perplexity

# The likelihood has them too, of the same sentences and by more draws.
_OF_THE_LIKELIHOOD = ("kl", "num_sentences", "num_draws")

_CUT = "no bits per character, as sentences were cut: their raw text is not what was scored"


@dataclass(frozen=True, repr=False)
class Evaluation(Displayed):
    """Every number about a run on a split, and the sentences' own.

    ``result`` goes into ``evaluation.json``: plain values in the units of docs/numbers.md, nats per
    sentence; ``likelihood`` has the estimates of each sentence, in corpus order, and ``by_guide``
    those of some by the guide's own weights, where others made the first. ``excess`` is over the
    truth, where that is known.
    """

    result: dict[str, Any]
    likelihood: LogLikelihood
    by_guide: ByGuide | None = None
    excess: Excess | None = None

    def _shown(self) -> dict[str, Any]:
        return dict(self.result)

    def _columns(self) -> dict[str, Any]:
        return dict(self.likelihood.sentence_columns())

    def to_dict(self) -> dict[str, Any]:
        """The numbers, as evaluation.json holds them."""
        return {name: as_plain(value) for name, value in self.result.items()}


def evaluate(
    path: str | Path | RunFolder,
    config: EvaluationConfig,
    *,
    partial: Path | None = None,
    trust_code: bool = False,
) -> Evaluation:
    """Every number about a run on a split.

    :param trust_code: execute what the run names from outside the catalogue, see :func:`load_run`.
    :param partial: a file that keeps finished sentences, so that a stopped evaluation goes on.
    :raises UserError: when the run, the text, the proposal or a sentence's length does not fit.
    """
    proposal = build_proposal(config)
    run = read_run(path, trust_code=trust_code)
    tokenizer = load_tokenizer(run)
    pair, weights = load_with_hash(run.folder, lambda: load_pair(run, device=config.device))
    if config.label_column is not None and run.label_names is None and not config.mining:
        raise UserError(
            f"label_column={config.label_column!r}: the run was trained without labels, so they "
            "are of use to mining alone: give --mining too, or leave the column out"
        )
    corpus = corpus_to_score(run, config, tokenizer)

    def batches() -> Iterator[Batch]:
        return corpus.batches(config.split, config.batch_size, shuffle=False)

    if config.check:
        _refuse_check_of_globals(pair, next(batches(), None))
    # Before the likelihood, which takes longer: it may have to refuse.
    of_mining = (
        mining_numbers(pair, corpus, config.split, config.seed, config.mining_vectors)
        if config.mining
        else None
    )
    try:
        likelihood = log_likelihood(
            pair.model,
            pair.guide,
            batches(),
            config.num_samples,
            config.seed,
            proposal=proposal,
            quasi_random=config.quasi_random,
            target_standard_error=config.target_standard_error,
            most_rounds=config.most_rounds,
            num_global_draws=config.num_global_draws,
            max_tokens=config.max_tokens,
            partial=partial,
            progress=True,
        )
    except ValueError as error:
        raise UserError(f"{path} cannot be scored: {in_one_line(error)}") from error
    if likelihood.points:
        raise UserError(f"{path} cannot be scored: {likelihood.notes[0]}; use another guide")
    if not likelihood.log_px.isfinite().any():
        raise UserError(
            f"{path} cannot be scored: none of its {likelihood.num_sentences} sentences has a "
            "finite log-likelihood; the weights, or the densities of guide and prior, are beyond "
            "what numbers can hold"
        )
    pair_likelihood = PairLikelihood.of(
        likelihood,
        pair.model,
        pair.guide,
        batches,
        num_samples=config.num_samples,
        seed=config.seed,
        proposal=proposal,
        quasi_random=config.quasi_random,
        target_standard_error=config.target_standard_error,
        most_rounds=config.most_rounds,
        max_tokens=config.max_tokens,
        progress=True,
    )
    by_guide = None
    if proposal.has_guide_beside and not likelihood.exact and not likelihood.beside_text:
        by_guide = ByGuide.of(
            pair.model,
            pair.guide,
            batches(),
            seed=config.seed,
            num_global_draws=config.num_global_draws,
            max_tokens=config.max_tokens,
        )
    rank, _ = rank_and_size()
    if rank > 0:
        return Evaluation({}, likelihood, by_guide)

    excess = None
    if pair_likelihood is not None:
        given_source = pair_likelihood.log_px_given_source
        excess = Excess.of(corpus, config.split, pair.model, given_source)
    elif not likelihood.beside_text:
        summed_out = likelihood.summed_out.fields if likelihood.summed_out else ()
        log_px = likelihood.log_px
        excess = Excess.of(corpus, config.split, pair.model, log_px, summed_out)
    of_latents = information(pair.model, pair.guide, batches(), config.seed)
    measured = of_latents.to_dict()
    summary = corpus.summary()[config.split]
    result = {
        "run": str(path),
        "model": run.contents["specs"]["model"],
        "guide": run.contents["specs"]["guide"],
        "weights_sha256": weights,
        "data": config.data or run.config.data,
        "split": config.split,
        "units": UNITS,
        "unicode_form": corpus.tokenizer.unicode_form,
        "num_document_sentences": _num_document_sentences(corpus, config.split),
        "num_given": _num_given(corpus) if config.data else None,
        "num_left_out": summary["dropped_too_long"] + summary.get("dropped_source_too_long", 0),
        "num_cut": summary["truncated"] + summary.get("sources_truncated", 0),
        **_of_pairs(summary, pair_likelihood),
        "unknown_token_share": summary["unknown_token_share"],
        "text_warnings": [*corpus.source_warnings, *corpus.warnings(config.split)],
        **_of_likelihood(likelihood, *_units_of_text(corpus, config.split)),
        **label_numbers(likelihood),
        **_of_globals(likelihood),
        **_of_labels(likelihood, run.label_names, config.seed),
        **numbers_of_topics(pair, batches(), likelihood, corpus, config.split),
        **({} if by_guide is None else by_guide.compared_with(likelihood)),
        **({} if excess is None else {"truth": excess.to_dict()}),
        **{name: value for name, value in measured.items() if name not in _OF_THE_LIKELIHOOD},
        "latent_dim": len(measured["unit_variance"]),
        "corpus_fingerprint": corpus.fingerprint,
        "seed": config.seed,
        "environment": describe_environment(),
    }
    result["warnings"] += [
        f"{quantity(name).label or name} is not finite: densities of guide or prior are beyond "
        "what numbers can hold"
        for name in of_latents.not_finite
    ]
    if of_mining:
        result["mining"] = of_mining
    if config.check:
        result["check"] = check(
            pair.model,
            pair.guide,
            batches(),
            likelihood,
            seed=config.seed,
            max_tokens=config.max_tokens,
        )
        result["proposals"] = result["check"].pop("proposals", [])
    result["evaluation_id"] = _identity(result, likelihood)
    return Evaluation(result, likelihood, by_guide, excess)


def build_proposal(config: EvaluationConfig) -> Proposal:
    """The proposal of the settings.

    :raises UserError: for one that does not exist, an option that it does not take, or draws that
        it cannot make.
    """
    proposal_class = zoo.load("proposals", config.proposal)
    accepted = zoo.parameters(proposal_class)
    for name in sorted(config.proposal_options):
        if name not in accepted:
            raise UserError(
                f"the {config.proposal} proposal has no option {name!r}; it takes: "
                f"{', '.join(accepted) or 'none'}"
            )
    proposal: Proposal = zoo.build(proposal_class, config.proposal_options)
    rounds = 1 if config.target_standard_error is None else config.most_rounds
    draws = DrawSettings(
        config.num_samples, config.quasi_random, config.target_standard_error, rounds
    )
    reason = proposal.refuses(draws)
    if reason is not None:
        raise UserError(reason)
    return proposal


def partial_of(out: Path) -> Path:
    """Where an evaluation keeps its finished sentences until it is over."""
    return out.with_suffix(".partial")


def write_evaluation(
    out: Path, evaluation: Evaluation, config: EvaluationConfig, command: str
) -> None:
    """Write an evaluation and the table of its sentences; its partial results are forgotten."""
    settings = {"command": command, "settings": config.identity()}
    write_json(out, plain_json({**settings, **evaluation.result}))
    write_sentence_table(
        sentence_table_path(out),
        evaluation.result["evaluation_id"],
        sentence_columns(evaluation),
    )
    for identity in evaluation.likelihood.identities:
        remove_partial_results(partial_of(out), identity)


def sentence_columns(evaluation: Evaluation) -> dict[str, Tensor]:
    """What is written down of every sentence, by name."""
    columns = evaluation.likelihood.sentence_columns()
    columns |= label_columns(evaluation.likelihood)
    if evaluation.by_guide is not None:
        columns["log_px_by_guide"] = evaluation.by_guide.column(len(columns["log_px"]))
    if evaluation.excess is not None:
        columns["log_px_true"] = evaluation.excess.log_px_true
    return columns


def _of_likelihood(
    likelihood: LogLikelihood, words: int | None, characters: int | None
) -> dict[str, Any]:
    total_nll = -likelihood.log_px.sum().item()
    joint: dict[str, Any] = {}
    if likelihood.beside_text:
        words = characters = None
        joint = {
            "beside_text": list(likelihood.beside_text),
            "nll_joint": likelihood.nll_joint,
            "nll_joint_standard_error": likelihood.nll_standard_error,
            # Errors and growth are those of nll_joint, and would stand under the name of the nll.
            **dict.fromkeys(("nll", "nll_standard_error", "nll_sampling_error")),
            **dict.fromkeys(("nll_interval_low", "nll_interval_high")),
            **dict.fromkeys(("nll_smoothed", "nll_jackknife")),
            **dict.fromkeys(("ppl", "ppl_elbo")),
            "curve": [],
        }
    interval = likelihood.nll_interval or (None, None)
    values = {
        "num_sentences": likelihood.num_sentences,
        "num_tokens": likelihood.num_tokens,
        "exact": likelihood.exact,
        "nll": likelihood.nll,
        "nll_standard_error": likelihood.nll_standard_error,
        "nll_interval_low": interval[0],
        "nll_interval_high": interval[1],
        "no_interval": likelihood.no_interval,
        "nll_smoothed": likelihood.nll_smoothed,
        "nll_jackknife": likelihood.nll_jackknife,
        "settled_share": likelihood.settled_share,
        "nll_sampling_error": likelihood.nll_sampling_error,
        "elbo": -likelihood.elbo.mean().item(),
        "reconstruction": -likelihood.reconstruction.mean().item(),
        "kl": likelihood.kl.mean().item(),
        "ppl": likelihood.ppl,
        "ppl_elbo": likelihood.ppl_elbo,
        "bits_per_word": None if words is None else bits(total_nll, words),
        "ppl_per_word": None if words is None else perplexity(total_nll, words),
        "bits_per_character": None if characters is None else bits(total_nll, characters),
        "num_samples": likelihood.num_samples,
        "proposal": likelihood.proposal["name"],
        "proposal_settings": {k: v for k, v in likelihood.proposal.items() if k != "name"},
        "mean_draws": likelihood.num_draws.double().mean().item(),
        "decoder_evaluations": int(likelihood.decoder_evaluations.sum()),
        "median_ess": likelihood.median_ess,
        "heavy_tail_share": likelihood.heavy_tail_share,
        "flagged_sentences": int(likelihood.flagged.sum()),
        "doubling_increment": likelihood.doubling_increment,
        "doubling_ratio": likelihood.doubling_ratio,
        "remaining_bias": likelihood.remaining_bias,
        "curve": likelihood.growth,
        "warnings": list(likelihood.warnings),
        "notes": [
            *likelihood.notes,
            *([_CUT] if characters is None and not likelihood.beside_text else []),
        ],
    }
    return values | joint


def _of_labels(likelihood: LogLikelihood, names: Sequence[str] | None, seed: int) -> dict[str, Any]:
    """How well labels are told; nothing where the model has none, or no sentence has one."""
    probabilities = LabelProbabilities.of(likelihood, tuple(names or ()))
    found = {} if probabilities is None else probabilities.to_dict(seed=seed)
    return {"classification": found} if found else {}


def _of_globals(likelihood: LogLikelihood) -> dict[str, Any]:
    """What is known of the global latents; nothing where there is none."""
    draws = likelihood.global_draws
    if draws is None:
        return {}
    return {
        "global_latents": {
            "num_draws": draws.count,
            "nll_global_error": likelihood.nll_global_error,
            "nll_local_error": likelihood.nll_local_error,
            "kl": sum(draws.kl.values()),
            "kl_of_sites": dict(draws.kl),
        }
    }


def _refuse_check_of_globals(pair: Pair, batch: Batch | None) -> None:
    draws = draw_globals(pair.model, pair.guide, batch, 0, 1)
    if draws:
        name = next(iter(draws[0].values))
        raise UserError(
            f"check compares estimates of one likelihood, and with the global latent {name!r} "
            "there is one for each of its draws: leave check out"
        )


def corpus_to_score(run: StoredRun, config: EvaluationConfig, tokenizer: Tokenizer) -> Corpus:
    """The run's own corpus, or other text in the run's ids, and its labels by the run's indices."""
    if config.data is None:
        return load_run_corpus(run)
    return load_other_text(config, run.config, run.sizes, run.label_names, tokenizer)


def load_other_text(
    config: EvaluationConfig,
    trained: TrainConfig,
    sizes: Mapping[str, int],
    label_names: Sequence[str] | None,
    tokenizer: Tokenizer,
) -> Corpus:
    """Text to score that a model was not trained on.

    Nothing is left out of it: a likelihood of the short sentences alone would look too good. Of a
    single file, all is scored.

    :param sizes: that the model is built for.
    :param label_names: of the model, in the order of their indices.
    :raises UserError: when the text cannot be read, or has what the model is not built for.
    """
    assert config.data is not None
    settings = _settings_of_other_text(trained, config)
    most = sizes.get("max_sentences")
    if (most or 0) > LONGEST_DOCUMENT:
        # What the model was built for is no surprise; longer documents are refused below.
        settings = replace(settings, max_sentences=sys.maxsize)
    file_split = config.split if is_without_splits(config.data) else None
    of_labels = label_names if config.label_column is not None else None
    corpus = load_corpus_of(settings, tokenizer, of_labels, file_split)
    if corpus.max_length > sizes["max_length"]:
        raise UserError(
            f"{config.data} has a sentence of {corpus.max_length} tokens, the model was built for "
            f"{sizes['max_length']}: train it with a larger max_length, or leave such "
            "sentences out of the text"
        )
    if corpus.max_sentences is not None and most is not None and corpus.max_sentences > most:
        raise UserError(
            f"{config.data} has a document of {corpus.max_sentences} sentences, the model was "
            f"built for {most}: train it with a larger max_sentences, or leave such documents out"
        )
    return corpus


def _settings_of_other_text(trained: TrainConfig, config: EvaluationConfig) -> TrainConfig:
    """How other text than that of training is read: whole, by the columns of the evaluation."""
    data = config.data
    assert data is not None
    empty_pairs = config.empty_pairs
    if empty_pairs is None:
        empty_pairs = trained.empty_pairs if config.source_column else "refuse"
    has_sources = config.source_column is not None or data.startswith("world:")
    return replace(
        trained,
        data=data,
        text_column=config.text_column,
        source_column=config.source_column,
        label_column=config.label_column,
        document_column=config.document_column,
        labelled_share=None,
        labelled_seed=None,
        unlabelled="keep",
        quotes=config.quotes,
        empty_pairs=empty_pairs,
        source_turns=trained.source_turns if config.source_column else None,
        copy_unknown_words=trained.copy_unknown_words and has_sources,
        num_sentences=None,
        data_options={},
        max_length=None,
        max_source_length=None,
        max_sentences=None,
        truncate=False,
    )


def _of_pairs(
    summary: dict[str, Any], likelihood: PairLikelihood | None
) -> dict[str, dict[str, Any]]:
    """What is known of pairs of text and source; nothing where nothing is."""
    values: dict[str, Any] = {} if likelihood is None else likelihood.to_dict()
    dropped = summary.get("empty_pairs_dropped")
    if dropped is not None:
        values["empty_dropped"] = dropped
    return {"pairs": values} if values else {}


def _num_given(corpus: Corpus) -> int:
    """Sentences of all splits together."""
    return sum(len(corpus.split(name)) for name in SPLITS)


def _identity(result: dict[str, Any], likelihood: LogLikelihood) -> str:
    """A name for these very numbers, by which the sentences' file is known to belong to them."""
    digest = hashlib.sha256(json.dumps(result, sort_keys=True, default=str).encode())
    digest.update(likelihood.log_px.numpy().tobytes())
    return digest.hexdigest()[:16]


def _num_document_sentences(corpus: Corpus, split: str) -> int | None:
    """Sentences of all documents of a split; None where a datum is one sentence."""
    of_documents = corpus.split(split).num_sentences
    return None if of_documents is None else int(of_documents.sum())


def _units_of_text(corpus: Corpus, split: str) -> tuple[int | None, int | None]:
    """Words and characters of the raw text, one ``<eos>`` a sentence counted as each.

    None for what is not known of sentences that were cut.
    """
    sentences, counts = corpus.split(split), corpus.raw_counts(split)
    if counts is not None:
        words, characters = counts
        return words + len(sentences), characters + len(sentences)
    return (sentences.num_tokens if corpus.tokenizer.tokens_are_words else None), None
