# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How much of the bound is lost by the guide, and to what."""

from __future__ import annotations

from pyro_textvae.run_folder.quantity import NATS, Quantity

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("check.gaps.num_sentences", "gaps", heading="sentences", kind="count"),
    Quantity(
        "check.gaps.inference_gap",
        "gaps",
        label="inference gap: log p(x) less the guide's bound",
        unit=NATS,
        count="check.gaps.num_sentences",
    ),
    Quantity(
        "check.gaps.amortisation_gap",
        "gaps",
        label="of it, amortisation: the guide's bound against its own best",
        line="amortisation gap",
        line_when="known",
        unit=NATS,
        error="check.gaps.amortisation_gap_standard_error",
        count="check.gaps.num_sentences",
    ),
    Quantity("check.gaps.amortisation_gap_standard_error", "gaps", unit=NATS),
    Quantity(
        "check.gaps.approximation_gap",
        "gaps",
        label="of it, approximation: the best of its family against log p(x)",
        line="approximation gap",
        line_when="known",
        unit=NATS,
        count="check.gaps.num_sentences",
    ),
)
