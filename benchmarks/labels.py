# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How well runs tell labels, beside a bag of words; and beside the truth, where it is known.

    python benchmarks/labels.py runs/world-sentiment [--split test] [--num-samples 100]

Of each run of a grid's folder: accuracy by the model, by its guide, and by logistic regression on
the counts of words of the same labelled sentences, and the paired differences to the latter. On
world:sentiment also to the best reader there is, the mean of KL(p(y | x), model's), and the mean
exact p(y | x) of sentences that were generated on y, of those that are sentences of the world, by
several ways to draw them, beside that of the world's own. Intervals of 95 %, of 2,000 resamples.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_textvae import generation
from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.data import Corpus
from pyro_textvae.data.corpus import Split
from pyro_textvae.errors import UserError
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs import load_run, load_run_corpus
from pyro_textvae.runs.augment import augment
from pyro_textvae.runs.classify import LabelProbabilities, classify

NUM_RESAMPLES = 2000
NUM_GENERATED = 1000
"""Sentences of each label."""
KEPT = "kept by the model"
"""Ancestral draws whose own p(y | x), by the model, is at least 0.8: what augment does."""


def mean_with_interval(values: np.ndarray) -> str:
    """The mean of numbers of sentences, and where that of other such sentences would be."""
    generator = np.random.default_rng(0)
    share = np.full(len(values), 1 / len(values))
    means = generator.multinomial(len(values), share, size=NUM_RESAMPLES) @ values / len(values)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():+.4f} [{low:+.4f}, {high:+.4f}]"


def counts(split: Split | Sequence[Tensor], vocab_size: int) -> np.ndarray:
    """How often each word is in each sentence, ``(N, V)``."""
    rows = np.zeros((len(split), vocab_size))
    for place, row in enumerate(split):
        np.add.at(rows[place], row.numpy(), 1)
    return rows


def bag_of_words(corpus: Corpus, split: str) -> np.ndarray:
    """The labels that logistic regression on counts tells, ``(N,)``."""
    from sklearn.linear_model import LogisticRegression

    labels, size = np.asarray(corpus.train.labels), len(corpus.tokenizer)
    given = labels >= 0
    reader = LogisticRegression(max_iter=2000)
    reader.fit(counts(corpus.train, size)[given], labels[given])
    found: np.ndarray = reader.predict(counts(corpus.split(split), size))
    return found


def exact_posterior(corpus: Corpus, split: str) -> np.ndarray:
    """p(y | x) of the world, ``(N, C)``."""
    world: Any = corpus.world
    texts = [corpus.tokenizer.decode(row.tolist()) for row in corpus.split(split)]
    posteriors = [world.label_posterior(text) for text in texts]
    return np.array([[each[name] for name in corpus.label_names] for each in posteriors])


def generated_on(run: Path, corpus: Corpus, decoding: str) -> tuple[list[tuple[str, str]], float]:
    """Texts with the labels that they were generated on, and the share of draws that was kept."""
    if decoding == KEPT:
        config = EvaluationConfig(split="train", num_samples=20, proposal="guide")
        ratio = 2 * NUM_GENERATED / int((np.asarray(corpus.train.labels) >= 0).sum())
        made = augment(run, config, ratio=ratio, min_probability=0.8, latents_from="prior")
        texts = [(made.tokenizer.decode(each.tokens), each.label) for each in made.sentences]
        return texts, len(texts) / made.num_generated
    model, _, tokenizer = load_run(run)
    texts = []
    for index, name in enumerate(corpus.label_names):
        condition = {"labels": torch.full((NUM_GENERATED,), index)}
        rows = generation.sample(model, condition, method=decoding, seed=index)
        texts += [(tokenizer.decode(row), name) for row in rows.tolist()]
    return texts, 1.0


def to_order(run: Path, corpus: Corpus, decoding: str) -> str:
    """How sure the best reader is of the label that sentences were generated on."""
    world: Any = corpus.world
    texts, kept = generated_on(run, corpus, decoding)
    sure = []
    for text, name in texts:
        with suppress(UserError):
            sure.append(world.label_posterior(text)[name])
    others = 1 - len(sure) / len(texts)
    said = f"{others:.1%} are no sentences of the world, {kept:.0%} of the draws kept"
    return f"{mean_with_interval(np.array(sure))}; {said}" if sure else said


def report(run: Path, split: str, num_samples: int) -> None:
    """Print the numbers of one run."""
    config = EvaluationConfig(split=split, num_samples=num_samples, proposal="guide")
    of: LabelProbabilities = classify(run, config).probabilities
    corpus = load_run_corpus(RunFolder(run))
    labels, given = of.given.numpy(), of.given.numpy() >= 0
    settings = json.loads((run / "config.json").read_text())["corpus"]["train"]
    print(f"\n{run}: {settings['labelled']} labels of {settings['sentences']} sentences")

    def right(found: Tensor | np.ndarray) -> np.ndarray:
        return (np.asarray(found) == labels)[given].astype(float)

    readers = {"by the model": right(of.by_bayes.argmax(1))}
    if of.by_guide is not None:
        readers["by the guide"] = right(of.by_guide.argmax(1))
    readers["bag of words"] = right(bag_of_words(corpus, split))
    truth = None
    if hasattr(corpus.world, "label_posterior"):
        truth = exact_posterior(corpus, split)
        readers["the best reader"] = right(truth.argmax(1))
    for name, each in readers.items():
        print(f"  accuracy, {name:16s} {mean_with_interval(each)}")
    for other in ("bag of words", "the best reader"):
        for name in ("by the model", "by the guide"):
            if other in readers and name in readers:
                difference = mean_with_interval(readers[name] - readers[other])
                print(f"  {name} less {other:16s} {difference}")
    if truth is not None:
        for name, log_q in {"by the model": of.by_bayes, "by the guide": of.by_guide}.items():
            if log_q is not None:
                kl = (truth * (np.log(np.maximum(truth, 1e-300)) - log_q.numpy())).sum(1)
                print(f"  KL to the truth, {name:12s} {mean_with_interval(kl)} nats")
        of_language = truth[np.arange(len(labels)), labels][given]
        print("  p(y | x) of text with the label y")
        print(f"    of the language itself  {mean_with_interval(of_language)}")
        for decoding in ("ancestral", "nucleus", KEPT):
            print(f"    {decoding:22s}  {to_order(run, corpus, decoding)}", flush=True)


def main() -> None:
    """Report on every run of a folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="a run, or the folder of a grid's runs")
    parser.add_argument("--split", default="test")
    parser.add_argument("--num-samples", type=int, default=100)
    given = parser.parse_args()
    runs = [given.folder] if RunFolder(given.folder).is_run() else sorted(given.folder.iterdir())
    for run in runs:
        if RunFolder(run).is_run():
            report(run, given.split, given.num_samples)


if __name__ == "__main__":
    main()
