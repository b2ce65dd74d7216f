# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whether draws come as often as a world claims."""

import math
from collections import Counter


def z_of_draws(drawn, probabilities, fewest=10):
    """Pearson's chi-square over outcomes expected ``fewest`` times or more, as a z-score.

    All rarer outcomes are one; an outcome that is claimed to be impossible makes it infinite.

    :param drawn: outcomes.
    :param probabilities: by outcome.
    """
    counts = Counter(drawn)
    if any(probabilities.get(outcome, 0.0) <= 0 for outcome in counts):
        return math.inf
    total = sum(counts.values())
    often = [o for o, p in probabilities.items() if p * total >= fewest]
    pairs = [(counts[o], total * probabilities[o]) for o in often]
    rest = (total - sum(c for c, _ in pairs), total - sum(e for _, e in pairs))
    if rest[1] >= fewest:
        pairs.append(rest)
    assert len(pairs) > 3
    square = sum((count - expected) ** 2 / expected for count, expected in pairs)
    return (square - len(pairs) + 1) / (2 * (len(pairs) - 1)) ** 0.5
