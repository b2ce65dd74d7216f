# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Labels on the command line: trained on in part, told, generated on, changed, made more of."""

import json
from dataclasses import replace

import pytest

import pyro_textvae as tv
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.grid.run import _corpus_of as corpus_of
from pyro_textvae.runs.load import labelled_seed_of
from tests.cli.conftest import LABELLED, TINY, write_rows

FEW = ["--num-samples", 4, "--proposal", "guide"]


def test_labels_in_part_and_the_loss_of_those(labelled_run):
    """The guide is trained on those that are given, unless the settings say otherwise."""
    config = json.loads((labelled_run / "config.json").read_text())
    assert config["corpus"]["train"]["labelled"] == 32
    assert config["sizes"]["num_labels"] == 2
    epochs = [json.loads(x) for x in (labelled_run / "metrics.jsonl").read_text().splitlines()]
    assert epochs[-1]["train_auxiliary_label_classification"] > 0


def test_classify_a_file(labelled_run, cli, tmp_path):
    text = tmp_path / "new.txt"
    text.write_text("the glad cat sat in the sea\nthe sad dog ran in the mat\n")
    status, out, err = cli("classify", labelled_run, text, *FEW)
    assert (status, err) == (0, "")
    heading, *lines = (line.split("\t") for line in out.splitlines())
    table = [dict(zip(heading, line, strict=True)) for line in lines]
    assert [row["text"] for row in table] == text.read_text().splitlines()
    for row in table:
        for kind in "pq":
            glad, sad = (float(row[f"{kind}({name})"]) for name in ("glad", "sad"))
            assert glad + sad == pytest.approx(1, abs=2e-6)
            chosen = row["label" if kind == "p" else "label_by_guide"]
            assert chosen == ("glad" if glad > sad else "sad")
        assert row["given"] == ""


def test_classify_the_test_split_against_its_labels(labelled_run, cli, tmp_path):
    out = tmp_path / "labels.jsonl"
    flags = [*FEW, "--format", "jsonl", "--out", out]
    status, printed, err = cli("classify", labelled_run, *flags)
    assert (status, printed) == (0, "")
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["given"] for row in found] == [row["text"].split()[1] for row in found]
    right = sum(row["given"] == row["label"] for row in found) / len(found)
    assert f"by bayes, 16 labels: accuracy {right:.4f} [" in err
    assert "by guide, 16 labels: accuracy" in err


@pytest.mark.parametrize(
    ("objective", "weight", "why"),
    [
        ("iwae", 0, "iwae has it in no bound"),
        ("beta_elbo", 0, "every sentence had its label, and beta_elbo has it in no bound"),
        ("iwae", 1, None),
    ],
)
def test_a_classifier_that_nothing_taught_is_told_of(rows, cli, new, objective, weight, why):
    flags = ["--objective", objective, "--auxiliaries", f'{{"label_classification": {weight}}}']
    flags += ["--unlabelled", "drop", *TINY]
    assert cli("train", "--data", rows, *LABELLED, *flags, "--out", new)[0] == 0
    status, _, err = cli("classify", new, *FEW)
    assert status == 0
    told = [line for line in err.splitlines() if line.startswith("warning: the guide's q(label")]
    assert len(told) == (why is not None)
    assert why is None or why in told[0]


def test_evaluation_has_the_numbers_of_its_labels(labelled_run, cli, tmp_path):
    out = tmp_path / "evaluation.json"
    flags = ["--num-samples", 4, "--proposal", "guide", "--report", "false", "--out", out]
    status, printed, _ = cli("evaluate", labelled_run, *flags)
    assert status == 0
    found = json.loads(out.read_text())["classification"]
    assert found["labels"] == ["glad", "sad"]
    for reader in ("bayes", "guide"):
        numbers = found[reader]
        for name in ("accuracy", "macro_f1", "label_nll", "calibration_error"):
            assert numbers[f"{name}_low"] <= numbers[f"{name}_high"]
        both = json.loads(out.read_text())
        key = "label_nll" if reader == "bayes" else "label_nll_by_guide"
        assert numbers["label_nll"] == pytest.approx(both[key])
        hits = sum(numbers["confusion"][i][i] for i in range(2))
        assert numbers["accuracy"] == hits / 16
    line = next(line for line in printed.splitlines() if "accuracy of labels, by the model" in line)
    assert f"{found['bayes']['accuracy']:.3f} [" in line


def test_sample_by_label(labelled_run, succeeds, tmp_path):
    one = succeeds("sample", labelled_run, "--label", "sad", "--size", 3)
    assert len(one.splitlines()) == 3
    assert one != succeeds("sample", labelled_run, "--label", "glad", "--size", 3)
    file = tmp_path / "labels.txt"
    file.write_text("sad\nglad\n")
    both = succeeds("sample", labelled_run, "--labels-from", file, "--size", 2).splitlines()
    assert [both[0], both[3]] == ["label   sad", "label   glad"]
    assert len(both) == 6
    assert len(succeeds("sample", labelled_run, "--size", 3).splitlines()) == 3


def test_reconstruct_with_another_label(labelled_run, succeeds):
    own = succeeds("reconstruct", labelled_run, "--size", 4)
    for name in ("glad", "sad"):
        changed = succeeds("reconstruct", labelled_run, "--size", 4, "--label", name)
        blocks = [block.splitlines() for block in changed.strip().split("\n\n")]
        for block, plain in zip(blocks, own.strip().split("\n\n"), strict=True):
            given = block[0].split()[2]
            assert block[1] == f"label {given} -> {name}"
            if given == name:
                assert [block[0], block[2]] == plain.splitlines()
    text = ["--text", "the sad cat sat"]
    assert "label not given -> glad" in succeeds(
        "reconstruct", labelled_run, *text, "--label", "glad"
    )


@pytest.mark.parametrize("latents", ["posterior", "prior"])
def test_augment(labelled_run, rows, cli, tmp_path, latents):
    out = tmp_path / "more.tsv"
    flags = ["--ratio", 0.25, "--min-probability", 0.4, "--num-samples", 4]
    status, printed, err = cli(
        "augment", labelled_run, *flags, "--latents-from", latents, "--out", out
    )
    assert (status, printed) == (0, "")
    heading, *lines = (line.split("\t") for line in out.read_text().splitlines())
    table = [dict(zip(heading, line, strict=True)) for line in lines]
    assert f"{len(table)} new sentences of " in err
    assert table
    texts = [row["text"] for row in table]
    of_train = {line.split("\t")[0] for line in (rows / "train.tsv").read_text().splitlines()}
    assert len(set(texts)) == len(texts)
    assert not set(texts) & of_train
    for name in ("glad", "sad"):
        assert sum(row["label"] == name for row in table) <= 4
    for row in table:
        assert float(row["probability"]) >= 0.4
        assert (row["made_of"] == "") == (latents == "prior")
        assert row["made_by"] == str(labelled_run)


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("sample", ["--label", "sat"], "label must be one of glad, sad, got 'sat'; did you mean"),
        ("sample", ["--label", "sad", "--labels-from", "x"], "label and labels_from both say"),
        ("sample", ["--labels-from", "missing.txt"], "cannot read missing.txt: No such file"),
        ("sample", ["--label", "sad", "--split", "test"], "label and split exclude each other"),
        ("reconstruct", ["--label", "sat"], "label must be one of glad, sad, got 'sat'"),
        ("augment", ["--ratio", "0"], "ratio must be positive"),
        ("augment", ["rows.tsv"], "augment needs to know the labels of rows.tsv"),
        ("classify", ["missing.tsv"], "no such corpus: 'missing.tsv'"),
        ("classify", ["--format", "csv"], "format must be one of tsv, jsonl, got 'csv'"),
    ],
)
def test_what_a_labelled_run_refuses(check_refused, labelled_run, command, flags, message):
    check_refused(message, command, labelled_run, *flags)


@pytest.mark.parametrize("command", ["classify", "augment"])
def test_rows_do_not_replace_a_file_of_the_run(check_refused, labelled_run, command):
    own = labelled_run / "model.safetensors"
    check_refused("is a file of the run itself", command, labelled_run, "--out", own)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["sample", "--label", "sad"], "takes no labels, so label would do nothing"),
        (["reconstruct", "--label", "sad"], "takes no labels, so label would do nothing"),
        (["classify"], "was trained on text without labels, so it can tell none"),
        (["augment"], "generates on no label: train one that does"),
    ],
)
def test_what_a_run_without_labels_refuses(check_refused, run, command, message):
    check_refused(message, command[0], run, *command[1:])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--model", "language_model", "--guide", "empty", "--labelled-share", "0.5"],
            "labelled_share=0.5 would do nothing, for lang",
        ),
        (
            ["--model", "sentence_vae", "--guide", "gaussian", "--labelled-share", "0.5"],
            "labelled_share=0.5 would do nothing, for sent",
        ),
        (["--labelled-share", "0"], r"labelled_share must lie in \(0, 1\], got 0"),
        (["--labelled-share", "0.01"], "labelled_share=0.01 .* keeps 0 labels"),
        (["--labelled-seed", "1"], "labelled_seed=1 says which labels stay"),
        (["--objective", "pyro.infer:Trace_ELBO"], "takes no auxiliary loss, so label_classif"),
    ],
)
def test_training_on_labels_that_cannot_be(check_refused, rows, new, flags, message):
    arguments = ["train", "--data", rows, *LABELLED, *TINY, "--out", new]
    check_refused(message, *arguments, *flags)


def test_labels_that_text_does_not_have(check_refused, corpus, new, tmp_path):
    arguments = ["train", *LABELLED[:4], *TINY, "--out", new]
    check_refused(
        "labelled_vae is of sentences with labels, and .* has none", *arguments, "--data", corpus
    )
    alike = write_rows(
        tmp_path / "alike",
        train=[("a cat sat", "sad"), ("a dog ran", "sad")],
        valid=[("a cat", "sad")],
        test=[("a dog", "sad")],
    )
    check_refused(
        "all labels of alike are 'sad', and labelled_vae needs two",
        *arguments,
        "--label-column",
        "mood",
        "--data",
        alike,
    )
    other = write_rows(tmp_path / "other", test=[("a dog", "angry")])
    check_refused(
        "'angry', which no sentence of the train split has",
        *arguments,
        "--label-column",
        "mood",
        "--data",
        other,
    )


def test_labels_that_no_program_reads_are_told_of(succeeds, rows, new):
    flags = ["--model", "language_model", "--label-column", "mood", *TINY, "--out", new]
    told = "language_model takes no labels, so the column 'mood' changes nothing in training"
    assert told in succeeds("train", "--data", rows, *flags)


def test_more_labels_than_are_summed_over(check_refused, corpus, new):
    flags = ["--model", "labelled_mixture_vae", "--guide", "labelled", "--options.num_labels", 5000]
    message = "labelled_mixture_vae is summed over all labels, at most 4,096, and there are 5,000"
    check_refused(message, "train", "--data", corpus, *flags, *TINY, "--out", new)


def test_clusters_of_text_without_labels(succeeds, corpus, new):
    """The mixture of Gaussians is a model of text alone too."""
    flags = ["--model", "labelled_mixture_vae", "--guide", "labelled", "--options.num_labels", 3]
    succeeds("train", "--data", corpus, *flags, *TINY, "--out", new)
    evaluation = ["--num-samples", 2, "--proposal", "guide", "--report", "false"]
    assert "perplexity" in succeeds("evaluate", new, *evaluation)


def test_pair_of_labels_is_saved_from_python(labelled_run, rows, cli, tmp_path):
    """What the decoder is given is wider than z, by the labels."""
    model, guide, tokenizer = tv.load_run(labelled_run)
    corpus = tv.load_corpus(rows, label_column="mood")
    tv.save_run(tmp_path / "saved", model, guide, tokenizer, corpus=corpus)
    told = [cli("classify", run, *FEW)[:2] for run in (labelled_run, tmp_path / "saved")]
    assert told[0] == told[1]
    assert told[0][0] == 0


def test_seeds_of_a_grid_keep_labels_of_their_own(rows):
    config = TrainConfig(data=str(rows), label_column="mood", labelled_share=0.5)
    corpora = {}
    kept = [corpus_of(replace(config, seed=seed), corpora).train.labels for seed in (0, 1)]
    assert not (kept[0] == kept[1]).all()
    assert labelled_seed_of(replace(config, labelled_seed=7)) == 7
