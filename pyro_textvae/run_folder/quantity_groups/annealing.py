# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The likelihood beside that by annealing, where it was checked."""

from __future__ import annotations

from pyro_textvae.run_folder.quantity import NATS, Quantity


def _of_annealing(key: str, line: str, sentences: str, label: str) -> tuple[Quantity, ...]:
    """Annealed less evaluated log p(x) on some sentences, and what it warns of.

    :param key: of these sentences in ``check.annealing``.
    :param line: what they are in a line of the terminal table; ``sentences``: in a warning there.
    :param label: what they are on the report page.
    """
    part = f"check.annealing.{key}"
    return (
        Quantity(f"{part}.num_sentences", "annealing", heading="sentences", kind="count"),
        Quantity(
            f"{part}.mean",
            "annealing",
            label=label,
            heading="annealed minus evaluated log p(x)",
            line=f"annealing, {{{part}.num_sentences:d}} {line}",
            text=f"log p(x) {{{part}.mean}} above the nll's",
            line_when="known",
            unit=NATS,
            signed=True,
            error=f"{part}.standard_error",
            count=f"{part}.num_sentences",
        ),
        Quantity(f"{part}.standard_error", "annealing", unit=NATS),
        Quantity(
            f"{part}.warns",
            "annealing",
            kind="flag",
            warning=f"annealing finds the nll too high on the {sentences}",
            page_warning=f"Annealing finds a log p(x) that is higher by {{{part}.mean}} nats on "
            f"the {label}: the nll of the evaluation is too high there.",
        ),
        Quantity(
            f"{part}.annealing_falls_short",
            "annealing",
            kind="flag",
            warning=f"annealing was too short to check the {sentences}",
            page_warning=f"Annealing finds a lower log p(x) ({{{part}.mean}} nats) on the "
            f"{label}: it was too short to check anything.",
        ),
    )


QUANTITIES: tuple[Quantity, ...] = (
    *_of_annealing("random", "at random", "sentences at random", "sentences drawn at random"),
    *_of_annealing(
        *("worst", "of the worst khat", "sentences of the worst khat", "sentences of worst k-hat")
    ),
)
