# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How good probabilities of labels are: accuracy, macro F1, nll, calibration, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_textvae.config.checks import SEED, at_least, check_argument
from pyro_textvae.displayed import Displayed
from pyro_textvae.errors import UserError

NUM_BINS = 15
NUM_RESAMPLES = 2000
_SIMULATIONS = 200
# Numbers of a block of resamples, so that memory does not grow with the sentences.
_NUMBERS_AT_ONCE = 2**22

Interval = tuple[float, float]


@dataclass(frozen=True, repr=False)
class Classification(Displayed):
    r"""Probabilities of the labels of sentences, against the labels that are given.

    Each number is over the sentences that have a label; its interval, of 95 %, comes of resampling
    them with replacement, and so is of other sentences of the same kind, not of other trainings.

    accuracy
        The share whose likeliest label is the one that is given.
    macro_f1
        The mean over labels of :math:`2 \, TP / (2 \, TP + FP + FN)`, over those that occur.
    label_nll
        The mean of minus log p(label | x), nats a label: the log-loss.
    calibration_error
        The mean distance between the probability of the likeliest label and the share of those that
        are right, over 15 groups of equally many sentences of like probability (ECE).
    calibration_floor
        What a perfectly calibrated reader of the same probabilities would have of it by chance.
    confusion
        Sentences by label, and by likeliest label, ``(C, C)``.

    Source: Guo et al. (2017), On Calibration of Modern Neural Networks, equation 3,
    https://arxiv.org/abs/1706.04599, with groups of equal size.

    >>> log_prob = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]]).log()
    >>> result = Classification.of(log_prob, torch.tensor([0, 1, 1, -1]), ("no", "yes"))
    >>> result.num_labelled, round(result.accuracy, 3), result.confusion.tolist()
    (3, 0.667, [[1, 0], [1, 1]])
    """

    names: tuple[str, ...]
    num_labelled: int
    accuracy: float
    macro_f1: float
    label_nll: float
    calibration_error: float
    calibration_floor: float
    confusion: Tensor
    intervals: dict[str, Interval]
    confusion_low: Tensor
    confusion_high: Tensor

    @staticmethod
    def of(
        log_prob: Tensor,
        labels: Tensor,
        names: Sequence[str],
        *,
        num_resamples: int = NUM_RESAMPLES,
        seed: int = 0,
    ) -> Classification:
        """Of log-probabilities ``(N, C)`` and labels ``(N,)``, -1 where none is given.

        :param names: of the labels, in the order of their indices.
        :param num_resamples: of the intervals.
        :param seed: of the resamples.
        :raises UserError: where no sentence has a label.
        :raises ValueError: for another number of names, and for what are no log-probabilities.
        """
        check_argument("num_resamples", num_resamples, int, at_least(100))
        seed = check_argument("seed", seed, int, SEED)
        if log_prob.shape != (len(labels), len(names)):
            raise ValueError(
                f"log_prob must be {(len(labels), len(names))}, one for each sentence and label, "
                f"got {tuple(log_prob.shape)}"
            )
        given = labels >= 0
        if not given.any():
            raise UserError("no sentence has a label, so there is nothing to hold them against")
        log_prob = log_prob[given].double()
        if not bool((log_prob.logsumexp(1).abs() < 1e-4).all()):
            raise ValueError("log_prob must be logarithms of probabilities that add up to 1")
        counted = _Counted(log_prob, labels[given])
        numbers = counted.numbers(counted.columns.sum(0, keepdims=True))
        resampled = counted.numbers(counted.resampled_sums(num_resamples, seed))
        ends = {n: np.nanquantile(v, [0.025, 0.975], axis=0) for n, v in resampled.items()}
        scalars = {name: float(value[0]) for name, value in numbers.items() if name != "confusion"}
        return Classification(
            names=tuple(names),
            num_labelled=int(given.sum()),
            **scalars,
            calibration_floor=counted.calibration_floor(seed),
            confusion=torch.from_numpy(numbers["confusion"][0]).long(),
            intervals={name: (float(ends[name][0]), float(ends[name][1])) for name in scalars},
            confusion_low=torch.from_numpy(ends["confusion"][0]),
            confusion_high=torch.from_numpy(ends["confusion"][1]),
        )

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain values."""
        values: dict[str, Any] = {"num_labelled": self.num_labelled}
        for name, (low, high) in self.intervals.items():
            values |= {name: getattr(self, name), f"{name}_low": low, f"{name}_high": high}
        return values | {
            "calibration_floor": self.calibration_floor,
            "confusion": self.confusion.tolist(),
            "confusion_low": self.confusion_low.tolist(),
            "confusion_high": self.confusion_high.tolist(),
        }


class _Counted:
    """Columns of numbers of each sentence of whose sums every number is made.

    :param log_prob: ``(N, C)``.
    :param labels: ``(N,)``, all of them given.
    """

    def __init__(self, log_prob: Tensor, labels: Tensor) -> None:
        self.size, self.num_labels = log_prob.shape
        likeliest = log_prob.argmax(1)
        self.confidence = log_prob.amax(1).exp().numpy()
        order = np.argsort(self.confidence, kind="stable")
        self.bins = np.empty(self.size, dtype=int)
        self.bins[order] = np.arange(self.size) * NUM_BINS // self.size
        self.pairs = (labels * self.num_labels + likeliest).numpy()
        right = (labels == likeliest).double().numpy()
        loss = -log_prob.gather(1, labels[:, None]).squeeze(1).numpy()
        self.columns = np.concatenate(
            [
                np.eye(self.num_labels**2)[self.pairs],
                self.in_bins(right - self.confidence),
                loss[:, None],
            ],
            axis=1,
        )

    def in_bins(self, values: np.ndarray) -> np.ndarray:
        """Values of sentences, each in the column of its group, ``(N, 15)``."""
        return np.eye(NUM_BINS)[self.bins] * values[:, None]

    @cached_property
    def _num_pairs(self) -> int:
        return self.num_labels**2

    def numbers(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """Every number of sums of the columns, ``(R, columns)``."""
        square = (self.num_labels, self.num_labels)
        confusion = sums[:, : self._num_pairs].reshape(-1, *square)
        hits = np.diagonal(confusion, axis1=1, axis2=2)
        occurring = confusion.sum(1) + confusion.sum(2)
        with np.errstate(invalid="ignore"):
            f1 = 2 * hits / occurring
        in_bins = sums[:, self._num_pairs : self._num_pairs + NUM_BINS]
        return {
            "accuracy": hits.sum(1) / self.size,
            "macro_f1": np.nanmean(f1, axis=1),
            "label_nll": sums[:, -1] / self.size,
            "calibration_error": np.abs(in_bins).sum(1) / self.size,
            "confusion": confusion,
        }

    def resampled_sums(self, num_resamples: int, seed: int) -> np.ndarray:
        """Sums of the columns over as many sentences drawn with replacement, ``(R, columns)``."""
        generator = np.random.default_rng([seed])
        share = np.full(self.size, 1 / self.size)
        block = max(1, _NUMBERS_AT_ONCE // self.size)
        sums = []
        for first in range(0, num_resamples, block):
            count = min(block, num_resamples - first)
            sums.append(generator.multinomial(self.size, share, size=count) @ self.columns)
        return np.concatenate(sums)

    def calibration_floor(self, seed: int) -> float:
        """The mean calibration error where each likeliest label is right as often as it says."""
        generator = np.random.default_rng([seed, 1])
        total = 0.0
        for _ in range(_SIMULATIONS):
            right = generator.random(self.size) < self.confidence
            total += np.abs(self.in_bins(right - self.confidence).sum(0)).sum() / self.size
        return total / _SIMULATIONS
