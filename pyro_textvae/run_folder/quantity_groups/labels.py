# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How well labels are told, by Bayes' rule from the model and by the guide."""

from __future__ import annotations

from pyro_textvae.run_folder.quantity import Quantity

_READERS = {"bayes": "by the model", "guide": "by the guide"}
_NUMBERS = {
    "accuracy": ("accuracy of labels", ""),
    "macro_f1": ("macro F1 of labels", ""),
    "label_nll": ("nll of labels", "nats per label"),
    "calibration_error": ("calibration error", ""),
}


def _of(reader: str, words: str) -> tuple[Quantity, ...]:
    """The numbers of one reader, each with the ends of its 95 % interval."""
    quantities = []
    for name, (title, unit) in _NUMBERS.items():
        key = f"classification.{reader}.{name}"
        of_chance = ""
        if name == "calibration_error":
            floor = f"classification.{reader}.calibration_floor"
            of_chance = f", {{{floor}}} by chance"
            quantities.append(
                Quantity(floor, "labels", label=f"of it by chance, {words}", needs_latent=False)
            )
        quantities += [
            Quantity(
                key,
                "labels",
                label=f"{title}, {words}",
                # The line of label_nll is of the group of likelihoods, with the error of the draws.
                line="" if name == "label_nll" else f"{title}, {words}",
                line_when="known",
                text=f"{{{key}}} [{{{key}_low}}, {{{key}_high}}]{of_chance}",
                unit=unit,
                needs_latent=False,
            ),
            Quantity(f"{key}_low", "labels", needs_latent=False),
            Quantity(f"{key}_high", "labels", needs_latent=False),
        ]
    return tuple(quantities)


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "classification.bayes.num_labelled",
        "labels",
        label="sentences with a label",
        kind="count",
        needs_latent=False,
    ),
    *(each for reader, words in _READERS.items() for each in _of(reader, words)),
)
