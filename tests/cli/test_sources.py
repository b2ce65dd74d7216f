# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A model with a source from end to end, on a world whose truth is known; sources of one's own."""

import json

import pytest

from pyro_textvae.cli.main import main
from tests.cli.conftest import TINY

SENTENCE = "the nurse cleaned the car in the garden during the morning"
WORLD = ["--data", "world:paraphrase", "--num-sentences", "60"]


@pytest.fixture(scope="module")
def conditional_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYRO_TEXTVAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        options = ["--data-options", '{"most_values": 2}', "--options", '{"copying": true}']
        model = ["--model", "conditional_vae"]
        assert main(["train", *WORLD, *options, *model, *TINY, "--out", str(folder)]) == 0
    return folder


def test_evaluation_tells_the_excess_over_the_truth(conditional_run, cli, tmp_path):
    out = tmp_path / "evaluation.json"
    arguments = ["--num-samples", "30", "--proposal", "refined", "--report", "false"]
    status, printed, _ = cli("evaluate", conditional_run, *arguments, "--out", out)
    assert status == 0
    found = json.loads(out.read_text())
    truth = found["truth"]
    assert truth["excess"] == pytest.approx(found["nll"] - truth["nll"], abs=1e-9)
    assert 0 < truth["excess_standard_error"] < truth["excess"]
    assert not truth["is_below"]
    assert f"+{truth['excess']:.3f} +- " in printed
    lines = out.with_suffix(".sentences.jsonl").read_text().splitlines()
    assert "log_px_true" in json.loads(lines[1])


def test_several_texts_for_a_source_of_ones_own(conditional_run, cli, tmp_path):
    status, printed, _ = cli("sample", conditional_run, "--source", SENTENCE, "--size", "3")
    assert status == 0
    source, *texts = printed.splitlines()
    assert source == f"source  {SENTENCE}"
    assert [text[:8] for text in texts] == ["text    "] * 3
    file = tmp_path / "sources.txt"
    file.write_text(f"{SENTENCE}\n\nthe zebra\n")
    status, printed, err = cli("sample", conditional_run, "--source-file", file, "--size", "2")
    assert status == 0
    kinds = [line.split()[0] for line in printed.splitlines()]
    assert kinds == ["source", "text", "text"] * 2
    assert err == "1 of 2 tokens of the source 'the zebra' are unknown to the model\n"


def test_sentences_of_ones_own_with_their_source(conditional_run, cli):
    status, printed, _ = cli(
        "reconstruct", conditional_run, "--text", "the nurse", "--source", SENTENCE
    )
    assert status == 0
    assert printed.startswith(f"with  {SENTENCE}\nfrom  the nurse\nto    ")
    ends = ["--start", "the nurse", "--end", "the car", "--steps", "3"]
    status, printed, _ = cli("interpolate", conditional_run, *ends, "--source", SENTENCE)
    assert status == 0
    assert len(printed.splitlines()) == 6
    assert printed.startswith(f"with  {SENTENCE}\nfrom  the nurse\n")


def test_a_walk_whose_source_is_walked_too(conditional_run, cli, check_refused, tmp_path):
    """A source for each step; with one and the same in all, the walk with that source."""
    ends = ["--start", "the nurse", "--end", "the car", "--steps", "3"]
    file = tmp_path / "sources.txt"
    file.write_text(f"{SENTENCE}\n" * 3)
    status, printed, _ = cli("interpolate", conditional_run, *ends, "--source-file", file)
    assert status == 0
    status, fixed, _ = cli("interpolate", conditional_run, *ends, "--source", SENTENCE)
    texts = [
        [line for line in each.splitlines() if line[:4] != "with"] for each in (printed, fixed)
    ]
    assert texts[0] == texts[1]
    sources = [SENTENCE, "the car", SENTENCE]
    file.write_text("\n".join(sources))
    lines = {}
    for name, value in (("source", SENTENCE), ("source-file", file)):
        asked = [*ends, f"--{name}", value, "--format", "jsonl"]
        status, printed, _ = cli("interpolate", conditional_run, *asked)
        assert status == 0
        lines[name] = [json.loads(line) for line in printed.splitlines()]
    assert [line["source"] for line in lines["source-file"]] == sources
    both = zip(*lines.values(), strict=True)
    same = [a["log_prob"] == pytest.approx(b["log_prob"], abs=1e-5) for a, b in both]
    assert same == [True, False, True]
    file.write_text("the car\n")
    message = "has 1 sources and the walk 3 steps: give a source for each"
    check_refused(message, "interpolate", conditional_run, *ends, "--source-file", file)


def test_what_cannot_be_is_one_line(conditional_run, run, check_refused, tmp_path):
    sample = ["sample", conditional_run]
    check_refused("source and split both say", *sample, "--source", "a", "--split", "test")
    check_refused("source and source_file both", *sample, "--source", "a", "--source-file", "b")
    check_refused("cannot read nowhere.txt", *sample, "--source-file", "nowhere.txt")
    (tmp_path / "empty.txt").write_text("\n\n")
    check_refused("has no line with a source", *sample, "--source-file", tmp_path / "empty.txt")
    check_refused("the sentence '' is empty", *sample, "--source", "")
    check_refused("takes no source, so source would do nothing", "sample", run, "--source", "a")
    alone = ["reconstruct", conditional_run, "--source", "the nurse"]
    check_refused("source is that of a sentence of your own: give --text too", *alone)
    check_refused("give --source, or leave --text", "reconstruct", conditional_run, "--text", "a")
    ends = ["interpolate", conditional_run, "--start", "a"]
    check_refused("give --source, or leave them out", *ends)


def test_pair_of_one_meaning_is_scored_each_way_and_sampled_for_a_source(cli, tmp_path):
    out = tmp_path / "run"
    options = ["--data-options", '{"most_values": 2}', "--options", '{"form_dim": 1}']
    pair = ["--model", "paraphrase_vae", "--guide", "paraphrase"]
    assert cli("train", *WORLD, *options, *pair, *TINY, "--out", out)[0] == 0
    status, printed, _ = cli("evaluate", out, "--num-samples", "20", "--proposal", "guide")
    assert status == 0
    found = json.loads((out / "evaluation.json").read_text())
    pairs = found["pairs"]
    assert (found["nll"], found["beside_text"]) == (None, ["source"])
    assert pairs["nll_given_source"] == pytest.approx(found["nll_joint"] - pairs["nll_source"])
    assert pairs["nll_source_given_text"] == pytest.approx(found["nll_joint"] - pairs["nll_text"])
    assert pairs["nll_source"] != pairs["nll_text"]
    truth = found["truth"]
    assert truth["excess"] == pytest.approx(pairs["nll_given_source"] - truth["nll"], abs=1e-9)
    lines = [line for line in printed.splitlines() if "nll of the" in line]
    assert len(lines) == 4
    assert "a difference of two, no bound" in printed
    status, printed, _ = cli("sample", out, "--source", SENTENCE, "--size", "3")
    assert status == 0
    assert printed.splitlines()[0] == f"source  {SENTENCE}"
    assert cli("reconstruct", out, "--size", "2")[0] == 0
    page = (out / "report" / "report.html").read_text()
    assert "draws its source too" not in page
    assert "Latents from the prior given the source" in page


def test_reply_with_an_act_is_trained_scored_and_sampled_for_a_source(cli, tmp_path):
    out = tmp_path / "run"
    world = ["--data", "world:dialogue", "--num-sentences", "60"]
    options = ["--data-options", '{"labels": true}', "--options", '{"label_dim": 2}']
    pair = ["--model", "dialogue_vae", "--guide", "dialogue"]
    assert cli("train", *world, *options, *pair, *TINY, "--out", out)[0] == 0
    evaluation = ["--num-samples", "20", "--proposal", "guide", "--report", "false"]
    assert cli("evaluate", out, *evaluation)[0] == 0
    found = json.loads((out / "evaluation.json").read_text())
    assert 0 < found["nll"] < found["nll_joint"]
    status, printed, _ = cli("sample", out, "--source", "do you know the opera", "--size", "2")
    assert status == 0
    assert [line.split()[0] for line in printed.splitlines()] == ["source", "text", "text"]


def test_noisy_channel_is_trained_scored_and_corrects_a_source(cli, check_refused, tmp_path):
    out = tmp_path / "run"
    world = ["--data", "world:typos", "--num-sentences", "60"]
    pair = ["--model", "noisy_channel", "--guide", "noisy_channel"]
    assert cli("train", *world, *pair, *TINY, "--out", out)[0] == 0
    evaluation = ["--num-samples", "10", "--report", "false"]
    assert cli("evaluate", out, *evaluation)[0] == 0
    found = json.loads((out / "evaluation.json").read_text())
    pairs = found["pairs"]
    assert pairs["nll_given_source"] == pytest.approx(found["nll_joint"] - pairs["nll_source"])
    assert pairs["nll_source_given_text"] < pairs["nll_text"]
    # Another source has other texts, though nothing is trained: most of its words are there.
    read = "this man sold the shoes with anna hid"
    status, printed, _ = cli("sample", out, "--source", read, "--size", "3")
    assert status == 0
    source, *texts = printed.splitlines()
    assert (source, len(texts)) == (f"source  {read}", 3)
    assert all(len({*text.split()} & {*read.split()}) > 4 for text in texts)
    asked = ["sample", out, "--source", read, "--method", "greedy"]
    check_refused("is drawn whole, given its source, not AutoregressiveCategorical", *asked)


def write_pairs(folder):
    folder.mkdir()
    row = "the answer is no\tis it\n"
    rows = {"train": row * 3 + "\tis it\n" + "yes\tis it so or is it not so\n"}
    for split in ("train", "valid", "test"):
        (folder / f"{split}.tsv").write_text("text\tsource\n" + rows.get(split, row * 2))
    return folder


def test_what_a_pair_file_lacks_is_named_dropped_and_counted(tmp_path, cli, check_refused):
    data = write_pairs(tmp_path / "pairs")
    out = ["--out", tmp_path / "run"]
    train = ["train", "--data", data, "--model", "conditional_vae", *TINY]
    check_refused("set empty_pairs to drop, or to keep", *train, "--source-column", "source", *out)
    check_refused("empty_pairs='drop' would do nothing", *train, "--empty-pairs", "drop", *out)
    world = ["train", *WORLD, *TINY, *out]
    check_refused("max_source_length=5 would change", *world, "--max-source-length", "5")
    check_refused("empty_pairs='drop' applies to a folder", *world, "--empty-pairs", "drop")
    options = ["--source-column", "source", "--empty-pairs", "drop", "--max-source-length", "5"]
    copying = ["--tokenizer", "character", "--options", '{"copying": true}']
    status, printed, _ = cli(*train, *options, *out)
    assert status == 0
    assert "\n1 sentences with a source of more than 5 tokens left out\n" in printed
    assert "\n1 rows without text or source left out\n" in printed
    assert "copying takes tokens" not in printed
    assert "takes no source" not in printed
    evaluation = ["evaluate", out[1], "--num-samples", "5", "--proposal", "guide"]
    other = ["--data", data / "train.tsv", "--source-column", "source", "--report", "false"]
    assert cli(*evaluation, *other, "--empty-pairs", "drop")[0] == 0
    found = json.loads((out[1] / "evaluation.json").read_text())
    assert (found["pairs"], found["num_sentences"]) == ({"empty_dropped": 1}, 4)
    check_refused("has an empty text", *evaluation, *other, "--empty-pairs", "refuse")
    out = ["--out", tmp_path / "characters"]
    status, printed, _ = cli(*train, *options[:-2], "--max-source-length", "50", *copying, *out)
    assert status == 0
    assert "copying takes tokens of the character tokenizer, which are parts of words" in printed


def test_model_with_a_source_on_text_without_one(train, check_refused):
    options = ["--model", "conditional_vae"]
    check_refused("ConditionalVAE needs the field 'source'", *train, *options)


def test_source_that_no_program_reads_is_told_of(cli, copying_run, tmp_path):
    model = ["--model", "language_model", *TINY, "--out", tmp_path / "alone"]
    data = ["--data", copying_run.parent, "--source-column", "source"]
    status, printed, _ = cli("train", *data, *model)
    assert status == 0
    assert "warning: language_model takes no source, so of the column 'source' the words" in printed


def test_decoder_that_takes_no_source_is_told(train, check_refused):
    copying = ["--options", '{"copying": true}']
    check_refused("copying needs a source to copy from", *train, *copying)
    width = ["--options", '{"memory_dim": 4}']
    check_refused("LSTMDecoder attends to a source", *train, *width)


@pytest.fixture(scope="module")
def copying_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copies")
    names = "anna bert carl dora emil fred gina hans".split()
    rows = [f"{name} wins\tnews : {name} won the game\n" for name in names]
    for split in ("train", "valid", "test"):
        (folder / f"{split}.tsv").write_text("text\tsource\n" + "".join(rows))
    options = ["--source-column", "source", "--min-count", "3", "--copy-unknown-words"]
    model = ["--model", "conditional_vae", "--options", '{"copying": true}']
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYRO_TEXTVAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        given = ["--data", str(folder), *options, *model, *TINY]
        assert main(["train", *given, "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_words_outside_the_vocabulary_are_copied_as_they_are(copying_run, cli, tmp_path):
    """Of a source of one's own whose words nobody has heard."""
    source = "news : zorblax won the quibble"
    status, printed, err = cli("sample", copying_run, "--source", source, "--size", "20")
    assert status == 0
    assert "2 of 6 tokens of the source" in err
    assert "are unknown to the model, and can be copied" in err
    first, *texts = printed.splitlines()
    assert first == f"source  {source}"
    words = {word for text in texts for word in text.removeprefix("text    ").split()}
    assert {"zorblax", "quibble"} < words
    assert words <= {*source.split(), "wins", "game", "<unk>"}
    status, printed, _ = cli(
        "reconstruct", copying_run, "--text", "zorblax wins anna", "--source", source
    )
    assert status == 0
    assert printed.splitlines()[1] == "from  zorblax wins <unk>"
    # Those of the corpus, whose tokenizer is loaded another time.
    status, printed, _ = cli("reconstruct", copying_run, "--size", "8")
    assert status == 0
    given = {line for line in printed.splitlines() if line.startswith("from")}
    assert "from  gina wins" in given
    assert len(given) == 8


def test_other_text_is_scored_with_the_words_of_its_own_sources(copying_run, cli, tmp_path):
    """A word that its source has is likelier than the same word where the source has another."""
    lines = {}
    for name, text in (("copied", "igor"), ("other", "ilse")):
        file = tmp_path / f"{name}.tsv"
        row = f"{text} wins\tnews : igor won the game\n"
        file.write_text("text\tsource\n" + 2 * row)
        out = tmp_path / f"{name}.json"
        arguments = ["--data", file, "--source-column", "source", "--report", "false"]
        status, _, err = cli(
            "evaluate", copying_run, *arguments, "--num-samples", "10", "--out", out
        )
        assert status == 0, err
        lines[name] = json.loads(out.read_text())
    assert lines["copied"]["unknown_token_share"] == 0
    assert lines["other"]["unknown_token_share"] == 0.5


def test_copying_of_unknown_words_needs_a_decoder_that_copies(train, check_refused):
    given = ["--copy-unknown-words", "--min-count", "2"]
    world = ["--data", "world:headlines", "--num-sentences", "60", "--model", "conditional_vae"]
    message = "copy_unknown_words is for a decoder that copies"
    check_refused(message, *train, *world, *given)
    bpe = ["--tokenizer", "bpe", "--copy-unknown-words"]
    check_refused("copies whole words", *train, *world, *bpe)
