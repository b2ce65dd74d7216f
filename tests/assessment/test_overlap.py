# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""BLEU and chrF are those that the command of ``sacrebleu`` prints."""

import json
import subprocess
import sys

import numpy as np
import pytest

from pyro_textvae.assessment.metrics import ReconstructionOverlap
from pyro_textvae.assessment.overlap import bleu_counts, bleu_of_counts, overlap
from tests.assessment.texts import material, sentences

REFERENCES = [
    "the quick brown fox jumps over the lazy dog .",
    "a man in a t-shirt rides his bicycle down the street",
    "two children , a boy and a girl , play <unk> !",
    "it's raining",
]
TEXTS = [
    "the quick brown cat jumps over the dog .",
    "a man in a blue shirt rides a bicycle down the street",
    "two children play <unk> !",
    "it's snowing here today",
]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the command prints of the two files."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "texts").write_text("\n".join(TEXTS) + "\n")
    (folder / "references").write_text("\n".join(REFERENCES) + "\n")
    command = ["sacrebleu", "references", "-i", "texts", "-m", "bleu", "chrf", "-w", "4"]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--confidence", "--confidence-n", "200"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return {each["name"]: each for each in json.loads(done.stdout)}


@pytest.mark.parametrize(("kind", "name"), [("BLEU", "BLEU"), ("CHRF", "chrF2")])
def test_scores_and_intervals_are_the_commands(kind, name, printed):
    result = overlap(kind, TEXTS, REFERENCES, num_resamples=200, tokenizer="13a")
    assert f"{result.score:.4f}" == f"{printed[name]['score']:.4f}"
    half = (result.interval[1] - result.interval[0]) / 2
    assert f"{half:.4f}" == f"{printed[name]['confidence_var']:.4f}"
    for part in printed[name]["signature"].split("|"):
        assert part in result.signature


def test_the_metric_has_texts_and_references_the_right_way_round(printed):
    again = {name: sentences(*TEXTS) for name in ("mean_reconstructions", "drawn_reconstructions")}
    run = material(TEXTS, REFERENCES, reconstructions=again)
    found = {number.name: number for number in ReconstructionOverlap().measure(run)}
    assert found["reconstruction_bleu_mean"].value == pytest.approx(printed["BLEU"]["score"])
    assert found["reconstruction_chrf_draw"].value == pytest.approx(printed["chrF2"]["score"])
    assert "version:" in found["reconstruction_bleu_mean"].note


def test_summed_counts_of_resampled_sentences_are_bleu_of_them():
    weights = np.array([2, 0, 1, 1])
    places = np.repeat(np.arange(4), weights)
    texts, references = ([each[n] for n in places] for each in (TEXTS, REFERENCES))
    counts = bleu_counts(TEXTS, REFERENCES, tokenizer="13a")
    whole = overlap("BLEU", texts, references, num_resamples=100, tokenizer="13a")
    assert bleu_of_counts(weights @ counts) == pytest.approx(whole.score)
