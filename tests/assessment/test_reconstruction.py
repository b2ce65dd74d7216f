# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest

from pyro_textvae.assessment.metrics import Reconstruction
from tests.assessment.texts import by_name, material, sentences


def test_matches_and_edits_by_hand():
    real = ("the cat sat", "a dog", "x")
    again = {
        "mean_reconstructions": sentences("the cat sat", "dog a", "x y"),
        "drawn_reconstructions": sentences("", "a dog", "y"),
    }
    found = by_name(Reconstruction(), material((), real, reconstructions=again))
    at_mean = {name: found[f"{name}_mean"].value for name in ("exact_match", "word_accuracy")}
    # Of 6 words, 3 and 0 and 1 stand in their places.
    assert at_mean == pytest.approx({"exact_match": 1 / 3, "word_accuracy": 4 / 6})
    # Words: none; a taken out and put in again, as cheap as two changed; y taken out.
    assert found["word_edits_mean"].value == pytest.approx((0 + 2 + 1) / 6)
    # Characters: "a dog" to "dog a" is four edits, "x" to "x y" two, of 11 + 5 + 1.
    assert found["character_edits_mean"].value == pytest.approx((0 + 4 + 2) / 17)
    assert found["exact_match_draw"].value == pytest.approx(1 / 3)
    assert found["word_edits_draw"].value == pytest.approx((3 + 0 + 1) / 6)
    assert found["word_edits_draw"].better == "lower"
    assert found["word_accuracy_mean"].material == "mean_reconstructions"
