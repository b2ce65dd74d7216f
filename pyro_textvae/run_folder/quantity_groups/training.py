# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a grid measures of its runs besides."""

from __future__ import annotations

from pyro_textvae.run_folder.quantity import Quantity

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("gradient_signal_guide", "training", averaged=("snr q", 2), needs_latent=False),
    Quantity("gradient_signal_model", "training", averaged=("snr p", 2), needs_latent=False),
    Quantity("parameters", "training", averaged=("params", 0), kind="count", needs_latent=False),
    Quantity("seconds", "training", unit="s", averaged=("sec", 0), needs_latent=False),
    Quantity(
        "tokens_per_second", "training", unit="1/s", averaged=("tok/s", 0), needs_latent=False
    ),
)
