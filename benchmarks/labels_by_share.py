# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What text without labels is worth: a table by the share of labels, over seeds.

    python benchmarks/labels_by_share.py runs/sst2 [--split test] [--num-samples 10]

Of the runs of a grid that differ in `labelled_share`, `unlabelled` and `seed`: accuracy by the
model's p(y | x) and by its guide's q(y | x), with the text without labels and without it, beside
the guide's classifier trained on the labels alone (the same network, start, batches' size, steps
and optimiser, no generative part) and logistic regression on the counts of words. Each is the mean
over seeds; a seed has other labels and other weights. Below, differences of arms of the same seed.
Intervals of 95 % are Student's over the seeds.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from labels import bag_of_words

from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Corpus
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs import load_run_corpus
from pyro_textvae.runs.build import build
from pyro_textvae.runs.classify import classify
from pyro_textvae.runs.load import read_run

STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 10: 2.262}
"""The 97.5 % quantile for so many seeds, of one degree of freedom less."""
ARMS = {
    "with unlabelled text, by p(y | x)": ("keep", "bayes"),
    "with unlabelled text, by q(y | x)": ("keep", "guide"),
    "labelled text alone, by p(y | x)": ("drop", "bayes"),
    "labelled text alone, by q(y | x)": ("drop", "guide"),
    "classifier alone": ("drop", "classifier"),
    "logistic regression on words": ("drop", "words"),
}
PAIRS = [
    ("with unlabelled text, by p(y | x)", "labelled text alone, by p(y | x)"),
    ("with unlabelled text, by q(y | x)", "labelled text alone, by q(y | x)"),
    ("with unlabelled text, by p(y | x)", "classifier alone"),
    ("with unlabelled text, by p(y | x)", "logistic regression on words"),
]


def classifier_alone(config: TrainConfig, corpus: Corpus, split: str) -> np.ndarray:
    """The labels that the guide's q(y | x) tells, trained on the given labels and nothing else."""
    guide: Any = build(config, corpus).guide
    optimizer = torch.optim.AdamW(
        guide.parameters(), config.learning_rate, weight_decay=config.weight_decay or 0.0
    )
    per_epoch = math.ceil(len(corpus.train) / config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs * per_epoch)
    guide.train()
    for epoch in range(config.epochs):
        for batch in corpus.batches("train", config.batch_size, seed=config.seed, epoch=epoch):
            optimizer.zero_grad()
            posterior = guide.label_posterior(guide.encoder(batch["tokens"]))
            loss = -posterior.log_prob(batch["labels"]).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(guide.parameters(), config.clip_norm)
            optimizer.step()
            schedule.step()
    guide.eval()
    labels = np.empty(len(corpus.split(split)), dtype=int)
    with torch.no_grad():
        for batch in corpus.batches(split, 256, shuffle=False):
            logits = guide.label_posterior(guide.encoder(batch["tokens"])).logits
            labels[batch.indices] = logits.argmax(1).numpy()
    return labels


def accuracies(run: Path, split: str, num_samples: int) -> dict[str, float]:
    """Of one run, by the model, by its guide, and without the text where that was dropped."""
    config = EvaluationConfig(split=split, num_samples=num_samples, proposal="guide")
    of = classify(run, config).probabilities
    truth = of.given.numpy()
    told = {"bayes": of.by_bayes.argmax(1).numpy()}
    if of.by_guide is not None:
        told["guide"] = of.by_guide.argmax(1).numpy()
    settings = read_run(RunFolder(run)).config
    if settings.unlabelled == "drop":
        corpus = load_run_corpus(RunFolder(run))
        told["classifier"] = classifier_alone(settings, corpus, split)
        told["words"] = bag_of_words(corpus, split)
    return {name: float((each == truth)[truth >= 0].mean()) for name, each in told.items()}


def mean_over_seeds(values: Mapping[int, float]) -> str:
    """Mean and half of the interval, in percent."""
    each = [100 * value for value in values.values()]
    if len(each) < 2:
        return f"{statistics.mean(each):.1f}"
    half = STUDENT[len(each)] * statistics.stdev(each) / len(each) ** 0.5
    return f"{statistics.mean(each):.1f} ± {half:.1f}"


def main() -> None:
    """Print the table of a grid's folder, and write the numbers beside its runs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder of a grid's runs")
    parser.add_argument("--split", default="test")
    parser.add_argument("--num-samples", type=int, default=10)
    given = parser.parse_args()
    found: dict[float, dict[str, dict[int, float]]] = {}
    for run in sorted(given.folder.iterdir()):
        if not RunFolder(run).is_run():
            continue
        settings = read_run(RunFolder(run)).config
        by = accuracies(run, given.split, given.num_samples)
        print(run.name, {name: round(value, 4) for name, value in by.items()}, flush=True)
        rows = found.setdefault(settings.labelled_share or 1.0, {})
        for name, (unlabelled, reader) in ARMS.items():
            if unlabelled == settings.unlabelled and reader in by:
                rows.setdefault(name, {})[settings.seed] = by[reader]
    numbers = given.folder / f"labels_{given.split}.json"
    numbers.write_text(json.dumps(found, indent=1) + "\n")
    shares = sorted(found, reverse=True)
    print("| accuracy, % | " + " | ".join(f"{share:.1%} of labels" for share in shares) + " |")
    print("|---" * (len(shares) + 1) + "|")
    for name in ARMS:
        cells = [mean_over_seeds(found[s][name]) if name in found[s] else "" for s in shares]
        print(f"| {name} | " + " | ".join(cells) + " |")
    for one, other in PAIRS:
        cells = []
        for share in shares:
            a, b = (found[share].get(name, {}) for name in (one, other))
            paired = {seed: a[seed] - b[seed] for seed in a if seed in b}
            cells.append(mean_over_seeds(paired) if paired else "")
        print(f"| {one}, less {other} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
