# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The negative log-likelihood, its errors, and other estimates of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyro_textvae.run_folder.quantity import NATS, Quantity


def _no_interval(result: Mapping[str, Any]) -> str:
    """Why there is no interval of the nll, as far as files of earlier versions tell."""
    return str(result.get("no_interval") or "less than half of the sentences are settled")


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "nll",
        "likelihood",
        label="nll ± Monte Carlo error",
        heading="nll",
        line="nll, K = {num_samples:d}",
        text=f"{{nll}} (Monte Carlo) {NATS}",
        unknown="- (see below)",
        exact=("nll", f"{{nll}} {NATS}, exact: there is no latent"),
        unit=NATS,
        error="nll_standard_error",
        needs_latent=False,
        compared=True,
        averaged=("nll", 3),
    ),
    Quantity(
        "nll_joint",
        "likelihood",
        label="nll of the text and of what is observed beside it ± Monte Carlo error",
        heading="nll_joint",
        line="nll_joint, K = {num_samples:d}",
        text=f"{{nll_joint}} (Monte Carlo) {NATS}, of the text and of what is observed beside it",
        exact=("nll_joint", f"{{nll_joint}} {NATS}, of the text and of what is observed beside it"),
        line_when="known",
        unit=NATS,
        error="nll_joint_standard_error",
        needs_latent=False,
        of=lambda result: result.get("nll_joint"),
    ),
    Quantity(
        "nll_joint_standard_error",
        "likelihood",
        unit=NATS,
        of=lambda result: result.get("nll_joint_standard_error"),
    ),
    Quantity("nll_standard_error", "likelihood", heading="Monte Carlo error", unit=NATS),
    Quantity(
        "nll_interval_low",
        "likelihood",
        label="95 % interval of the nll, lower end",
        line="  95 % interval",
        text="{nll_interval_low} to {nll_interval_high}, bias allowed for",
        unknown="- ({no_interval})",
        unit=NATS,
    ),
    Quantity("nll_interval_high", "likelihood", label="its upper end", unit=NATS),
    Quantity("no_interval", "likelihood", kind="words", of=_no_interval),
    Quantity(
        "nll_smoothed",
        "likelihood",
        label="nll by Pareto-smoothed weights",
        line="  Pareto-smoothed",
        text="{nll_smoothed} by weights with a smoothed tail",
        line_when="known",
        unit=NATS,
    ),
    Quantity(
        "nll_jackknife",
        "likelihood",
        label="nll by the jackknife",
        line="  jackknife",
        text="{nll_jackknife} without its bias of order 1 / K",
        line_when="known",
        unit=NATS,
    ),
    Quantity(
        "by_guide.nll",
        "likelihood",
        label="nll by the guide's weights, K = 1,000",
        line="  by the guide's weights",
        text="{by_guide.nll} on {by_guide.num_sentences:d} sentences, K = "
        "{by_guide.num_samples:d}, as published elsewhere; {by_guide.nll_of_these} by the above",
        line_when="known",
        unit=NATS,
        error="by_guide.nll_standard_error",
        count="by_guide.num_sentences",
    ),
    Quantity("by_guide.nll_standard_error", "likelihood", unit=NATS),
    Quantity("by_guide.nll_of_these", "likelihood", label="of it on those sentences", unit=NATS),
    Quantity("by_guide.num_sentences", "likelihood", kind="count"),
    Quantity("by_guide.num_samples", "likelihood", kind="count"),
    Quantity(
        "truth.excess",
        "likelihood",
        label="excess over the truth",
        heading="excess",
        line="  excess over the truth",
        text="{truth.excess} +- {truth.excess_standard_error} above the {truth.nll} of the "
        "language itself",
        line_when="known",
        unit=NATS,
        signed=True,
        needs_latent=False,
        added_later=True,
        averaged=("excess", 3),
    ),
    Quantity(
        "truth.excess_standard_error",
        "likelihood",
        label="standard error of the excess",
        unit=NATS,
        needs_latent=False,
    ),
    Quantity(
        "truth.nll",
        "likelihood",
        label="nll of the language itself",
        unit=NATS,
        needs_latent=False,
    ),
    Quantity(
        "global_latents.nll_global_error",
        "likelihood",
        label="error of the nll by draws of global latents",
        line="  by global latents",
        text="+- {global_latents.nll_global_error} by {global_latents.num_draws:d} draws of them, "
        "+- {global_latents.nll_local_error} by those of each sentence",
        line_when="known",
        unit=NATS,
    ),
    Quantity(
        "global_latents.nll_local_error",
        "likelihood",
        label="error of the nll by draws of each sentence's latents",
        unit=NATS,
    ),
    Quantity(
        "global_latents.num_draws",
        "likelihood",
        label="draws of global latents",
        kind="count",
    ),
    Quantity(
        "nll_sampling_error",
        "likelihood",
        label="sampling error of the nll",
        line="  over sentences",
        text="+- {nll_sampling_error} (another test set)",
        unknown="-",
        unit=NATS,
        needs_latent=False,
    ),
    Quantity(
        "unknown_token_share",
        "likelihood",
        label="share of unknown tokens",
        heading="unk %",
        line="  unknown tokens",
        text="{unknown_token_share} of tokens",
        line_when="known",
        kind="share",
        digits=1,
        needs_latent=False,
        compared=True,
        added_later=True,
        averaged=("unk %", 1),
    ),
)
