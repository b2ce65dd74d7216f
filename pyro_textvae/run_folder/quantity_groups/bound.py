# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The evidence lower bound and its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyro_textvae.run_folder.quantity import NATS, Quantity


def _gap(result: Mapping[str, Any]) -> float | None:
    elbo, nll = result.get("elbo"), result.get("nll")
    return None if elbo is None or nll is None else elbo - nll


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "elbo",
        "bound",
        label="minus the evidence lower bound",
        heading="-elbo",
        line="-elbo",
        text=f"{{elbo}} {NATS} (an upper bound of the nll, up to the error of the draws)",
        unit=NATS,
        compared=True,
        averaged=("-elbo", 2),
    ),
    Quantity(
        "global_latents.kl",
        "bound",
        label="KL of global latents, of the whole corpus",
        line="  of global latents",
        text="{global_latents.kl} nats of the whole corpus, in none of the above",
        line_when="known",
        unit="nats",
    ),
    Quantity("gap", "bound", unit=NATS, averaged=("gap", 2), of=_gap),
    Quantity("reconstruction", "bound", label="reconstruction", line="  reconstruction", unit=NATS),
    Quantity(
        "kl",
        "bound",
        label="KL",
        heading="kl",
        line="  kl",
        unit=NATS,
        compared=True,
        averaged=("kl", 2),
    ),
    Quantity("sampled_kl", "bound", unit=NATS),
)
