# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whether the likelihood is to be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyro_textvae.run_folder.quantity import NATS, Quantity


def _no_khat(result: Mapping[str, Any]) -> str:
    """Why no sentence has a k-hat."""
    if result.get("proposal") == "annealed":
        return "annealed populations have none"
    if result.get("proposal") == "auto" and (result.get("num_samples") or 0) >= 100:
        return "all sentences were annealed, and their populations have none"
    return "needs K >= 100, and draws that differ"


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "truth.is_below",
        "trust",
        kind="flag",
        needs_latent=False,
        warning="the nll is below that of the language itself by more than three errors, which no "
        "model can be: text leaks into what it is scored by, or the likelihood is wrong",
        page_warning="The nll is below that of the language itself by {truth.excess} nats, more "
        "than three errors, which no model can be.",
    ),
    Quantity(
        "median_ess",
        "trust",
        label="median effective sample size",
        line="  effective sample size",
        text="median {median_ess}; {flagged_sentences} sentences rest on few draws",
        digits=1,
    ),
    Quantity(
        "settled_share",
        "trust",
        label="sentences that are settled",
        line="  settled",
        text="{settled_share} of sentences",
        kind="share",
        digits=1,
    ),
    Quantity("flagged_sentences", "trust", label="sentences that rest on few draws", kind="count"),
    Quantity(
        "heavy_tail_share",
        "trust",
        label="sentences with k-hat above 0.7",
        heading="share with k-hat above 0.7",
        line="  khat above 0.7",
        text="{heavy_tail_share} of sentences",
        unknown="- ({no_khat})",
        kind="share",
        digits=1,
        averaged=("khat %", 0),
        aliases=("khat_above_0_7",),
    ),
    Quantity("no_khat", "trust", kind="words", of=_no_khat),
    Quantity(
        "doubling_increment",
        "trust",
        label="gain of the last doubling of K, D_K",
        line="  last doubling of K",
        text="-{doubling_increment:.3} nats, about {remaining_bias:.3} more to come",
        line_when="known",
        unit=NATS,
        digits=4,
    ),
    Quantity("doubling_ratio", "trust", label="its ratio to the doubling before, ρ", digits=2),
    Quantity("remaining_bias", "trust", label="estimated remaining bias", unit=NATS, digits=4),
)
