# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How the likelihood was estimated: draws, their proposal, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyro_textvae.run_folder.quantity import Quantity


def _evaluations_of_a_sentence(result: Mapping[str, Any]) -> float | None:
    total, count = result.get("decoder_evaluations"), result.get("num_sentences")
    return total / count if total is not None and count else None


def _proposal_and_settings(result: Mapping[str, Any]) -> str | None:
    if result.get("proposal") is None:
        return None
    settings = [
        name.replace("_", " ") if value is True else f"{name.replace('_', ' ')} {value}"
        for name, value in (result.get("proposal_settings") or {}).items()
        if value not in (None, False)
    ]
    return ", ".join([str(result["proposal"]), *settings])


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "num_samples",
        "draws",
        label="K, draws for each sentence",
        heading="K",
        kind="count",
        compared=True,
    ),
    Quantity("mean_draws", "draws", label="mean of the draws used", digits=1),
    Quantity("decoder_evaluations", "draws", label="decoder evaluations", kind="count"),
    Quantity(
        "decoder_evaluations_of_a_sentence",
        "draws",
        kind="count",
        of=_evaluations_of_a_sentence,
    ),
    Quantity(
        "proposal",
        "draws",
        heading="proposal",
        line="  draws",
        text="from the {proposal} proposal, {decoder_evaluations_of_a_sentence} decoder "
        "evaluations a sentence",
        kind="words",
        compared=True,
    ),
    Quantity(
        "proposal_and_settings",
        "draws",
        label="proposal of the draws",
        kind="words",
        of=_proposal_and_settings,
    ),
    Quantity("exact", "draws", kind="flag", needs_latent=False),
)
