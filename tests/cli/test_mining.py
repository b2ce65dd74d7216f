# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``evaluate --mining``: numbers of a collection with labels, in table, file and report."""

import json
import re

import numpy as np
import pytest


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    path = tmp_path_factory.mktemp("labelled") / "mine.tsv"
    rows = [
        f"the {animal} {verb} in the {place}\t{animal}"
        for animal in ("cat", "dog")
        for verb in ("sat", "ran", "sang", "slept")
        for place in ("mat", "sun", "box")
    ]
    path.write_text("text\tanimal\n" + "\n".join(rows) + "\n")
    return path


def test_latents_beside_a_bag_of_words(succeeds, check_refused, run_copy, labelled, tmp_path):
    of_text = ["--data", labelled, "--text-column", "text", "--label-column", "animal"]
    few = ["--num-samples", "2", "--proposal", "guide"]
    vectors = tmp_path / "vectors.npy"
    at_labels = np.repeat([[0.0, 0.0], [9.0, 9.0]], 12, axis=0)
    np.save(vectors, at_labels + np.random.default_rng(0).normal(size=(24, 2)))
    arguments = ["evaluate", run_copy, "--mining", *of_text, *few]
    out = succeeds(*arguments, "--mining-vectors", vectors)
    number = r"-?\d\.\d{3} \[-?\d\.\d{3}, \d\.\d{3}\]"
    assert re.search(rf"trustworthiness of the map, latents +{number}", out)
    assert re.search(
        rf"same label among ten nearest, bag of words +{number}, 0\.478 by chance", out
    )
    assert re.search(r"NMI of k-means and labels, other vectors +1\.000 \[1\.000, 1\.000\]", out)
    result = json.loads((run_copy / "evaluation.json").read_text())
    assert result["mining"]["num_sentences"] == 24
    assert set(result["mining"]["latents"]) == set(result["mining"]["vectors"])
    assert result["settings"]["mining"] is True
    page = (run_copy / "report" / "report.html").read_text()
    assert "Labels on the map" in page
    assert "24 sentences with 2 labels" in page
    for words, extra in {
        "one row for each of 24 sentences": ["--mining-vectors", vectors.with_name("few.npy")],
        "cannot read .* as an array": ["--mining-vectors", labelled],
    }.items():
        np.save(vectors.with_name("few.npy"), np.zeros((3, 2)))
        check_refused(words, *arguments, *extra)


def test_without_labels(check_refused, run, language_model_run, labelled):
    few = ["--num-samples", "2", "--proposal", "guide"]
    check_refused("the test split has none", "evaluate", run, "--mining", *few)
    check_refused("does nothing without mining", "evaluate", run, "--mining-vectors", "x", *few)
    of_text = ["--data", labelled, "--text-column", "text", "--label-column", "animal"]
    check_refused("no latent", "evaluate", language_model_run, "--mining", *of_text, *few)
    check_refused("give --mining too", "evaluate", run, *of_text, *few)
