# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How much of a sentence's phrases comes back from its latent."""

from __future__ import annotations

from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.number import Number
from pyro_textvae.assessment.overlap import Kind, overlap
from pyro_textvae.assessment.reconstructed import AT, why_not_reconstructed

_KINDS: dict[Kind, tuple[str, str]] = {"BLEU": ("bleu", "BLEU"), "CHRF": ("chrf", "chrF")}


class ReconstructionOverlap(Metric):
    r"""BLEU and chrF of reconstructions against their originals, from 0 to 100, higher is better.

    .. math::
        \text{BLEU} = \min(1, e^{1 - r / c}) \prod_{n=1}^4 p_n^{1/4}, \qquad
        \text{chrF} = \frac{(1 + \beta^2) P R}{\beta^2 P + R}, \quad \beta = 2

    with the clipped n-gram precisions :math:`p_n` and the lengths c of the texts and r of the
    references in all; P and R the mean precision and recall of character n-grams up to 6.

    Source: Papineni et al. (2002), https://aclanthology.org/P02-1040/; Popovic (2015),
    https://aclanthology.org/W15-3049/; computed by ``sacrebleu``, Post (2018),
    https://aclanthology.org/W18-6319/.
    """

    title = "reconstruction"
    packages = ("sacrebleu",)

    def why_not(self, material: Material) -> str | None:
        """For a model without a latent of its sentences."""
        return why_not_reconstructed(material)

    def measure(self, material: Material) -> list[Number]:
        """Each at the posterior mean, and at a draw of the posterior."""
        numbers = []
        for name, again in material.reconstructions.items():
            place, column = AT[name]
            for kind, (key, label) in _KINDS.items():
                result = overlap(
                    kind,
                    again.texts,
                    material.real.texts,
                    num_resamples=material.config.num_resamples,
                    tokenizer=material.config.bleu_tokenizer,
                )
                numbers.append(
                    Number(
                        f"reconstruction_{key}_{column}",
                        f"{label}, {place}",
                        result.score,
                        result.interval,
                        len(again),
                        name,
                        digits=2,
                        note=result.signature,
                        bounds=(0.0, 100.0),
                        column="BLEU back" if (key, column) == ("bleu", "mean") else "",
                    )
                )
        return numbers
