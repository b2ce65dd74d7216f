# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Accuracies of poems, by hand."""

from types import SimpleNamespace

import pytest
import torch

import pyro_textvae.assessment.metrics.verse as module
from pyro_textvae.assessment.metrics import Verse
from pyro_textvae.data import pad, train_tokenizer
from pyro_textvae.data.languages.sign_classes import SignClasses
from pyro_textvae.generation import Generated
from pyro_textvae.nn.form_reader import FormReader
from pyro_textvae.special_tokens import EOS
from tests.assessment.texts import by_name, material

TOKENIZER = train_tokenizer(["月 雪 光 霜 山 ang 仄仄仄平"])
CLASSES = SignClasses(
    dict(zip("月雪光霜山", "仄仄平平平", strict=True)), {"光": "ang", "霜": "ang", "山": "an"}
)


def rows(text):
    return pad([[*TOKENIZER.encode(line), EOS] for line in text.split("/")])


def poems(*texts):
    return torch.stack([rows(text) for text in texts])


FORM = [*TOKENIZER.encode("ang 仄仄仄平 仄仄仄平"), EOS]
REAL = poems("月 雪 月 光/雪 雪 月 霜", "月 月 月 霜/雪 月 月 光")


@pytest.fixture
def found(monkeypatch):
    # One tone of eight and one rhyme of two wrong; a line too short, which rhymes all the same.
    free = poems("月 雪 光 山/雪 雪 月 霜", "月 雪 月 光/月 霜 光 光")
    free[1, 1, 3:] = pad([[EOS, 0]])
    log_prob = torch.tensor([[-3.0, -4.0], [-2.0, -2.0]])

    def generate(*_, constraints, **__):
        tokens = free if constraints.keep_form is None else REAL
        return Generated(tokens, log_prob, log_prob + torch.tensor([[1.0, 0.5], [0.0, 0.1]]))

    monkeypatch.setattr(module, "generate", generate)
    monkeypatch.setattr(module, "sign_classes_of_run", lambda *_: CLASSES)
    run = material((), ("a", "b"), batch={"source": torch.tensor([FORM] * 2), "tokens": REAL})
    run.folder, run.guide, run.tokenizer = "run", None, TOKENIZER
    run.model = SimpleNamespace(forms=FormReader(TOKENIZER, 2, 5))
    # A line of five has two runs of four; one of them is in the last line of the second poem.
    run.corpus.train = [rows("月 雪 月 光/月 月 月 月"), rows("雪 月 月 月 月")]
    return by_name(Verse(), run)


def test_accuracies_are_means_over_poems_and_masks_are_told_apart(found):
    of = {name: number.value for name, number in found.items()}
    assert (of["form_met"], of["metre"]) == (0.0, 0.5)
    assert of["tones"] == pytest.approx((7 / 8 + 5 / 8) / 2)
    assert of["rhymes"] == pytest.approx((1 / 2 + 1) / 2)
    assert [of[f"{name}_masked"] for name in ("form_met", "metre", "tones", "rhymes")] == [1.0] * 4
    assert of["form_forced"] == pytest.approx((1.5 + 0.1) / 2)


def test_copied_is_the_share_of_lines_and_of_runs_of_four(found):
    assert found["copied_lines"].value == pytest.approx((0 + 1 / 2) / 2)
    # The second line of the second poem has no four signs.
    assert found["copied_runs"].value == pytest.approx((0 + 1) / 2)
    assert found["copied_lines"].real == pytest.approx((1 / 2 + 0) / 2)
    assert found["copied_lines_masked"].value == pytest.approx(0.25)


def test_an_unknown_sign_is_one_sign():
    row = pad([[*TOKENIZER.encode("月 x 光"), EOS]])
    assert module._lines(TOKENIZER.vocabulary, row) == [("月", "<unk>", "光")]


def test_a_model_that_writes_to_no_form_is_told_so():
    run = material(("a",), ("a",), sources=("b",))
    run.model = SimpleNamespace()
    assert Verse().why_not(run) == "the model writes to no form"
