# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What text without labels is worth: a table by the share of labels, over seeds.

    python benchmarks/labels_by_share.py runs/sst2 [--split test] [--num-samples 10]

Of the runs of a grid that differ in `labelled_share` and `seed`: accuracy by the model's p(y | x)
and by its guide's q(y | x), beside what the same labels teach without the text of the others: the
guide's network as a classifier alone, from the same start, and logistic regression on the counts of
words. Each is the mean over seeds; a seed has other labels and other weights. Below, differences of
the same seed. Intervals of 95 % are Student's over the seeds.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from labels import bag_of_words

from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Corpus
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.weights_hash import weights_hash
from pyro_textvae.runs.build import build
from pyro_textvae.runs.classify import classify
from pyro_textvae.runs.load import load_corpus_of, read_run

STUDENT = {
    2: 12.706,
    3: 4.303,
    4: 3.182,
    5: 2.776,
    6: 2.571,
    7: 2.447,
    8: 2.365,
    9: 2.306,
    10: 2.262,
}
"""The 97.5 % quantile for so many seeds, of one degree of freedom less."""
ARMS = {
    "bayes": "with unlabelled text, by p(y \\| x)",
    "guide": "with unlabelled text, by q(y \\| x)",
    "classifier": "the network of q(y \\| x) as a classifier alone",
    "words": "logistic regression on words",
}
PAIRS = [
    ("guide", "classifier"),
    ("bayes", "classifier"),
    ("bayes", "words"),
]
EPOCHS, BATCH_SIZE, LEARNING_RATE = 40, 16, 0.003
"""Of the classifier alone."""


def classifier_alone(config: TrainConfig, corpus: Corpus, split: str) -> np.ndarray:
    """The labels that the guide's q(y | x) tells, trained on the given labels and nothing else."""
    guide: Any = build(config, corpus).guide
    optimizer = torch.optim.AdamW(
        guide.parameters(), LEARNING_RATE, weight_decay=config.weight_decay or 0.0
    )
    per_epoch = math.ceil(len(corpus.train) / BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * per_epoch)
    guide.train()
    for epoch in range(EPOCHS):
        for batch in corpus.batches("train", BATCH_SIZE, seed=config.seed, epoch=epoch):
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


def accuracies(path: Path, split: str, num_samples: int) -> dict[str, float]:
    """Of one run, by the model and by its guide, and of the same labels without other text."""
    config = EvaluationConfig(split=split, num_samples=num_samples, proposal="guide")
    of = classify(path, config).probabilities
    truth = of.given.numpy()
    told = {"bayes": of.by_bayes.argmax(1).numpy()}
    if of.by_guide is not None:
        told["guide"] = of.by_guide.argmax(1).numpy()
    run = read_run(RunFolder(path))
    labelled = load_corpus_of(replace(run.text_config, unlabelled="drop"))
    told["classifier"] = classifier_alone(run.config, labelled, split)
    told["words"] = bag_of_words(labelled, split)
    return {name: float((each == truth)[truth >= 0].mean()) for name, each in told.items()}


def mean_over_seeds(values: Mapping[int, float]) -> str:
    """Mean and half of the interval, in percent."""
    each = [100 * value for value in values.values()]
    if len(each) < 2:
        return f"{statistics.mean(each):.1f}"
    half = STUDENT[len(each)] * statistics.stdev(each) / len(each) ** 0.5
    return f"{statistics.mean(each):.1f} ± {half:.1f}"


def of_runs(
    folder: Path, name: str, settings: object, measure: Callable[[Path], dict[str, float]]
) -> Iterator[tuple[Path, dict[str, float]]]:
    """Every evaluated run of a folder and its numbers, which are kept in a file beside the runs.

    What is there is of the same weights and settings, and is not measured again.
    """
    file = folder / name
    kept = json.loads(file.read_text()) if file.exists() else {}
    for path in sorted(folder.iterdir()):
        if not (path / "evaluation.json").exists():
            continue
        of = [weights_hash(RunFolder(path)), settings]
        if kept.get(path.name, {}).get("of") != of:
            kept[path.name] = {"of": of, "numbers": measure(path)}
            file.write_text(json.dumps(kept, indent=1) + "\n")
            print(path.name, kept[path.name]["numbers"], flush=True)
        yield path, kept[path.name]["numbers"]


def main() -> None:
    """Print the table of a grid's folder, and write the numbers beside its runs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder of a grid's runs")
    parser.add_argument("--split", default="test")
    parser.add_argument("--num-samples", type=int, default=10)
    given = parser.parse_args()

    def tell(path: Path) -> dict[str, float]:
        return accuracies(path, given.split, given.num_samples)

    found: dict[float, dict[str, dict[int, float]]] = {}
    for path, by in of_runs(given.folder, f"labels_{given.split}.json", given.num_samples, tell):
        settings = read_run(RunFolder(path)).config
        rows = found.setdefault(settings.labelled_share or 1.0, {})
        for name, value in by.items():
            rows.setdefault(name, {})[settings.seed] = value
    shares = sorted(found, reverse=True)
    print("| accuracy, % | " + " | ".join(f"{share:.1%} of labels" for share in shares) + " |")
    print("|---" * (len(shares) + 1) + "|")
    for name, title in ARMS.items():
        cells = [mean_over_seeds(found[share][name]) for share in shares]
        print(f"| {title} | " + " | ".join(cells) + " |")
    for one, other in PAIRS:
        cells = []
        for share in shares:
            a, b = (found[share][name] for name in (one, other))
            cells.append(mean_over_seeds({seed: a[seed] - b[seed] for seed in a}))
        print(f"| {ARMS[one]}, less {ARMS[other]} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
