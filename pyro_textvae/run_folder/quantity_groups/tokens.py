# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The likelihood per token, word and character."""

from __future__ import annotations

from pyro_textvae.run_folder.quantity import Quantity

QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "ppl",
        "tokens",
        label="perplexity per token",
        heading="ppl",
        line="perplexity",
        text="{ppl} (from the elbo {ppl_elbo})",
        unknown="-",
        digits=2,
        needs_latent=False,
        compared=True,
    ),
    Quantity("ppl_elbo", "tokens", label="perplexity per token by the bound", digits=2),
    Quantity("ppl_per_word", "tokens", digits=2, needs_latent=False),
    Quantity(
        "bits_per_word",
        "tokens",
        label="bits per word",
        line="bits per word",
        needs_latent=False,
    ),
    Quantity(
        "bits_per_character",
        "tokens",
        label="bits per character",
        line="bits per character",
        line_when="known",
        needs_latent=False,
    ),
)
