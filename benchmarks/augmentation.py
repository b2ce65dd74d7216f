# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whether sentences that `augment` made help a classifier, over subsets of labelled text.

    python benchmarks/augmentation.py runs/augmentation [--split test]

Of each run of a grid's folder, which has a subset of the labels of its own: the labelled sentences
of the run, as many more that the run made of them (`pyro-textvae augment RUN --ratio 1`), and, to
compare, as many more true ones. On each of the three an LSTM and logistic regression on the counts
of words are trained, the same way. Accuracy is the mean over runs; below, differences of the same
subset. Intervals of 95 % are Student's over the runs.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from labels import counts
from labels_by_share import mean_over_seeds, of_runs
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.data import pad
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs import load_run_corpus
from pyro_textvae.runs.augment import augment
from pyro_textvae.runs.load import load_corpus_of, read_run
from pyro_textvae.special_tokens import EOS

EPOCHS = 15
ARMS = ("labelled", "and augmented", "and as many true ones")
Rows = list[list[int]]


class LSTMClassifier(nn.Module):
    """The mean of an LSTM's states, then a linear map."""

    def __init__(self, vocab_size: int, num_labels: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, 64, padding_idx=0)
        self.lstm = nn.LSTM(64, 64, batch_first=True)
        self.dropout = nn.Dropout(0.5)
        self.scores = nn.Linear(64, num_labels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores of the labels of ``tokens`` ``(N, T)``."""
        real = (tokens != 0).unsqueeze(-1)
        states, _ = self.lstm(self.dropout(self.embedding(tokens)))
        return self.scores(self.dropout((states * real).sum(1) / real.sum(1)))


def by_lstm(rows: Rows, labels: np.ndarray, test: Rows, vocab_size: int, seed: int) -> np.ndarray:
    """The labels that an LSTM tells of ``test``."""
    torch.manual_seed(seed)
    network = LSTMClassifier(vocab_size, int(labels.max()) + 1)
    optimizer = torch.optim.Adam(network.parameters(), 0.003)
    targets = torch.from_numpy(labels)
    for _ in range(EPOCHS):
        for some in torch.randperm(len(rows)).split(32):
            optimizer.zero_grad()
            scores = network(pad([rows[place] for place in some.tolist()]))
            nn.functional.cross_entropy(scores, targets[some]).backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        parts = [network(pad(test[start : start + 256])) for start in range(0, len(test), 256)]
    told: np.ndarray = torch.cat(parts).argmax(1).numpy()
    return told


def by_words(rows: Rows, labels: np.ndarray, test: Rows, vocab_size: int, seed: int) -> np.ndarray:
    """The labels that logistic regression on the counts of words tells of ``test``."""
    reader = LogisticRegression(max_iter=2000)
    tensors = [[torch.tensor(row) for row in each] for each in (rows, test)]
    reader.fit(counts(tensors[0], vocab_size), labels)
    told: np.ndarray = reader.predict(counts(tensors[1], vocab_size))
    return told


CLASSIFIERS = {"bag of words": by_words, "LSTM": by_lstm}


def accuracies(path: Path, split: str) -> dict[str, float]:
    """Of one run, by classifier and arm, and what was made."""
    run = read_run(RunFolder(path))
    corpus = load_run_corpus(run)
    size, names = len(corpus.tokenizer), list(corpus.label_names)
    given = np.asarray(corpus.train.labels)
    rows = [row.tolist() for row in corpus.train]
    made = augment(path, EvaluationConfig(split="train", num_samples=10, proposal="guide"))
    new = [[*each.tokens, EOS] for each in made.sentences]
    of_new = np.array([names.index(each.label) for each in made.sentences], dtype=given.dtype)
    share = 2 * (run.config.labelled_share or 0.5)
    twice = load_corpus_of(replace(run.text_config, labelled_share=share))
    true_rows, true_labels = [row.tolist() for row in twice.train], np.asarray(twice.train.labels)
    # A smaller share of the labels of a seed is part of a larger one.
    assert all(row in true_rows for row in rows)
    arms = {
        ARMS[0]: (rows, given),
        ARMS[1]: (rows + new, np.concatenate([given, of_new])),
        ARMS[2]: (true_rows, true_labels),
    }
    part = corpus.split(split)
    test, truth = [row.tolist() for row in part], np.asarray(part.labels)
    found = {
        f"{name}, {arm}": float((tell(*texts, test, size, run.config.seed) == truth).mean())
        for name, tell in CLASSIFIERS.items()
        for arm, texts in arms.items()
    }
    return found | {"made": len(new), "labelled": len(rows), "drawn": made.num_generated}


def main() -> None:
    """Print the table of a grid's folder, and write the numbers beside its runs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder of a grid's runs")
    parser.add_argument("--split", default="test")
    asked = parser.parse_args()
    file = f"augmentation_{asked.split}.json"
    measured = of_runs(asked.folder, file, EPOCHS, lambda path: accuracies(path, asked.split))
    found = [numbers for _, numbers in measured]
    print(
        "| accuracy, % | " + " | ".join(ARMS) + " | augmented less labelled | true less labelled |"
    )
    print("|---|---|---|---|---|---|")
    for name in CLASSIFIERS:
        first, *others = ({i: row[f"{name}, {arm}"] for i, row in enumerate(found)} for arm in ARMS)
        gains = [{i: each[i] - first[i] for i in first} for each in others]
        cells = [mean_over_seeds(each) for each in (first, *others, *gains)]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
