# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every number about a run on a split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pyro_textvae.config import TrainConfig
from pyro_textvae.data import Corpus
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import information, log_likelihood
from pyro_textvae.evaluation.units import bits, perplexity
from pyro_textvae.runs import load_corpus_of, load_run, load_run_corpus
from pyro_textvae.training import RunFolder
from pyro_textvae.training.run_folder import describe_environment


def evaluate(
    path: str | Path,
    *,
    split: str = "test",
    data: str | None = None,
    text_column: str | None = None,
    num_samples: int = 100,
    batch_size: int = 32,
    max_tokens: int = 16384,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Every number about a run on a split, in the units of the README; nats per sentence.

    :param data: other text, read with the run's tokenizer; its fingerprint is in the result.
    :raises UserError: when the run, the text or a sentence's length does not fit.
    """
    model, guide, tokenizer = load_run(path, device=device)
    stored = RunFolder(path).read_config()
    settings = TrainConfig(**stored["settings"])
    if data is None:
        corpus = load_run_corpus(RunFolder(path))
    else:
        # Nothing is left out: a likelihood of the short sentences alone would look too good.
        other = replace(
            settings,
            data=data,
            text_column=text_column,
            num_sentences=None,
            max_length=None,
            truncate=False,
        )
        corpus = load_corpus_of(other, tokenizer)
        if corpus.max_length > stored["sizes"]["max_length"]:
            raise UserError(
                f"{data} has a sentence of {corpus.max_length} tokens, the model was built for "
                f"{stored['sizes']['max_length']}: train it with a larger max_length, or leave "
                "such sentences out of the text"
            )
    likelihood = log_likelihood(
        model,
        guide,
        corpus.batches(split, batch_size, shuffle=False),
        num_samples,
        seed,
        max_tokens=max_tokens,
        progress=True,
    )
    known = information(model, guide, corpus.batches(split, batch_size, shuffle=False), seed)
    khat = likelihood.khat
    words, characters = _raw_counts(corpus, split)
    total_nll = -likelihood.log_px.sum().item()
    return {
        "run": str(path),
        "model": stored["specs"]["model"],
        "guide": stored["specs"]["guide"],
        "data": data or settings.data,
        "split": split,
        "units": "nats per sentence, summed over its tokens; <eos> counted, <bos> and <pad> not",
        "num_sentences": likelihood.num_sentences,
        "num_tokens": likelihood.num_tokens,
        "num_left_out": corpus.summary()[split]["dropped_too_long"],
        "num_cut": corpus.summary()[split]["truncated"],
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
        "mutual_information": known.mutual_information,
        "mutual_information_upper": known.mutual_information_upper,
        "mutual_information_ceiling": known.mutual_information_ceiling,
        "active_units": known.active_units,
        "latent_dim": len(known.unit_variance),
        "num_samples": num_samples,
        "median_ess": likelihood.ess.median().item(),
        "khat_above_0_7": None if khat.isnan().all() else (khat > 0.7).double().mean().item(),
        "corpus_fingerprint": corpus.fingerprint,
        "seed": seed,
        "environment": describe_environment(),
    }


def _raw_counts(corpus: Corpus, split: str) -> tuple[int, int | None]:
    """Words and characters of the raw text, one ``<eos>`` a sentence counted as each.

    Word tokenizers lose the raw text's characters, so there is no number for those.
    """
    rows = getattr(corpus, split)
    if corpus.tokenizer.kind in ("word", "nltk"):
        return rows.num_tokens, None
    texts = [corpus.tokenizer.decode(row.tolist()) for row in rows]
    return sum(len(text.split()) + 1 for text in texts), sum(len(text) + 1 for text in texts)
