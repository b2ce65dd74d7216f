# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Lower and upper bounds of the likelihood of sentences of the text."""

from __future__ import annotations

from pyro_textvae.run_folder.quantity import NATS, Quantity

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("check.annealing.sandwich.num_sentences", "bounds", heading="sentences", kind="count"),
    Quantity("check.annealing.sandwich.closed", "bounds", unit=NATS, digits=1),
    Quantity(
        "check.annealing.sandwich.num_closed",
        "bounds",
        label="sentences whose bounds are closed",
        line="sandwich, {check.annealing.sandwich.num_sentences:d} of the text",
        text="{check.annealing.sandwich.num_closed} within {check.annealing.sandwich.closed} nats, "
        "mean from {check.annealing.sandwich.lower} to {check.annealing.sandwich.upper} (the upper "
        "approximate); {check.annealing.sandwich.num_outside} evaluated outside",
        line_when="known",
        kind="count",
        count="check.annealing.sandwich.num_sentences",
    ),
    Quantity(
        "check.annealing.sandwich.lower",
        "bounds",
        label="lower bound of log p(x)",
        unit=NATS,
        count="check.annealing.sandwich.num_sentences",
    ),
    Quantity(
        "check.annealing.sandwich.upper",
        "bounds",
        label="upper bound of log p(x), approximate",
        unit=NATS,
        count="check.annealing.sandwich.num_sentences",
    ),
    Quantity(
        "check.annealing.sandwich.gap",
        "bounds",
        label="gap of the bounds",
        unit=NATS,
        error="check.annealing.sandwich.gap_standard_error",
        count="check.annealing.sandwich.num_sentences",
    ),
    Quantity("check.annealing.sandwich.gap_standard_error", "bounds", unit=NATS),
    Quantity(
        "check.annealing.sandwich.num_outside",
        "bounds",
        label="sentences whose evaluated log p(x) is outside of them",
        kind="count",
        count="check.annealing.sandwich.num_sentences",
    ),
)
