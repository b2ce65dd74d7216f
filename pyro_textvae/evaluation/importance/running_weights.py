# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What importance weights say of each sentence, from one pass over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import torch
from torch import Tensor

from pyro_textvae.evaluation.importance.jackknife import jackknife
from pyro_textvae.evaluation.importance.pareto import (
    SMALLEST_SAMPLE,
    pareto_khat,
    smoothed_log_sum,
    tail_size,
)

MOST_GROUPS = 64
"""The draws are cut into this many equal parts at most, to see how the estimate grows with K."""

_DRAWS_AT_ONCE = 512
_FEWEST_BLOCKS = 8


def num_groups(num_samples: int) -> int:
    """A power of two: groups of 8 draws or more, but 4 groups where there are 4 draws."""
    wanted = min(MOST_GROUPS, max(num_samples // 8, min(num_samples, 4)))
    return 2 ** int(math.log2(wanted))


def num_blocks(num_samples: int, *, independent: bool = True) -> int:
    """How many times draws are made: a power of two, set by ``num_samples`` alone.

    What is drawn must not depend on how much memory there is. Draws that depend on one another
    inside a block need several blocks to show their error.
    """
    blocks = 1 if independent else min(_FEWEST_BLOCKS, num_groups(num_samples))
    while num_samples / blocks > _DRAWS_AT_ONCE:
        blocks *= 2
    return blocks


def boundaries(count: int, parts: int) -> list[int]:
    """Where ``count`` draws are cut into equal parts; ``parts + 1`` numbers."""
    return [part * count // parts for part in range(parts + 1)]


@dataclass(frozen=True)
class Scored:
    """Scored draws, nats, all ``(K, N)``.

    log_likelihood
        log p(x | z).
    log_prior
        log p(z).
    log_proposal
        Log-density of z where it was drawn from: of the whole mixture, if it was one.
    log_guide
        log q(z | x) of the guide.
    """

    log_likelihood: Tensor
    log_prior: Tensor
    log_proposal: Tensor
    log_guide: Tensor

    @staticmethod
    def cat(parts: Sequence[Scored]) -> Scored:
        """Draws one after the other."""
        if len(parts) == 1:
            return parts[0]
        names = [field.name for field in fields(parts[0])]
        return Scored(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def rows(self, index: Tensor) -> Scored:
        """The draws at these places."""
        return Scored(*(getattr(self, field.name)[index] for field in fields(self)))


class RunningWeights:
    """Sums over ``num_samples`` draws for each of N sentences, in float64.

    Memory grows as the square root of ``num_samples``, for the tail of the weights; draws may come
    in pieces of any size.

    :param most_samples: of all the rounds that will be summarised together.
    """

    def __init__(self, num_samples: int, most_samples: int) -> None:
        self.num_samples = num_samples
        self.count = 0
        self.boundaries = boundaries(num_samples, num_groups(num_samples))
        self.groups: list[Tensor] = []
        self.sums: dict[str, Tensor] = {}
        self.tail: Tensor | None = None
        self._most_samples = most_samples

    def add(self, draws: Scored) -> None:
        """Take in the next draws.

        :raises ValueError: for more draws than were announced.
        """
        dtype = draws.log_likelihood.dtype
        likelihood, prior, proposal, guide = (
            getattr(draws, field.name).double().cpu() for field in fields(draws)
        )
        weights = likelihood + prior - proposal
        # Draws stand for the guide's by this ratio; it is one where they are the guide's.
        ratio = (guide - proposal).exp()
        # A log-weight is a difference of sums of this size, in the precision of the model.
        unit = 64 * torch.finfo(dtype).eps
        self.sums = _combined(
            self.sums,
            {
                "log_sum_of_squares": (2 * weights).logsumexp(0),
                "largest": weights.amax(0),
                "rounding": unit
                * likelihood.nan_to_num(0.0, 0.0, 0.0).abs().amax(0).clamp(min=1.0),
                "ratio": ratio.sum(0),
                # A draw that the guide does not make counts for nothing, even where infinite.
                "reconstruction": (ratio * likelihood).where(ratio > 0, 0.0).sum(0),
                "sampled_kl": (ratio * (guide - prior)).where(ratio > 0, 0.0).sum(0),
            },
        )
        self._add_to_groups(weights)
        if self._most_samples >= SMALLEST_SAMPLE:
            pool = weights if self.tail is None else torch.cat([self.tail, weights])
            self.tail = pool.topk(min(len(pool), tail_size(self._most_samples) + 1), 0).values

    def _add_to_groups(self, weights: Tensor) -> None:
        stop = self.count + len(weights)
        if stop > self.num_samples:
            raise ValueError(f"{stop} draws were added, and {self.num_samples} were announced")
        for group, (low, high) in enumerate(pairwise(self.boundaries)):
            first, last = max(low, self.count), min(high, stop)
            if first >= last:
                continue
            log_sum = weights[first - self.count : last - self.count].logsumexp(0)
            if group < len(self.groups):
                self.groups[group] = torch.logaddexp(self.groups[group], log_sum)
            else:
                self.groups.append(log_sum)
        self.count = stop

    def rows(self, index: Tensor) -> RunningWeights:
        """Those of some of the sentences."""
        part = RunningWeights(self.num_samples, self._most_samples)
        part.count = self.count
        part.groups = [group[index] for group in self.groups]
        part.sums = {name: value[index] for name, value in self.sums.items()}
        part.tail = None if self.tail is None else self.tail[:, index]
        return part


def summarise(
    rounds: Sequence[RunningWeights], *, independent: bool = True, populations: bool = False
) -> dict[str, Tensor]:
    """What the draws of all rounds together say of each sentence, ``(N,)`` each.

    The names are those of :class:`~pyro_textvae.evaluation.LogLikelihood`; ``curve`` and
    ``curve_error`` are ``(N, L)``: the mean estimate, and its error, of parts of K / 2^j draws,
    from the smallest parts to all draws of a round.

    :param rounds: of equal numbers of draws of the same sentences.
    :param independent: false for draws that depend on one another inside a block, as quasi-random
        ones do: the standard error is then that between the blocks.
    :param populations: whether the draws of a block are a population whose weights say nothing of
        the error: the effective sample size is then the number of independent draws that would have
        the standard error, and there is no k-hat.
    """
    size = rounds[0].num_samples
    k = size * len(rounds)
    sums: dict[str, Tensor] = {}
    for weights in rounds:
        sums = _combined(sums, weights.sums)
    groups = torch.stack([group for weights in rounds for group in weights.groups])  # (G, N)
    counts = torch.tensor(rounds[0].boundaries).diff()
    counts = counts.double().repeat(len(rounds)).unsqueeze(1)
    log_sum = groups.logsumexp(0)
    possible = log_sum > -torch.inf
    # Where no draw was possible, the shares of the weights are not defined.
    total = log_sum.where(possible, 0.0)
    squares = (sums["log_sum_of_squares"] - 2 * total).exp()
    # Equal parts of the draws that are independent of one another.
    parts, freedom = len(groups), k - 1
    if not independent:
        parts = min(num_blocks(size, independent=False), num_groups(size)) * len(rounds)
        freedom = parts - 1
    if k == 1:
        standard_error = torch.full_like(log_sum, math.nan)
    elif independent:
        standard_error = ((squares - 1.0 / k).clamp(min=0.0) * k / (k - 1)).sqrt()
    else:
        standard_error = _error_between(groups, counts, parts)
    log_px = log_sum - math.log(k)
    columns = {
        "log_px": log_px,
        "smoothed": log_px if populations else _smoothed(rounds, k, log_sum, possible),
        "jackknife": jackknife(*_sums_of_parts(groups, counts, parts)).where(possible, log_px),
        "standard_error": standard_error,
        "error_freedom": torch.full_like(log_sum, freedom),
        "ess": 1.0 / squares,
        "khat": _khat(rounds, k, sums["rounding"], possible),
        "largest_weight": (sums["largest"] - total).exp(),
        "reconstruction": sums["reconstruction"] / sums["ratio"],
        "sampled_kl": sums["sampled_kl"] / sums["ratio"],
    }
    if populations:
        columns["ess"] = 1.0 / (standard_error.square() * (k - 1) / k + 1.0 / k)
        columns["khat"] = torch.full_like(log_sum, math.nan)
    for name in ("standard_error", "ess", "largest_weight"):
        columns[name] = columns[name].where(possible, math.nan)
    means = [
        _mean_of_parts(groups, counts, number) for number in (1, 2, 4) if len(groups) % number == 0
    ]
    missing = torch.full_like(log_sum, math.nan)
    columns["doubling"] = means[0] - means[1] if len(means) > 1 else missing
    columns["half_doubling"] = means[1] - means[2] if len(means) > 2 else missing
    columns["half_difference"] = (
        _parts(groups, counts, 2).diff(dim=0).squeeze(0).neg() if len(means) > 1 else missing
    )
    curve, errors = [], []
    number = len(groups)
    while number >= len(rounds):
        estimates = _parts(groups, counts, number)
        curve.append(_mean_of_parts(groups, counts, number))
        error = columns["standard_error"]
        errors.append(estimates.std(0) / math.sqrt(number) if number > 1 else error)
        if number % 2:
            break
        number //= 2
    columns["curve"], columns["curve_error"] = torch.stack(curve, 1), torch.stack(errors, 1)
    return columns


def curve_sizes(num_samples: int) -> list[float]:
    """Mean number of draws behind each point of ``curve``."""
    groups = num_groups(num_samples)
    return [num_samples / 2**level for level in range(int(math.log2(groups)), -1, -1)]


def _parts(groups: Tensor, counts: Tensor, number: int) -> Tensor:
    """Log-mean-exp of equal parts of the draws, ``(number, N)``."""
    log_sums, sizes = _sums_of_parts(groups, counts, number)
    return log_sums - sizes.log()


def _sums_of_parts(groups: Tensor, counts: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Log-sum-exp of equal parts of the draws ``(number, N)``, and their sizes ``(number, 1)``."""
    log_sums = groups.reshape(number, -1, groups.shape[-1]).logsumexp(1)
    return log_sums, counts.reshape(number, -1).sum(1, keepdim=True)


def _mean_of_parts(groups: Tensor, counts: Tensor, number: int) -> Tensor:
    """Mean of their estimates, by their numbers of draws: never above that of larger parts."""
    shares = counts.reshape(number, -1).sum(1, keepdim=True) / counts.sum()
    return (shares * _parts(groups, counts, number)).sum(0)


def _error_between(groups: Tensor, counts: Tensor, number: int) -> Tensor:
    """Standard error of the log of the mean weight, from the means of ``number`` blocks."""
    if number < 2:
        return torch.full_like(groups[0], math.nan)
    means = _parts(groups, counts, number)
    shares = (means - means.logsumexp(0)).exp() * number
    return shares.std(0) / math.sqrt(number)


def _khat(rounds: Sequence[RunningWeights], k: int, rounding: Tensor, possible: Tensor) -> Tensor:
    if k < SMALLEST_SAMPLE:
        return torch.full_like(rounding, math.nan)
    tail = _tail(rounds, k, possible)
    constant = tail[0] - tail[-1] <= rounding
    return pareto_khat(tail).masked_fill(constant, -math.inf).where(possible, math.nan)


def _smoothed(
    rounds: Sequence[RunningWeights], k: int, log_sum: Tensor, possible: Tensor
) -> Tensor:
    """The estimate by weights with a smoothed tail; NaN where the draws are too few for one."""
    if k < SMALLEST_SAMPLE:
        return torch.full_like(log_sum, math.nan)
    log_sum = log_sum.where(possible, math.log(k))
    smoothed = smoothed_log_sum(_tail(rounds, k, possible), log_sum) - math.log(k)
    return smoothed.where(possible, -math.inf)


def _tail(rounds: Sequence[RunningWeights], k: int, possible: Tensor) -> Tensor:
    """The largest of ``k`` log-weights of all rounds."""
    tails = [weights.tail for weights in rounds if weights.tail is not None]
    tail = torch.cat(tails).topk(tail_size(k) + 1, 0).values
    # An infinitely small weight is a zero in the fit; a sentence without any other has none.
    return tail.clamp(min=torch.finfo(tail.dtype).min).where(possible, 0.0)


def _combined(sums: dict[str, Tensor], added: dict[str, Tensor]) -> dict[str, Tensor]:
    if not sums:
        return added
    rules = {"log_sum_of_squares": torch.logaddexp} | dict.fromkeys(
        ("largest", "rounding"), torch.maximum
    )
    return {name: rules.get(name, torch.add)(sums[name], added[name]) for name in sums}
