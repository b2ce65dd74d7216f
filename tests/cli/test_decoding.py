# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Decoding methods, what sentences must keep, and lines of JSON, on the command line."""

import io
import json

import pytest
import torch

from pyro_textvae.runs.load import load_run

VERBS = ["sample", "reconstruct", "interpolate"]


def records(printed):
    return [json.loads(line) for line in printed.splitlines()]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "flags",
    [
        ["--method", "nucleus", "--top-p", "0.8", "--temperature", "0.9"],
        ["--method", "top_k", "--top-k", "3"],
        ["--method", "typical", "--typical-p", "0.5"],
        ["--method", "min_p", "--min-p", "0.2"],
        ["--method", "beam", "--num-beams", "3", "--length-penalty", "0"],
        ["--method", "greedy"],
    ],
)
def test_every_sentence_has_its_log_probability(succeeds, run, verb, flags):
    found = records(succeeds(verb, run, *flags, "--format", "jsonl"))
    assert len(found) == {"sample": 10, "reconstruct": 5, "interpolate": 7}[verb]
    for record in found:
        assert record["log_prob"] < 0
        assert isinstance(record["text"], str)
    assert ("input" in found[0], "share" in found[0]) == (verb == "reconstruct", verb[0] == "i")


def test_jsonl_says_what_text_says(succeeds, run):
    given = ["sample", run, "--method", "nucleus", "--top-p", "0.7", "--size", "4"]
    lines = succeeds(*given).splitlines()
    assert [record["text"] for record in records(succeeds(*given, "--format", "jsonl"))] == lines


def test_log_probability_is_the_models(succeeds, run):
    given = ["reconstruct", run, "--text", "the cat sat", "--format", "jsonl"]
    model, guide, tokenizer = load_run(run)
    tokens = torch.tensor([[*tokenizer.encode("the cat sat"), 2]])
    (record,) = records(succeeds(*given))
    row = torch.tensor([[*tokenizer.encode(record["text"]), 2]])[:, : model.decoder.max_length]
    with torch.no_grad():
        z = guide.loc(guide.encoder(tokens))
        assert record["log_prob"] == pytest.approx(model.decoder(z).log_prob(row).item(), abs=1e-4)


def test_several_sentences_for_each(succeeds, run):
    beams = ["--method", "beam", "--num-beams", "3", "--num-return-sequences", "2"]
    blocks = succeeds("reconstruct", run, "--size", "2", *beams, "--num-latents", "2").split("\n\n")
    assert [[line[:5].strip() for line in block.splitlines()] for block in blocks[:2]] == [
        ["from", "to", "to", "to", "to"]
    ] * 2
    assert len(succeeds("sample", run, "--size", "3", *beams).splitlines()) == 6
    walk = succeeds("interpolate", run, "--steps", "3", *beams, "--format", "jsonl")
    assert [record["share"] for record in records(walk)] == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("number", ["1", "3"])
def test_latents_of_the_aggregate_are_drawn_for_each(cli, run, number):
    given = ["--from", "aggregate", "--num-components", "2", "--num-latents", number]
    status, printed, _ = cli("sample", run, "--size", "4", *given)
    assert status == 0
    assert len(printed.splitlines()) == 4 * int(number)


def test_most_usual_of_many(succeeds, run):
    pytest.importorskip("sacrebleu", reason="the extra [eval] is not installed")
    flags = ["--method", "minimum_bayes_risk", "--num-samples", "6", "--utility", "bleu"]
    found = records(succeeds("reconstruct", run, "--size", "2", *flags, "--format", "jsonl"))
    assert len(found) == 2
    assert all(0 <= record["score"] <= 100 for record in found)


def test_constraints(succeeds, run):
    given = ["sample", run, "--size", "20", "--prefix", "the dog", "--bad-words", '["the", "in"]']
    lines = succeeds(*given, "--min-length", "5", "--no-repeat-ngram-size", "2").splitlines()
    for line in lines:
        words = line.split()
        assert words[:2] == ["the", "dog"]
        assert len(words) >= 4
        assert not {"the", "in"} & set(words[2:])
    forced = ["--forced-bos-token", "cat", "--forced-eos-token", "<eos>", "--max-length", "3"]
    lines = succeeds("sample", run, "--size", "20", *forced).splitlines()
    assert {line.split()[0] for line in lines} == {"cat"}
    assert max(len(line.split()) for line in lines) <= 2


def test_sentences_from_a_file_and_from_standard_input(succeeds, run, tmp_path, monkeypatch):
    texts = "the cat sat\n\nthe dog ran\n"
    (tmp_path / "texts.txt").write_text(texts)
    printed = succeeds("reconstruct", run, "--text-file", tmp_path / "texts.txt")
    assert [line[6:] for line in printed.splitlines()[::3]] == ["the cat sat", "the dog ran"]
    monkeypatch.setattr("sys.stdin", io.StringIO(texts))
    assert succeeds("reconstruct", run, "--text-file", "-") == printed


@pytest.mark.parametrize(
    ("message", "flags"),
    [
        ("greedy method has no option 'top_p'", ["--method", "greedy", "--top-p", "0.9"]),
        ("nucleus method has no option 'top_k'", ["--method", "nucleus", "--top-k", "3"]),
        (r"top_p must lie in \(0, 1\], got 0", ["--method", "nucleus", "--top-p", "0"]),
        (r"top_p must lie in \(0, 1\], got 1.1", ["--method", "nucleus", "--top-p", "1.1"]),
        ("num_beams must be at least 1, got 0", ["--method", "beam", "--num-beams", "0"]),
        ("--top-p must be float", ["--method", "nucleus", "--top-p", "much"]),
        (
            "top_p is given by a flag of its own and in options",
            ["--method", "nucleus", "--top-p", "0.9", "--options", '{"top_p": 0.8}'],
        ),
        ("prefix: 'dogg' is not in the vocabulary: nearest is 'dog'", ["--prefix", "the dogg"]),
        ("bad_words: 'catt' is not in", ["--bad-words", '["catt"]']),
        ("--bad-words must be list", ["--bad-words", "cat"]),
        ("prefix: ' ' has no word", ["--prefix", " "]),
        ("the prefix has 8 tokens and a sentence at most 7", ["--prefix", "the " * 8]),
        ("max_length=99 is beyond the model's 7 tokens", ["--max-length", "99"]),
        ("min_length=6 is above max_length=4", ["--min-length", "6", "--max-length", "4"]),
        ("forced_bos_token: 'the cat' is 2 tokens", ["--forced-bos-token", "the cat"]),
        ("--format must be one of text, jsonl, got 'xml'", ["--format", "xml"]),
        ("num_latents must be at least 1", ["--num-latents", "0"]),
    ],
)
def test_what_cannot_be_is_one_line(check_refused, run, message, flags):
    check_refused(message, "sample", run, *flags)


def test_what_cannot_be_of_other_verbs_is_one_line(check_refused, run, tmp_path, monkeypatch):
    walk = ["interpolate", run, "--num-latents", "2"]
    check_refused("a step of the walk is one latent", *walk)
    both = ["--text", "the cat", "--text-file", "x.txt"]
    check_refused("text and text_file both say", "reconstruct", run, *both)
    check_refused("cannot read x.txt", "reconstruct", run, "--text-file", "x.txt")
    (tmp_path / "empty.txt").write_text("\n")
    empty = ["reconstruct", run, "--text-file", tmp_path / "empty.txt"]
    check_refused("has no line with a sentence", *empty)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    check_refused("standard input has no line", "reconstruct", run, "--text-file", "-")


def test_sub_words_know_every_prefix(succeeds, corpus, new):
    tiny = ["--embedding-dim", "4", "--hidden-dim", "5", "--latent-dim", "2", "--epochs", "1"]
    succeeds("train", "--data", corpus, *tiny, "--tokenizer", "bpe", "--out", new)
    (line,) = succeeds("sample", new, "--size", "1", "--prefix", "zebra").splitlines()
    assert line.startswith("zebra")
