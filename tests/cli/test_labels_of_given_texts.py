# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A label beside a text of the user's own, in the commands that start from one."""

import json
from types import SimpleNamespace

import pytest
import torch

from pyro_textvae import load_run
from pyro_textvae.cli.given_texts import fields_beside
from pyro_textvae.errors import UserError
from pyro_textvae.generation import generate
from pyro_textvae.infer.running import evaluation_mode

A, B = "the glad cat sat in the mat", "the sad dog ran in the sun"


def means(run, text, label):
    """The guide's mean of z for each label, by its parts."""
    _, guide, tokenizer = load_run(run)
    tokens = torch.tensor([[*tokenizer.encode(text), 2]])
    with evaluation_mode(guide, guide, 0):
        return guide.posterior_given_label(guide.encoder(tokens), torch.tensor([label])).mean[0]


def test_embed_under_a_label(labelled_run, succeeds, tmp_path):
    file, labels = tmp_path / "texts.txt", tmp_path / "labels.txt"
    file.write_text(f"{A}\n{B}\n{A}\n")
    labels.write_text("glad\nglad\nsad\n")
    arguments = ["embed", labelled_run, "--text-file", file, "--batch-size", "2", "--variances"]
    table = [
        json.loads(line) for line in succeeds(*arguments, "--labels-from", labels).splitlines()
    ]
    assert [set(row) for row in table] == [{"text", "z", "z_variance"}] * 3
    for row, label in zip(table, (0, 0, 1), strict=True):
        torch.testing.assert_close(torch.tensor(row["z"]), means(labelled_run, row["text"], label))
    inferred = [json.loads(line) for line in succeeds(*arguments).splitlines()]
    for row in inferred:
        mean = means(labelled_run, row["text"], row["y_unobserved"])
        torch.testing.assert_close(torch.tensor(row["z"]), mean)


def test_neighbours_of_a_label(labelled_run, succeeds):
    """The nearest to a sentence under the label that it has, in the split, is itself."""
    arguments = ["neighbours", labelled_run, A, "--size", "99", "--format=jsonl"]
    own, other = (
        [json.loads(line) for line in succeeds(*arguments, "--label", label).splitlines()]
        for label in ("glad", "sad")
    )
    assert (own[0]["text"], own[0]["distance"]) == (A, pytest.approx(0.0, abs=1e-4))
    shift = means(labelled_run, A, 1) - means(labelled_run, A, 0)
    (same,) = (row["distance"] for row in other if row["text"] == A)
    assert same == pytest.approx(shift.norm().item(), abs=1e-4)


def test_sums_and_walks_have_the_label(labelled_run, succeeds):
    model, _, tokenizer = load_run(labelled_run)

    def decoded(label, z):
        rows = generate(
            model,
            {"labels": torch.tensor([label])},
            method="greedy",
            latents={"z": z[None], "y_unobserved": torch.tensor([label])},
        )
        return tokenizer.decode(rows.tokens[0].tolist())

    for label, name in enumerate(("glad", "sad")):
        flags = ["--label", name]
        of_a, of_b = (means(labelled_run, text, label) for text in (A, B))
        (line,) = succeeds("arithmetic", labelled_run, A, B, A, *flags).splitlines()
        assert line == decoded(label, 2 * of_a - of_b)
        walk = ["traverse", labelled_run, A, "--dimension", "0", "--steps", "2"]
        step = torch.tensor([3.0, *[0.0] * (len(of_a) - 1)])
        lines = succeeds(*walk, *flags).splitlines()[1:]
        assert [line[8:] for line in lines] == [
            decoded(label, of_a - step),
            decoded(label, of_a + step),
        ]


def test_holes_are_filled_under_a_label(labelled_run, cli):
    """The evidence is of text and label, where one is given, and the sum over labels where not."""
    evidence = []
    for flags in (["--label", "glad"], ["--label", "sad"], []):
        arguments = ["complete", labelled_run, A.replace("mat", "___"), *flags, "--rounds", "1"]
        status, out, _ = cli(*arguments, "--num-particles", "4000", "--format", "jsonl")
        assert status == 0
        evidence.append(json.loads(out.splitlines()[0])["log_evidence"])
    glad, sad, both = torch.tensor(evidence).exp().tolist()
    assert both == pytest.approx(glad + sad, rel=0.05)
    assert glad != sad


@pytest.mark.parametrize("command", ["neighbours", "embed", "complete", "traverse", "arithmetic"])
def test_labels_that_cannot_be(labelled_run, run, check_refused, tmp_path, command):
    texts = {"arithmetic": [A, A, B], "complete": ["the ___ cat"]}.get(command, [A])
    flags = ["--dimension", "0"] if command == "traverse" else []
    arguments = [command, labelled_run, *texts, *flags]
    check_refused(
        "label must be one of glad, sad, got 'gladd'; did you", *arguments, "--label=gladd"
    )
    (tmp_path / "labels.txt").write_text("sad\nsad\n")
    check_refused("has 2 labels for 1 texts", *arguments, "--labels-from", tmp_path / "labels.txt")
    words = [text.replace("glad ", "").replace("sad ", "") for text in texts]
    check_refused("takes no labels, so label would", command, run, *words, *flags, "--label=sad")


class Needs(torch.nn.Module):
    def forward(self, tokens, labels):
        """A program whose labels are always given."""


def test_a_label_that_the_programs_need():
    options = SimpleNamespace(run="run", source=None, label=None, labels_from=None)
    with pytest.raises(UserError, match="the programs of run need the label of a text .* --label"):
        fields_beside(Needs(), Needs(), None, options, size=1)
