# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Two models on the same sentences: the paired difference, with an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.config.checks import SEED, at_least, check_argument
from pyro_textvae.displayed import Displayed
from pyro_textvae.evaluation.evidence import (
    FEWEST_SETTLED,
    USUAL_SHARE,
    ScoredSentences,
    paired_evidence,
)
from pyro_textvae.evaluation.importance.student import DEVIATE

LEVEL = 0.95
"""Level of the interval of a comparison."""
FEWEST_RESAMPLES = 1000
"""With fewer, the ends of the interval are the noise of the bootstrap itself."""
# Small enough for a processor's cache, which makes the resampling three times as fast.
_NUMBERS_AT_ONCE = 2**16
_DEVIATES = torch.tensor([-DEVIATE, DEVIATE], dtype=torch.float64)


@dataclass(frozen=True, repr=False)
class Comparison(Displayed):
    """The nll of a minus the nll of b; nats per sentence, so below zero a is better.

    The interval is about the mean difference over the sentences that the given ones were drawn
    from. It holds both errors: the choice of the sentences, and the Monte Carlo noise of their
    estimates, which is a part of every difference that is resampled. The bias of the estimates,
    which makes an nll too high, it holds as far as they know it: the lower end is moved by that of
    a, the upper one by that of b. It takes sentences as drawn one by one: neighbours in a running
    text are alike, and then it is too narrow.

    per_sentence
        The difference of each of the N sentences that are settled in both, or of all where they do
        not say, in corpus order.
    interval
        Both ends, at level 0.95, for this comparison alone: not jointly with others.
    monte_carlo_error
        Standard error of ``difference`` from the draws alone: what other draws would do on these
        very sentences. Assumes that a and b drew independently.
    """

    per_sentence: Tensor
    interval: tuple[float, float]
    monte_carlo_error: float
    num_resamples: int
    seed: int
    num_sentences: int
    """Of all that were scored."""
    num_settled: int | None = None
    """Of them settled in both; None where neither model says which are."""
    biases: tuple[float, float] = (0.0, 0.0)
    """By how much the nll of a and that of b may be too high, mean over all sentences; nats."""
    guide_difference: float | None = None
    """The difference by the guides' weights, on the sentences that have both."""
    guide_interval: tuple[float, float] | None = None
    """Its interval, which holds no bias."""

    def _shown(self) -> dict[str, Any]:
        return {"difference": self.difference, "sign": self.sign, **self._fields()}

    @cached_property
    def difference(self) -> float:
        """The mean of the differences, nats per sentence."""
        return self.per_sentence.mean().item()

    @cached_property
    def share_better(self) -> float:
        """Share of the sentences where the estimate of a is better; a tie counts as one half."""
        wins = (self.per_sentence < 0).double() + 0.5 * (self.per_sentence == 0)
        return wins.mean().item()

    @cached_property
    def sign(self) -> int:
        """-1 when a has the lower nll, 1 when b has it, 0 when the interval holds a tie."""
        low, high = self.interval
        return int(low > 0) - int(high < 0)

    def verdict(self, a: str = "a", b: str = "b") -> str:
        """The effect in words, for programs of these names."""
        low, high = self.interval
        if self.sign == 0:
            return f"no difference can be told: {self._ends(low, high)}"
        better = a if self.sign < 0 else b
        if self.sign < 0:
            low, high = -high, -low
        size = f"{abs(self.difference):.{self._digits}f}"
        return f"{better} is better by {size} nats per sentence {self._ends(low, high)}"

    @property
    def guides_rank_otherwise(self) -> bool:
        """Whether the guides' weights put a and b in another order than the settled estimates.

        They do where their interval excludes a tie and this comparison does not say the same, or
        where it tells a from b and theirs is on the other side.
        """
        if self.guide_difference is None or self.guide_interval is None:
            return False
        low, high = self.guide_interval
        claimed = int(low > 0) - int(high < 0)
        return claimed not in (0, self.sign) or self.guide_difference * self.sign < 0

    def remarks(self, a: str = "a", b: str = "b") -> list[str]:
        """What is behind the verdict, in words, where the estimates say anything of themselves."""
        remarks = []
        if self.num_settled is not None:
            remarks.append(
                f"{self.num_settled:,} of {self.num_sentences:,} sentences are settled in both; "
                f"the nll of {a} may be too high by {self.biases[0]:.3f} nats and that of {b} by "
                f"{self.biases[1]:.3f}, which the interval holds"
            )
            if self.num_settled < FEWEST_SETTLED:
                remarks.append("that is too few: all sentences are compared, settled or not")
            elif self.num_settled < USUAL_SHARE * self.num_sentences:
                remarks.append(
                    "that is under two thirds: the others may differ in another way; evaluate with "
                    "more draws"
                )
        if self.guides_rank_otherwise:
            assert self.guide_difference is not None
            assert self.guide_interval is not None
            low, high = self.guide_interval
            remarks.append(
                "by the guides' weights the ranking is another: "
                f"{self.guide_difference:+.3f} [{low:+.3f}, {high:+.3f}] nats per sentence, so "
                "they compare guides and not models here"
            )
        return remarks

    def _ends(self, low: float, high: float) -> str:
        return f"[{low:.{self._digits}f}, {high:.{self._digits}f}]"

    @property
    def _digits(self) -> int:
        """Two, or as many as show on which side of zero the interval ends."""
        smallest = min(abs(end) for end in self.interval)
        return 2 if smallest == 0 else min(max(2, -math.floor(math.log10(smallest))), 6)


def compare(
    a: ScoredSentences, b: ScoredSentences, *, num_resamples: int = 10_000, seed: int = 0
) -> Comparison:
    """Compare the log-likelihoods of two models on the same sentences, pair by pair.

    The interval is a bootstrap over sentences, bias-corrected and accelerated. A sentence that is
    there more than once has the same draws each time: the noise that its copies share is beyond
    resampling, so it is added to the interval in quadrature.

    Where the estimates say which sentences are settled, the difference is that of the sentences
    settled in both; by how much they may still be too low moves the ends of the interval.

    >>> from types import SimpleNamespace
    >>> def scored(log_px):
    ...     zero = torch.zeros(len(log_px))
    ...     return SimpleNamespace(
    ...         log_px=torch.tensor(log_px), standard_error=zero, num_tokens_per_sentence=zero + 3
    ...     )
    >>> r = compare(scored([-5.0, -7.0, -6.5]), scored([-6.0, -7.5, -8.0]))
    >>> r.difference
    -1.0
    >>> r.verdict("ours", "theirs")
    'ours is better by 1.00 nats per sentence [0.50, 1.50]'

    Source: Efron (1987), Better Bootstrap Confidence Intervals, sections 2 and 6,
    https://doi.org/10.1080/01621459.1987.10478410.

    :param seed: of the bootstrap; exchanging a and b mirrors the result.
    :raises ValueError: when the sentences are not the same, are fewer than 2, have no finite
        estimate or, being scored by one draw, no standard error.
    """
    num_resamples = check_argument("num_resamples", num_resamples, int, at_least(FEWEST_RESAMPLES))
    seed = check_argument("seed", seed, int, SEED)
    _check_same_sentences(a, b)
    _check_known("a", a)
    _check_known("b", b)
    evidence = paired_evidence(a, b)
    places = evidence.compared
    log_px = [scored.log_px.double()[places] for scored in (a, b)]
    errors = [scored.standard_error.double()[places] for scored in (a, b)]
    difference = log_px[1] - log_px[0]
    variance = errors[0].square() + errors[1].square()
    copies = _copies(*log_px)
    count = len(difference)
    shared_error = ((copies - 1) * variance).sum().sqrt() / count
    monte_carlo_error = (copies * variance).sum().sqrt().item() / count
    of_globals = math.hypot(*(getattr(scored, "shared_error", 0.0) for scored in (a, b)))
    if of_globals:
        # All sentences share the draws of global latents.
        shared_error = (shared_error.square() + of_globals**2).sqrt()
        monte_carlo_error = math.hypot(monte_carlo_error, of_globals)
    low, high = _interval(difference, shared_error, num_resamples, seed)
    by_guide = evidence.by_guide
    return Comparison(
        per_sentence=difference,
        interval=(low - evidence.biases[0], high + evidence.biases[1]),
        monte_carlo_error=monte_carlo_error,
        num_resamples=num_resamples,
        seed=seed,
        num_sentences=len(a.log_px),
        num_settled=evidence.num_settled,
        biases=evidence.biases,
        guide_difference=None if by_guide is None else by_guide.mean().item(),
        guide_interval=(
            None
            if by_guide is None
            else _interval(by_guide, by_guide.new_zeros(()), num_resamples, seed)
        ),
    )


def _check_same_sentences(a: ScoredSentences, b: ScoredSentences) -> None:
    in_a, in_b = a.num_tokens_per_sentence, b.num_tokens_per_sentence
    if len(in_a) != len(in_b):
        raise ValueError(
            f"a has {len(in_a)} sentences and b {len(in_b)}: score the same ones with both"
        )
    if len(in_a) < 2:
        raise ValueError(f"a comparison needs at least 2 sentences, got {len(in_a)}")
    different = (in_a != in_b).nonzero()
    if len(different):
        first = int(different[0])
        raise ValueError(
            f"sentence {first} has {int(in_a[first])} tokens in a and {int(in_b[first])} in b: "
            "score the same sentences with both, in the same order"
        )


def _check_known(name: str, scored: ScoredSentences) -> None:
    for field, remedy in (
        ("log_px", "leave the sentence out of both"),
        ("standard_error", "score it with at least 2 draws, which differ from each other"),
    ):
        unknown = (~getattr(scored, field).isfinite()).nonzero()
        if len(unknown):
            others = f" ({len(unknown) - 1} others too)" if len(unknown) > 1 else ""
            raise ValueError(
                f"sentence {int(unknown[0])} has no finite {field} in {name}: {remedy}{others}"
            )


def _copies(*estimates: Tensor) -> Tensor:
    """How often each sentence is there, ``(N,)``: the same draws give the same numbers.

    They do so up to the rounding of float32, as far as the batch around a sentence has a part in
    it; two sentences that agree to three decimals under both models are as good as none.
    """
    rounded = torch.stack(estimates).round(decimals=3)
    _, place, counts = rounded.unique(dim=1, return_inverse=True, return_counts=True)
    return counts[place]


def _interval(
    values: Tensor, shared_error: Tensor, num_resamples: int, seed: int
) -> tuple[float, float]:
    centre = values.mean()
    ends = centre.expand(2)
    # Equal values have no skewness, and no resample of them moves.
    if (values != values[0]).any():
        ends = _accelerated_ends(values, _resampled_means(values, num_resamples, seed))
    reach = torch.hypot(ends - centre, _DEVIATES * shared_error)
    low, high = (centre + _DEVIATES.sign() * reach).tolist()
    return low, high


def _resampled_means(values: Tensor, num_resamples: int, seed: int) -> Tensor:
    """Means of ``num_resamples`` samples with replacement, a block of them at a time."""
    generator = torch.Generator().manual_seed(seed)
    count = len(values)
    blocks = torch.arange(num_resamples).split(max(1, _NUMBERS_AT_ONCE // count))
    return torch.cat(
        [
            values[torch.randint(count, (len(block), count), generator=generator)].mean(1)
            for block in blocks
        ]
    )


def _accelerated_ends(values: Tensor, means: Tensor) -> Tensor:
    """Both ends of the bias-corrected and accelerated interval, Efron's equation 2.3."""
    centre = values.mean()
    deviations = values - centre
    # What the jackknife gives for the acceleration of a mean.
    acceleration = deviations.pow(3).sum() / (6 * deviations.square().sum().pow(1.5))
    below = (means < centre).double().mean() + 0.5 * (means == centre).double().mean()
    correction = torch.special.ndtri(below)
    shifted = correction + _DEVIATES
    levels = torch.special.ndtr(correction + shifted / (1 - acceleration * shifted))
    return means.quantile(levels)
