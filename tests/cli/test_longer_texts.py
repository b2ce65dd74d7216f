# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Topic models and documents by the command line: trained, scored, written out, reported."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from pyro_textvae.cli.main import main
from pyro_textvae.report.decoded_run import decode_run
from pyro_textvae.report.run_record import read_runs
from pyro_textvae.report.sections.plan import plan
from pyro_textvae.report.sections.topics import topics as topics_of

SMALL = "--epochs 1 --latent-dim 3 --embedding-dim 4 --hidden-dim 5 --batch-size 8".split()
QUICK = "--num-samples 20 --proposal guide --report false".split()
WORDS = ("oven flour butter onion", "goal referee striker match", "judge court lawyer trial")


def in_splits(folder, suffix, lines, header=()):
    folder.mkdir()
    for name in ("train", "valid", "test"):
        (folder / f"{name}{suffix}").write_text("\n".join([*header, *lines]) + "\n")
    return folder


@pytest.fixture
def texts(tmp_path):
    """Each text is of the four words of one label, in turn."""
    rows = [f"{WORDS[n % 3]} {WORDS[n % 3].split()[n % 4]}\t{'abc'[n % 3]}" for n in range(24)]
    return in_splits(tmp_path / "texts", ".tsv", rows, ["text\tlabel"])


@pytest.fixture
def documents(tmp_path):
    rows = [json.dumps({"text": [*WORDS[: 1 + n % 3]]}) for n in range(24)]
    return in_splits(tmp_path / "documents", ".jsonl", rows)


def test_topics_are_scored_and_reported(tmp_path, texts, capsys):
    run = tmp_path / "run"
    arguments = ["--data", str(texts), "--label-column", "label", "--encoder", "bag_of_words"]
    programs = ["--model", "topic_model", "--guide", "topic", "--out", str(run)]
    assert main(["train", *arguments, *programs, *SMALL]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run), *QUICK]) == 0
    shown = capsys.readouterr().out
    for line in ("topics: coherence", "perplexity, mean of each text's", "with the labels"):
        assert line in shown
    topics = json.loads((run / "evaluation.json").read_text())["topics"]
    assert topics["coherence_reference"] == "train split, windows of 10 words"
    assert len(topics["topics"]) == 3
    assert all(len(topic["words"]) == 10 for topic in topics["topics"])
    section = topics_of(read_runs([run]))
    assert section.blocks[0].text.startswith("Topics by their ten likeliest words")
    rows = section.blocks[1].rows
    assert [row[0] for row in rows] == [" ".join(topic["words"]) for topic in topics["topics"]]


def test_stop_words_that_leave_nothing_are_one_line(tmp_path, texts, capsys):
    arguments = ["--data", str(texts), "--model", "topic_model", "--out", str(tmp_path / "run")]
    assert main(["train", *arguments, *SMALL, "--options", '{"stop_words": 12}']) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "stop_words leave 0 of 13 words to the topics" in error


def test_stop_words_of_a_list_that_leave_nothing_of_documents(tmp_path, documents, capsys):
    words = json.dumps({"stop_words": " ".join(WORDS).split()})
    arguments = ["--data", str(documents), "--model", "topic_model", "--options", words]
    assert main(["train", *arguments, "--out", str(tmp_path / "run"), *SMALL]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "stop_words leave 0 of 13 words to the topics" in error


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "train.jsonl line 2 holds a document without a sentence; leave it out"),
        (["oven flour", " "], "train.jsonl line 2: sentence 2 is empty; leave it out"),
        (["oven flour"] * 2000, "train.jsonl line 2 has 2,000 sentences, over 1,000; leave it out"),
    ],
    ids=["none", "one that is empty", "2,000"],
)
def test_documents_that_cannot_be_are_named_by_their_line(tmp_path, capsys, document, message):
    rows = [json.dumps({"text": [*text]}) for text in (WORDS[:2], document)]
    data = in_splits(tmp_path / "bad", ".jsonl", rows)
    programs = ["--model", "document_vae", "--guide", "document", "--out", str(tmp_path / "run")]
    assert main(["train", "--data", str(data), *programs, *SMALL]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "run").exists()


def test_conversations_of_one_speaker_who_says_one_thing(tmp_path, capsys):
    """Who speaks is the first word of an utterance; nobody answers, so one is all there ever is."""
    rows = [json.dumps({"turns": [f"anna : {WORDS[n % 3]}"]}) for n in range(24)]
    data, run = in_splits(tmp_path / "one", ".jsonl", rows), tmp_path / "run"
    programs = ["--model", "conversation_vae", "--guide", "document", "--out", str(run)]
    assert main(["train", "--data", str(data), *programs, *SMALL]) == 0
    assert main(["evaluate", str(run), *QUICK]) == 0
    capsys.readouterr()
    assert main(["sample", str(run), "--size", "5"]) == 0
    assert capsys.readouterr().out.count(", 1 sentence\n") == 5
    assert main(["complete", str(run), "anna : oven", "--prompt"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "leave one to be written" in error


def test_documents_are_written_as_lines(tmp_path, documents, capsys, monkeypatch):
    run = tmp_path / "run"
    programs = ["--model", "document_vae", "--guide", "document", "--out", str(run)]
    assert main(["train", "--data", str(documents), *programs, *SMALL]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run), *QUICK]) == 0
    said = r"\n    each is a document +48 sentences in all; a number per sentence is per document\n"
    assert re.search(said, capsys.readouterr().out)
    result = json.loads((run / "evaluation.json").read_text())
    assert (result["num_sentences"], result["num_document_sentences"]) == (24, 48)
    # The number of sentences is no observation beside the text.
    assert result["nll"] is not None
    assert "nll_joint" not in result
    by_steps = ["--num-samples", "40", "--proposal", "sequential", "--report", "false"]
    assert main(["evaluate", str(run), *by_steps]) == 0
    again = json.loads((run / "evaluation.json").read_text())
    assert again["proposal"] == "sequential"
    # By 20 and by 40 draws alone; one sentence more or less would be 5 nats.
    assert again["nll"] == pytest.approx(result["nll"], abs=1.5)
    shutil.copytree(run, tmp_path / "copy")
    capsys.readouterr()
    assert main(["compare", str(run), str(tmp_path / "copy"), "--num-resamples", "1000"]) == 0
    said = "24 documents of 48 sentences, 240 tokens, nats per document"
    assert said in capsys.readouterr().out
    assert main(["sample", str(run), "--size", "40", "--seed", "1"]) == 0
    lines = iter(capsys.readouterr().out.splitlines())
    numbers = set()
    for document in range(1, 41):
        name, number = next(lines).split(", ")
        assert name == f"document {document}"
        numbers.add(int(number.split()[0]))
        for _ in range(int(number.split()[0])):
            next(lines)
        assert next(lines) == ""
    assert numbers == {1, 2, 3}
    assert next(lines, None) is None
    assert main(["reconstruct", str(run), "--size", "3", "--num-latents", "2"]) == 0
    for document in capsys.readouterr().out.removesuffix("\n\n").split("\n\n"):
        names = [line.split()[0] for line in document.splitlines()]
        assert names == ["from", "to", "to"] * (len(names) // 3)
    # As JSON a document is a list, as a corpus of documents has it.
    capsys.readouterr()
    assert main(["sample", str(run), "--size", "4", "--format", "jsonl"]) == 0
    written = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(written) == 4
    assert all(isinstance(each["text"], list) for each in written)
    assert all(len(each["log_prob"]) == len(each["text"]) for each in written)
    given = f"{WORDS[0]} | {WORDS[1]}"
    json_lines = ["--format", "jsonl"]
    assert main(["reconstruct", str(run), "--text", given, *json_lines]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["input"] == [*WORDS[:2]]
    assert len(again["text"]) == 2
    ends = ["--start", WORDS[0], "--end", "\n".join(WORDS), "--steps", "5"]
    assert main(["interpolate", str(run), *ends, *json_lines]) == 0
    steps = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    # The number of sentences goes from that of one end to that of the other.
    assert [len(step["text"]) for step in steps] == [1, 1, 2, 3, 3]
    assert steps[0]["end"] == [*WORDS]
    assert main(["interpolate", str(run), "--end", WORDS[0], "--steps", "2"]) == 0
    assert capsys.readouterr().out.endswith(f"to, 1 sentence\n{WORDS[0]}\n")
    assert main(["complete", str(run), given, "--prompt", "--size", "3", *json_lines]) == 0
    going_on = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["text"][:2] for each in going_on] == [[*WORDS[:2]]] * 3
    assert all(len(each["text"]) == 3 for each in going_on)
    # One by one, so that documents of other lengths are read together with none.
    monkeypatch.setattr("pyro_textvae.report.decoded_run._BATCH_SIZE", 1)
    record = read_runs([run])[0]
    decoded = decode_run(record, seed=0, device="cpu", num_sentences=24, num_shown=3)
    lengths = [len(sentences.splitlines()) for sentences in decoded.sentences]
    assert [len(each) for each in decoded.plans] == lengths
    section = plan([record], {record.number: decoded})
    table = section.blocks[-1]
    longest = [sentences for sentences in decoded.sentences if len(sentences.splitlines()) == 3]
    assert [row[1] for row in table.rows] == "\n".join(longest[:4]).splitlines()
    assert table.rows[3][0] == "document 2, sentence 1"
    assert plan([record], {record.number: replace(decoded, plans=())}) is None
    for bad, message in (
        (["reconstruct", "--text", "a | b | c | d"], "has 4 sentences, and the model writes 3"),
        (["reconstruct", "--text", " | "], "is empty: give at least one sentence"),
        (["complete", given], "give --prompt and the first sentences"),
        (["complete", given, "--prompt", "--likeliest"], "likeliest is not for"),
        (["complete", " | ".join(WORDS), "--prompt"], "leave one to be written"),
        (["reconstruct", "--summary"], "DocumentVAE has no summary_latent"),
    ):
        assert main([bad[0], str(run), *bad[1:]]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert message in error


def test_a_summary_of_a_group_is_one_text(tmp_path, documents, capsys):
    run = tmp_path / "run"
    programs = ["--model", "review_group_vae", "--guide", "document", "--out", str(run)]
    options = ["--options", '{"ordered": false}']
    assert main(["train", "--data", str(documents), *programs, *options, *SMALL]) == 0
    capsys.readouterr()
    group = "\n".join(WORDS[:2])
    assert main(["reconstruct", str(run), "--summary", "--text", group]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"from     {WORDS[0]}", f"from     {WORDS[1]}"]
    assert lines[2].startswith("summary")
    assert len(lines) == 4
    assert main(["reconstruct", str(run), "--summary", "--size", "2", "--format", "jsonl"]) == 0
    for line in capsys.readouterr().out.splitlines():
        record = json.loads(line)
        assert isinstance(record["input"], list)
        assert isinstance(record["text"], str)
    pytest.importorskip("rouge_score")
    metrics = ["--metrics", '["summaries", "distinct"]', "--size", "4"]
    assert main(["assess", str(run), *metrics]) == 0
    numbers = json.loads((run / "generation.json").read_text())["numbers"]
    assert 0 <= numbers["summary_rouge_l"]["value"] <= 1
    assert "distinct_1" in numbers
    capsys.readouterr()
    assert main(["reconstruct", str(run), "--summary", "--num-latents", "2"]) == 2
    assert "is one latent" in capsys.readouterr().err
