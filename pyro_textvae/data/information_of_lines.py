# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the lines of a text tell of each other, in a world that knows both probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pyro_textvae.data.world import Estimate, World, mean_and_error


def information_of_lines(
    world: World,
    line_log_prob: Callable[[str], float],
    most_lines: int,
    num_examples: int,
    seed: int,
) -> Estimate:
    """E log p(text) - log p(number of lines) - sum log p(line), nats a text, over draws.

    :param line_log_prob: log p(line) of a line alone, in nats.
    :param most_lines: texts have 1 to so many, all equally likely.
    """
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(num_examples):
        text = world.draw(generator).text
        alone = sum(line_log_prob(line) for line in text.split("\n"))
        values.append(world.log_prob(text) + math.log(most_lines) - alone)
    return mean_and_error(values)
