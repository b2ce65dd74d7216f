# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Samples against a language whose probabilities are known."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyro_textvae.assessment.bootstrap import Array
from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.number import SHARE, Number
from pyro_textvae.assessment.sentences import Sentences
from pyro_textvae.errors import UserError
from pyro_textvae.run_folder.evaluated_run import read_evaluation, read_sentences

_DRAWS = 10_000


class KnownLanguage(Metric):
    r"""The share of samples in the language, cross-entropies both ways, and lengths.

    .. math::
        H(q, p) = -\mathbb{E}_{x \sim q} \log p(x), \quad
        H(p, q) = -\mathbb{E}_{x \sim p} \log q(x), \quad
        \text{TV} = \tfrac{1}{2} \sum_l |q(l) - p(l)|

    p is the truth and q the model. The share lies in [0, 1], higher is better. H(q, p) is exact for
    every sample, and over those in the language alone: with one outside, that over all is infinite;
    it is right at the language's entropy, and below that where the model says the likeliest too
    often. H(p, q) is the nll of the run's evaluation, where it has one on this split; lower is
    better, never below the entropy. The total variation of lengths in words, in [0, 1], is to
    10,000 draws of the truth; that of real text is beside.
    """

    title = "known language"

    def why_not(self, material: Material) -> str | None:
        """On text of no world, and where its truth cannot be told of a text alone."""
        world = material.corpus.world
        if world is None:
            return "the text is not drawn from a language of known truth (world:NAME)"
        if not (world.knows_texts_alone or material.takes_source):
            return "the world tells the probability of a text given its source alone"
        return None

    def measure(self, material: Material) -> list[Number]:
        """All of them that are known."""
        samples, world = material.samples, material.corpus.world
        assert world is not None
        log_p = np.array(
            [
                world.log_prob(text, **material.given(place))
                for place, text in enumerate(samples.lines)
            ]
        )
        inside = np.isfinite(log_p)
        bootstrap = material.bootstrap
        value, interval = bootstrap.mean(inside)
        of_samples: dict[str, Any] = {"num_sentences": len(samples), "material": "samples"}
        numbers = [
            Number(
                "in_language",
                "in the language",
                value,
                interval,
                **of_samples,
                real=1.0,
                bounds=SHARE,
                column="in language",
            )
        ]
        entropy = _entropy(material)
        if inside.sum() > 1:
            value, interval = bootstrap.mean(-log_p[inside])
            numbers.append(
                Number(
                    "cross_entropy_of_samples",
                    "cross-entropy of samples in the language",
                    value,
                    interval,
                    int(inside.sum()),
                    "samples",
                    unit="nats per sentence",
                    better="real",
                    real=entropy,
                    note="real: the entropy of the language",
                )
            )
        numbers += _cross_entropy_of_truth(material, entropy)
        truth = _lengths_of_truth(material)
        value, interval = bootstrap.statistic(_variation(samples, truth), len(samples))
        numbers.append(
            Number(
                "length_variation",
                "total variation of lengths",
                value,
                interval,
                **of_samples,
                bounds=SHARE,
                better="lower",
                real=_variation(material.real, truth)(np.ones(len(material.real))),
            )
        )
        return numbers


def _entropy(material: Material) -> float | None:
    """Of a text given what the model is given; None where the world tells another."""
    world, given = material.corpus.world, set(material.given(0))
    assert world is not None
    if not given:
        return world.entropy().value
    fields = {name.rstrip("s") for name in material.corpus.fields} - {"token"}
    return world.conditional_entropy().value if given == fields else None


def _cross_entropy_of_truth(material: Material, entropy: float | None) -> list[Number]:
    try:
        evaluation = read_evaluation(material.folder)
        columns = read_sentences(material.folder, evaluation)
    except UserError as error:
        material.remarks.append(f"no cross-entropy of the truth under the model: {error}")
        return []
    same = {"split": material.config.split, "corpus_fingerprint": material.corpus.fingerprint}
    differing = [name for name, value in same.items() if evaluation.get(name) != value]
    if differing or evaluation.get("nll") is None:
        material.remarks.append(
            "no cross-entropy of the truth under the model: the run's evaluation is of other text"
        )
        return []
    nll = -columns["log_px"].numpy()
    material.used["evaluation"] = {
        "num_sentences": len(nll),
        "exact": evaluation.get("exact"),
        "num_samples": evaluation.get("num_samples"),
        "proposal": evaluation.get("proposal"),
        "seed": evaluation.get("seed"),
    }
    value, interval = material.bootstrap.mean(nll)
    return [
        Number(
            "cross_entropy_of_truth",
            "cross-entropy of the truth under the model",
            value,
            interval,
            len(nll),
            "evaluation",
            unit="nats per sentence",
            better="lower",
            real=entropy,
            note="the nll of evaluation.json; real: the entropy of the language",
        )
    ]


def _lengths_of_truth(material: Material) -> Array:
    world = material.corpus.world
    assert world is not None
    generator = np.random.default_rng(material.config.seed)
    return np.array([len(world.draw(generator).text.split()) for _ in range(_DRAWS)])


def _variation(sentences: Sentences, truth: Array) -> Any:
    lengths = np.array([len(words) for words in sentences.words])
    longest = max(int(lengths.max(initial=0)), int(truth.max()))
    shares = np.bincount(truth, minlength=longest + 1) / len(truth)

    def variation(weights: Array) -> float:
        of_sentences = np.bincount(lengths, weights, minlength=longest + 1) / weights.sum()
        return float(np.abs(of_sentences - shares).sum() / 2)

    return variation
