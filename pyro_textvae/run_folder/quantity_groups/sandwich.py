# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Lower and upper bounds of the likelihood of simulated sentences."""

from __future__ import annotations

from pyro_textvae.run_folder.quantity import NATS, Quantity

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("check.bidirectional.num_sentences", "sandwich", heading="sentences", kind="count"),
    Quantity(
        "check.bidirectional.lower",
        "sandwich",
        label="lower bound of log p(x)",
        unit=NATS,
        error="check.bidirectional.lower_standard_error",
        count="check.bidirectional.num_sentences",
    ),
    Quantity("check.bidirectional.lower_standard_error", "sandwich", unit=NATS),
    Quantity(
        "check.bidirectional.upper",
        "sandwich",
        label="upper bound of log p(x)",
        unit=NATS,
        error="check.bidirectional.upper_standard_error",
        count="check.bidirectional.num_sentences",
    ),
    Quantity("check.bidirectional.upper_standard_error", "sandwich", unit=NATS),
    Quantity(
        "check.bidirectional.gap",
        "sandwich",
        label="gap",
        line="sandwich, {check.bidirectional.num_sentences:d} simulated",
        text="from {check.bidirectional.lower:value} to {check.bidirectional.upper:value}, "
        "gap {check.bidirectional.gap:+}",
        line_when="known",
        unit=NATS,
        error="check.bidirectional.gap_standard_error",
        count="check.bidirectional.num_sentences",
    ),
    Quantity("check.bidirectional.gap_standard_error", "sandwich", unit=NATS),
)
