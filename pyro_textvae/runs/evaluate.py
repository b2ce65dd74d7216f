# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every number about a run on a split."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyro_textvae import zoo
from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Batch, Corpus, Tokenizer
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.evaluation import LogLikelihood, information, log_likelihood
from pyro_textvae.evaluation.checks import check
from pyro_textvae.evaluation.importance.proposal import Proposal
from pyro_textvae.processes import rank_and_size
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.environment import describe_environment
from pyro_textvae.run_folder.files import plain_json, write_json
from pyro_textvae.run_folder.sentence_table import sentence_table_path, write_sentence_table
from pyro_textvae.runs.load import load_corpus_of, load_run, load_run_corpus
from pyro_textvae.units import UNITS, bits, perplexity

# The likelihood's own, which are of the same sentences and by more draws.
_KNOWN_ALREADY = ("kl", "num_sentences", "num_draws")


@dataclass(frozen=True)
class Evaluation:
    """Every number about a run on a split, and the sentences' own.

    ``result`` goes into ``evaluation.json``: plain values in the units of the README, nats per
    sentence; ``likelihood`` has the estimates of each sentence, in corpus order.
    """

    result: dict[str, Any]
    likelihood: LogLikelihood


def evaluate(
    path: str | Path | RunFolder,
    *,
    split: str = "test",
    data: str | None = None,
    text_column: str | None = None,
    num_samples: int = 100,
    proposal: Proposal | None = None,
    quasi_random: bool = False,
    target_standard_error: float | None = None,
    most_rounds: int = 10,
    batch_size: int = 32,
    max_tokens: int | None = None,
    seed: int = 0,
    device: str = "auto",
    partial: Path | None = None,
    checked: bool = False,
) -> Evaluation:
    """Every number about a run on a split.

    :param data: other text, read with the run's tokenizer; its fingerprint is in the result.
    :param partial: a file that keeps finished sentences, so that a stopped evaluation goes on.
    :param checked: whether to check the likelihood by annealing too, on some of the sentences.
    :raises UserError: when the run, the text or a sentence's length does not fit.
    """
    folder = RunFolder.of(path)
    model, guide, tokenizer = load_run(folder, device=device)
    stored = folder.read_config()
    settings = folder.read_settings()
    if data is None:
        corpus = load_run_corpus(folder)
    else:
        corpus = _other_corpus(data, text_column, settings, tokenizer, stored["sizes"])
    try:
        likelihood = log_likelihood(
            model,
            guide,
            corpus.batches(split, batch_size, shuffle=False),
            num_samples,
            seed,
            proposal=proposal,
            quasi_random=quasi_random,
            target_standard_error=target_standard_error,
            most_rounds=most_rounds,
            max_tokens=max_tokens,
            partial=partial,
            progress=True,
        )
    except ValueError as error:
        raise UserError(f"{path} cannot be scored: {in_one_line(error)}") from error
    if likelihood.points:
        raise UserError(f"{path} cannot be scored: {likelihood.notes[0]}; use another guide")
    rank, _ = rank_and_size()
    if rank > 0:
        return Evaluation({}, likelihood)

    def batches() -> Iterator[Batch]:
        return corpus.batches(split, batch_size, shuffle=False)

    known = information(model, guide, batches(), seed).to_dict()
    result = {
        "run": str(path),
        "model": stored["specs"]["model"],
        "guide": stored["specs"]["guide"],
        "data": data or settings.data,
        "split": split,
        "units": UNITS,
        "num_left_out": corpus.summary()[split]["dropped_too_long"],
        "num_cut": corpus.summary()[split]["truncated"],
        **_of_likelihood(likelihood, *_raw_counts(corpus, split)),
        **{name: value for name, value in known.items() if name not in _KNOWN_ALREADY},
        "latent_dim": len(known["unit_variance"]),
        "corpus_fingerprint": corpus.fingerprint,
        "seed": seed,
        "environment": describe_environment(),
    }
    if checked:
        result["check"] = check(
            model, guide, batches(), likelihood, seed=seed, max_tokens=max_tokens
        )
        result["proposals"] = result["check"].pop("proposals", [])
    result["evaluation_id"] = _identity(result, likelihood)
    return Evaluation(result, likelihood)


def evaluate_with(
    config: EvaluationConfig, path: str | Path | RunFolder, *, partial: Path | None = None
) -> Evaluation:
    """:func:`evaluate` with settings as the command line takes them."""
    return evaluate(
        path,
        split=config.split,
        data=config.data,
        text_column=config.text_column,
        num_samples=config.num_samples,
        proposal=build_proposal(config),
        quasi_random=config.quasi_random,
        target_standard_error=config.target_standard_error,
        most_rounds=config.most_rounds,
        batch_size=config.batch_size,
        max_tokens=config.max_tokens,
        seed=config.seed,
        device=config.device,
        partial=partial,
        checked=config.check,
    )


def build_proposal(config: EvaluationConfig) -> Proposal:
    """The proposal of the settings.

    :raises UserError: for one that does not exist, or an option that it does not take.
    """
    used: set[str] = set()
    found = zoo.load("proposals", config.proposal)
    if not issubclass(found, Proposal):
        raise UserError(
            f"{config.proposal} is no proposal: derive it from "
            "pyro_textvae.evaluation.importance.proposal.Proposal"
        )
    built = zoo.build(found, config.proposal_options, used)
    unknown = sorted(set(config.proposal_options) - used)
    if unknown:
        takes = ", ".join(name for name in vars(built)) or "none"
        raise UserError(
            f"the {config.proposal} proposal has no option {unknown[0]!r}; it takes: {takes}"
        )
    return built


def partial_of(out: Path) -> Path:
    """Where an evaluation keeps its finished sentences until it is over."""
    return out.with_suffix(".partial")


def write_evaluation(
    out: Path, evaluation: Evaluation, config: EvaluationConfig, command: str
) -> None:
    """Write an evaluation and the table of its sentences; the finished sentences are forgotten."""
    settings = {"command": command, "settings": config.identity()}
    write_json(out, plain_json({**settings, **evaluation.result}))
    write_sentence_table(
        sentence_table_path(out),
        evaluation.result["evaluation_id"],
        evaluation.likelihood.sentence_columns(),
    )
    partial = partial_of(out)
    for file in partial.parent.glob(f"{glob.escape(partial.name)}.*"):
        file.unlink()


def _of_likelihood(likelihood: LogLikelihood, words: int, characters: int | None) -> dict[str, Any]:
    total_nll = -likelihood.log_px.sum().item()
    return {
        "num_sentences": likelihood.num_sentences,
        "num_tokens": likelihood.num_tokens,
        "exact": likelihood.exact,
        "nll": likelihood.nll,
        "nll_standard_error": likelihood.nll_standard_error,
        "nll_sampling_error": likelihood.nll_sampling_error,
        "elbo": -likelihood.elbo.mean().item(),
        "reconstruction": -likelihood.reconstruction.mean().item(),
        "kl": likelihood.kl.mean().item(),
        "ppl": likelihood.ppl,
        "ppl_elbo": likelihood.ppl_elbo,
        "bits_per_word": bits(total_nll, words),
        "ppl_per_word": perplexity(total_nll, words),
        "bits_per_character": bits(total_nll, characters) if characters else None,
        "num_samples": likelihood.num_samples,
        "proposal": likelihood.proposal["name"],
        "proposal_settings": {k: v for k, v in likelihood.proposal.items() if k != "name"},
        "mean_draws": likelihood.num_draws.double().mean().item(),
        "decoder_evaluations": int(likelihood.decoder_evaluations.sum()),
        "median_ess": likelihood.ess.median().item(),
        "heavy_tail_share": likelihood.heavy_tail_share,
        "flagged_sentences": int(likelihood.flagged.sum()),
        "doubling_increment": likelihood.doubling_increment,
        "doubling_ratio": likelihood.doubling_ratio,
        "remaining_bias": likelihood.remaining_bias,
        "curve": likelihood.growth,
        "warnings": likelihood.warnings,
        "notes": list(likelihood.notes),
    }


def _other_corpus(
    data: str,
    text_column: str | None,
    settings: TrainConfig,
    tokenizer: Tokenizer,
    sizes: dict[str, int],
) -> Corpus:
    """Other text in the run's ids.

    Nothing is left out: a likelihood of the short sentences alone would look too good.
    """
    other = replace(
        settings,
        data=data,
        text_column=text_column,
        num_sentences=None,
        max_length=None,
        truncate=False,
    )
    corpus = load_corpus_of(other, tokenizer)
    if corpus.max_length > sizes["max_length"]:
        raise UserError(
            f"{data} has a sentence of {corpus.max_length} tokens, the model was built for "
            f"{sizes['max_length']}: train it with a larger max_length, or leave such sentences "
            "out of the text"
        )
    return corpus


def _identity(result: dict[str, Any], likelihood: LogLikelihood) -> str:
    """A name for these very numbers, by which the sentences' file is known to belong to them."""
    digest = hashlib.sha256(json.dumps(result, sort_keys=True, default=str).encode())
    digest.update(likelihood.log_px.numpy().tobytes())
    return digest.hexdigest()[:16]


def _raw_counts(corpus: Corpus, split: str) -> tuple[int, int | None]:
    """Words and characters of the raw text, one ``<eos>`` a sentence counted as each.

    Word tokenizers lose the raw text's characters, so there is no number for those.
    """
    rows = getattr(corpus, split)
    if corpus.tokenizer.kind in ("word", "nltk"):
        return rows.num_tokens, None
    texts = [corpus.tokenizer.decode(row.tolist()) for row in rows]
    return sum(len(text.split()) + 1 for text in texts), sum(len(text) + 1 for text in texts)
