# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How well vectors of sentences keep together what has one label."""

from __future__ import annotations

from pyro_textvae.run_folder.quantity import Quantity

REPRESENTATIONS = {
    "latents": "latents",
    "bag_of_words": "bag of words",
    "vectors": "other vectors",
}
NUMBERS = {
    "trustworthiness": "trustworthiness of the map",
    "neighbour_precision": "same label among ten nearest",
    "nmi_kmeans": "NMI of k-means and labels",
    "nmi_mixture": "NMI of a mixture and labels",
}


def _of(representation: str, words: str) -> tuple[Quantity, ...]:
    """The numbers of one representation, each with the ends of its 95 % interval."""
    quantities = []
    for name, title in NUMBERS.items():
        key = f"mining.{representation}.{name}"
        chance = ", {mining.chance} by chance" if name == "neighbour_precision" else ""
        quantities += [
            Quantity(
                key,
                "mining",
                label=f"{title}, {words}",
                line=f"{title}, {words}",
                line_when="known",
                text=f"{{{key}}} [{{{key}_low}}, {{{key}_high}}]{chance}",
                needs_latent=False,
            ),
            Quantity(f"{key}_low", "mining", needs_latent=False),
            Quantity(f"{key}_high", "mining", needs_latent=False),
        ]
    return tuple(quantities)


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "mining.num_sentences",
        "mining",
        label="labelled sentences of the map",
        kind="count",
        needs_latent=False,
    ),
    Quantity("mining.num_labels", "mining", kind="count", needs_latent=False),
    Quantity("mining.chance", "mining", needs_latent=False),
    *(each for name, words in REPRESENTATIONS.items() for each in _of(name, words)),
)
