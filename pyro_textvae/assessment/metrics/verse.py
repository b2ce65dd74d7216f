# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How far poems keep to their form, with masks and without, and what they copy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from pyro_textvae.assessment.bootstrap import Array
from pyro_textvae.assessment.conditional import why_no_source
from pyro_textvae.assessment.material import Material
from pyro_textvae.assessment.metric import Metric
from pyro_textvae.assessment.number import SHARE, Number
from pyro_textvae.contract import SOURCE, TOKENS
from pyro_textvae.data.languages.sign_classes import Accuracy
from pyro_textvae.data.languages.verse_form import Form
from pyro_textvae.generation import Constraints, Generated, build_method, generate
from pyro_textvae.nn.form_masks import FormMasks
from pyro_textvae.nn.form_reader import FormReader
from pyro_textvae.runs.sign_classes import sign_classes_of_run
from pyro_textvae.special_tokens import EOS

Line = tuple[str, ...]

_RUN = 4
"""Signs of a run that is looked up in the training text."""


class Verse(Metric):
    r"""Form met, metre, tones and rhymes of poems for the forms of the split; signs copied.

    A poem is written for each form, as the model writes, and with masks that keep it to the form.
    Form met is the share of poems all of which keeps to it; metre, of poems with as many lines as
    the form has, each of its length; tones, of the places of the form, those with a sign of their
    tone; rhymes, of the lines that have to rhyme, those that do. All lie in [0, 1], higher is
    better; with masks they are 1 by their make. What the masks forced is the mean over poems of

    .. math::
        \log q(x) - \log p(x) = -\sum_t \log p(\text{what may stand at } t \mid x_{<t})

    in nats, at least 0; near 0 where the model keeps to the form by itself. Copied is the share of
    whole lines, and of runs of four signs, that stand in a line of the training text: real text
    has its own share of them, and more than that is memory.

    Source: Yi et al. (2020), MixPoet: Diverse Poetry Generation via Learning Controllable Mixed
    Latent Space, https://ojs.aaai.org/index.php/AAAI/article/view/6488, for the questions.
    """

    title = "verse"
    worlds = ("verse",)

    def why_not(self, material: Material) -> str | None:
        """For a model that writes to no form."""
        if not isinstance(getattr(material.model, "forms", None), FormReader):
            return why_no_source(material) or "the model writes to no form"
        return None

    def measure(self, material: Material) -> list[Number]:
        """Of poems as the model writes, and of poems with masks."""
        tokenizer, config = material.tokenizer, material.config
        source = material.batch[SOURCE]
        vocabulary = tokenizer.vocabulary
        classes = sign_classes_of_run(material.folder, tokenizer)
        forms = [Form.checked(tokenizer.decode(row)) for row in source.tolist()]

        def written(masks: FormMasks | None) -> Generated:
            return generate(
                material.model,
                {SOURCE: source},
                method=build_method(config.method, config.options),
                seed=config.seed,
                constraints=Constraints(unknown=config.unknown, keep_form=masks),
                guide=material.guide,
            )

        free, kept = written(None), written(FormMasks(tokenizer, classes))
        texts = {
            "poems": free.tokens,
            "masked_poems": kept.tokens,
            "real": material.batch[TOKENS],
        }
        signs = {name: [_lines(vocabulary, row) for row in rows] for name, rows in texts.items()}
        found = {
            name: [classes.accuracy(poem, form) for poem, form in zip(poems, forms, strict=True)]
            for name, poems in signs.items()
        }
        training = _known(material)
        numbers: list[Number] = []
        for name, suffix, label in (("poems", "", ""), ("masked_poems", "_masked", ", masked")):
            material.used[name] = {
                "num_sentences": len(forms),
                "split": config.split,
                "method": config.method,
                "options": config.options,
                "unknown": config.unknown,
                "keep_form": name == "masked_poems",
                "seed": config.seed,
                "tokenizer": tokenizer.fingerprint,
            }
            numbers += [
                _share(material, name, key + suffix, text + label, values, real)
                for key, text, values, real in _shares(found[name], found["real"])
            ]
            numbers += _copied(material, training, name, suffix, label, signs[name], signs["real"])
        forced = (kept.score - kept.log_prob).double().sum(-1).cpu().numpy()
        value, interval = material.bootstrap.mean(forced)
        numbers.append(
            Number(
                "form_forced",
                "forced by the masks",
                value,
                interval,
                len(forced),
                "masked_poems",
                unit="nats per poem",
                better="lower",
            )
        )
        return numbers


def _lines(vocabulary: Sequence[str], poem: Tensor) -> list[tuple[str, ...]]:
    """The signs of each line, ``<unk>`` one of them."""
    lines = []
    for row in poem.tolist():
        end = row.index(EOS) if EOS in row else len(row)
        if any(row):
            lines.append(tuple(vocabulary[index] for index in row[:end]))
    return lines


def _shares(
    found: Sequence[Accuracy], real: Sequence[Accuracy]
) -> list[tuple[str, str, Array, float | None]]:
    """Key, label, values of each poem and the mean of real ones."""

    def of(name: str, accuracies: Sequence[Accuracy]) -> Array:
        values = [getattr(each, name) for each in accuracies]
        return np.array([value for value in values if value is not None], dtype=float)

    named = (
        ("form_met", "form met", "is_met"),
        ("metre", "metre", "metre"),
        ("tones", "tones", "tones"),
        ("rhymes", "rhymes", "rhymes"),
    )
    parts = [(key, label, of(name, found), of(name, real)) for key, label, name in named]
    return [(key, label, values, float(r.mean())) for key, label, values, r in parts if len(values)]


def _share(
    material: Material, name: str, key: str, label: str, values: Array, real: float | None
) -> Number:
    value, interval = material.bootstrap.mean(values)
    column = label if key == "form_met" else ""
    return Number(
        key, label, value, interval, len(values), name, real=real, bounds=SHARE, column=column
    )


def _copied(
    material: Material,
    training: tuple[set[Line], set[Line]],
    name: str,
    suffix: str,
    label: str,
    poems: Sequence[Sequence[Line]],
    real: Sequence[Sequence[Line]],
) -> list[Number]:
    lines, runs = training
    numbers = []
    for key, text, known, parts in (
        ("copied_lines", "whole training lines", lines, lambda line: [line]),
        ("copied_runs", "runs of four signs copied", runs, _runs),
    ):
        shares, of_real = (
            np.array(
                [
                    np.mean([part in known for line in poem for part in parts(line)])
                    for poem in each
                    if any(parts(line) for line in poem)
                ]
            )
            for each in (poems, real)
        )
        if not len(shares):
            continue
        value, interval = material.bootstrap.mean(shares)
        numbers.append(
            Number(
                key + suffix,
                text + label,
                value,
                interval,
                len(shares),
                name,
                better="real",
                real=float(of_real.mean()) if len(of_real) else None,
                bounds=SHARE,
            )
        )
    return numbers


def _known(material: Material) -> tuple[set[Line], set[Line]]:
    """Lines of the training text, and runs of four signs."""
    lines: set[Line] = set()
    vocabulary = material.tokenizer.vocabulary
    for index in range(len(material.corpus.train)):
        lines.update(_lines(vocabulary, material.corpus.train[index]))
    return lines, {run for line in lines for run in _runs(line)}


def _runs(line: Line) -> list[Line]:
    return [line[start : start + _RUN] for start in range(len(line) - _RUN + 1)]
