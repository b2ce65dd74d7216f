# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""arithmetic, traverse, neighbours, embed and interpolate --path on the command line."""

import importlib.util
import json
import sys

import numpy as np
import pytest

from pyro_textvae.cli.main import main
from tests.cli.conftest import TINY

A, B, C = "the cat sat in the sun", "the dog sat in the sun", "the dog ran in the box"


@pytest.fixture(scope="module")
def labelled_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    rows = [
        f"the {animal} {verb} in the {place}\t{label}\n"
        for animal in ("cat", "dog", "bird")
        for verb, label in (("sat", "quiet"), ("sang", "loud"))
        for place in ("mat", "sun", "box", "hat")
    ]
    (folder / "text.tsv").write_text("text\tmood\n" + "".join(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYRO_TEXTVAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        columns = ["--text-column", "text", "--label-column", "mood"]
        data = ["--data", str(folder / "text.tsv"), *columns]
        assert main(["train", *data, *TINY, "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_arithmetic(run, succeeds, tmp_path):
    out = succeeds("arithmetic", run, A, B, C)
    assert len(out.splitlines()) == 1
    # A less A leaves C, which is what its own latent gives.
    decoded = succeeds("arithmetic", run, A, A, C)
    assert decoded in succeeds("reconstruct", run, "--text", C).replace("to    ", "")
    file = tmp_path / "triples.txt"
    file.write_text(f"{A}\t{B}\t{C}\n{A}\t{A}\t{C}\n")
    records = [
        json.loads(line)
        for line in succeeds(
            "arithmetic", run, "--text-file", file, "--format", "jsonl"
        ).splitlines()
    ]
    assert [record["text"] for record in records] == [out.strip(), decoded.strip()]
    assert (records[0]["a"], records[0]["c"]) == (A, C)
    assert records[0]["log_prob"] < 0


def test_traverse(run, succeeds, tmp_path):
    walk = ["traverse", run, A, "--steps", "3"]
    lines = succeeds(*walk, "--dimension", "1").splitlines()
    assert lines[0] == f"from    {A}"
    assert [line[:6] for line in lines[1:]] == [" -3.00", " +0.00", " +3.00"]
    np.save(tmp_path / "way.npy", np.array([0.0, 3.0]))
    along = succeeds(*walk, "--direction", tmp_path / "way.npy", "--format", "jsonl").splitlines()
    assert [json.loads(line)["text"] for line in along] == [line[8:] for line in lines[1:]]


def test_traverse_between_labels(labelled_run, succeeds, check_refused):
    arguments = ["traverse", labelled_run, "the cat sat in the sun", "--label-from", "quiet"]
    out = succeeds(*arguments, "--label-to", "loud", "--steps", "3")
    assert len(out.splitlines()) == 4
    check_refused("there is no label 'lout': there are", *arguments, "--label-to", "lout")
    check_refused("needs both: give --label-from and --label-to", *arguments)


def test_neighbours(run, succeeds):
    sentence = "the bird slept in the sun"
    for by in ("mean", "kl"):
        arguments = ["neighbours", run, sentence, "--split", "valid", "--size", "3", "--by", by]
        lines = succeeds(*arguments).splitlines()
        assert lines[0] == f"from      {sentence}"
        assert by == "kl" or lines[1].endswith(f"  {sentence}")
        assert float(lines[1].split()[0]) == pytest.approx(0.0, abs=1e-3)
        records = [json.loads(line) for line in succeeds(*arguments, "--format=jsonl").splitlines()]
        assert records[0].keys() == {"input", "text", "distance", "place"}
        distances = [record["distance"] for record in records]
        assert distances == sorted(distances)


def test_embed(run, cli, succeeds, tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text(f"{A}\n{C}\n{A}\n")
    out = tmp_path / "z.npz"
    arguments = ["embed", run, "--text-file", file, "--batch-size", "2", "--variances"]
    status, _, err = cli(*arguments, "--out", out)
    assert (status, err) == (0, f"3 sentences written to {out}\n")
    found = np.load(out)
    assert {name: found[name].shape for name in found} == {"z": (3, 2), "z_variance": (3, 2)}
    assert np.array_equal(found["z"][0], found["z"][2])
    assert not np.allclose(found["z"][0], found["z"][1])
    records = [json.loads(line) for line in succeeds(*arguments).splitlines()]
    assert [record["text"] for record in records] == [A, C, A]
    assert np.allclose([record["z"] for record in records], found["z"])
    status, _, err = cli("embed", run, "the zebra")
    assert (status, err) == (0, "1 of 2 tokens are unknown to the model\n")


def test_a_parquet_file_takes_pyarrow(run, check_refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_refused("takes pyarrow, which is not installed", "embed", run, A, "--out", "z.parquet")


def test_the_path_of_an_interpolation(run, succeeds):
    ends = ["interpolate", run, "--start", A, "--end", C, "--steps", "3"]
    line = succeeds(*ends, "--path", "line")
    assert line == succeeds(*ends)
    way = succeeds(*ends, "--path", "aggregate")
    assert way.splitlines()[0] == f"from  {A}"
    assert len(way.splitlines()) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["arithmetic", A, B], "arithmetic needs three sentences, A B C, got 2"),
        (["arithmetic"], "arithmetic needs a line of three sentences"),
        (["arithmetic", A, B, "the cot"], "'cot' is not in the vocabulary: nearest is 'cat'"),
        (["arithmetic", A, B, ""], "the sentence '' is empty"),
        (["arithmetic", A, B, C, "--num-latents", "2"], "is one latent, so num_latents=2 has no"),
        (["traverse", A], "traverse needs a way to go: give --dimension, --direction, or"),
        (["traverse", A, "--dimension", "2"], r"dimension must lie in \[0, 2\)"),
        (["traverse", A, "--dimension=0", "--direction=a.npy"], "dimension and direction both say"),
        (["traverse", A, "--direction", "a.npy"], "cannot read a.npy as a .npy file of one vector"),
        (
            ["traverse", A, "--label-from", "a", "--label-to", "b"],
            "has no labels, between which a way could lead",
        ),
        (["neighbours"], "neighbours needs a sentence: pyro-textvae neighbours RUN TEXT"),
        (["neighbours", "--text-file", "empty.txt"], "empty.txt has no line with a sentence"),
        (["neighbours", A, "--by", "median"], "by"),
        (["embed", A, "--out", "z.csv"], "out must end in .npz or .parquet, got z.csv"),
        (["embed", A, "--out", "no/z.npz"], "the folder of no/z.npz does not exist: make it first"),
    ],
)
def test_bad_input_is_one_line(run, check_refused, tmp_path, arguments, message):
    (tmp_path / "empty.txt").write_text("\n")
    command, *rest = arguments
    check_refused(message, command, run, *rest)


def test_a_model_without_latents(language_model_run, check_refused):
    no_latent = "the model has no latent"
    check_refused(no_latent, "arithmetic", language_model_run, A, B, C)
    check_refused(no_latent, "traverse", language_model_run, A, "--dimension", "0")
    check_refused(no_latent, "neighbours", language_model_run, A)
    check_refused(no_latent, "embed", language_model_run, A)
