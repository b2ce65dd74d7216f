# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Which sites are of which step, by the order in which a program has them."""

from __future__ import annotations

from collections.abc import Sequence


def steps_in_order(sites: Sequence[tuple[str, bool]]) -> tuple[tuple[str, ...], ...]:
    """The sites of each step: a step begins with a latent that comes after something observed.

    >>> steps_in_order([("z", False), ("z_0", False), ("x_0", True), ("z_1", False), ("x_1", True)])
    (('z', 'z_0', 'x_0'), ('z_1', 'x_1'))

    Latents after which nothing is observed are of the last step.

    :param sites: names in the model's order, and whether each is observed.
    """
    steps: list[list[str]] = [[]]
    seen = latent_seen = False
    for name, is_observed in sites:
        if not is_observed and seen and latent_seen:
            steps.append([])
            seen = False
        steps[-1].append(name)
        seen |= is_observed
        latent_seen |= not is_observed
    observed = {name for name, is_observed in sites if is_observed}
    if len(steps) > 1 and not observed.intersection(steps[-1]):
        last = steps.pop()
        steps[-1] += last
    return tuple(map(tuple, steps))


def out_of_order(steps: Sequence[Sequence[str]], latents: Sequence[str]) -> tuple[str, str] | None:
    """Two latents that a guide draws in the other order than the model's steps; None if none are.

    >>> out_of_order([("z_0", "x_0"), ("z_1", "x_1")], ["z_1", "z_0"])
    ('z_1', 'z_0')

    :param latents: names, in the guide's order.
    """
    step_of = {name: number for number, names in enumerate(steps) for name in names}
    for first, second in zip(latents, latents[1:], strict=False):
        if step_of[first] > step_of[second]:
            return first, second
    return None
