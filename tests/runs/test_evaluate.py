# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import json
import math
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import pyro_textvae as tv
from pyro_textvae import zoo
from pyro_textvae.cli.main import main
from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.enumeration import summed_sites
from pyro_textvae.evaluation.importance.partial_results import PartialResults
from pyro_textvae.report import evaluation_table
from pyro_textvae.run_folder.quantities import QUANTITIES
from pyro_textvae.runs.evaluate import evaluate
from pyro_textvae.runs.train import train

SMALL = {
    "data": "grammar",
    "num_sentences": 400,
    "embedding_dim": 6,
    "hidden_dim": 7,
    "latent_dim": 3,
    "epochs": 1,
    "device": "cpu",
}
PROMISED = (
    "num_sentences num_tokens nll nll_standard_error elbo reconstruction kl ppl ppl_elbo "
    "bits_per_word mutual_information mutual_information_ceiling active_units num_samples "
    "heavy_tail_share corpus_fingerprint seed"
).split()


def run_of(folder, **changes):
    train(TrainConfig(**SMALL | changes), folder, report=lambda line: None)
    return folder


def test_evaluation_file_holds_what_outside_programs_read(tmp_path, capsys, monkeypatch):
    run = run_of(tmp_path / "run")
    bars = []

    def watched(*arguments, progress=False, **options):
        bars.append(progress)
        return log_likelihood(*arguments, progress=progress, **options)

    monkeypatch.setattr(sys.modules[evaluate.__module__], "log_likelihood", watched)
    arguments = [
        "evaluate",
        str(run),
        "--split",
        "test",
        "--num-samples",
        "100",
        "--proposal",
        "guide",
    ]
    assert main([*arguments, "--report", "false"]) == 0
    assert bars == [True]
    found = json.loads((run / "evaluation.json").read_text())
    assert set(PROMISED) <= set(found)
    corpus = tv.load_corpus("grammar", num_sentences=400)
    assert found["num_sentences"] == len(corpus.test) == 40
    assert found["num_tokens"] == corpus.test.num_tokens
    assert found["corpus_fingerprint"] == corpus.fingerprint
    assert found["nll"] <= found["elbo"]
    assert found["elbo"] == pytest.approx(found["reconstruction"] + found["kl"])
    rate = found["nll"] * found["num_sentences"] / found["num_tokens"]
    assert found["ppl"] == pytest.approx(math.exp(rate))
    assert found["bits_per_word"] == pytest.approx(rate / math.log(2))
    assert found["mutual_information"] <= found["mutual_information_ceiling"] + 1e-9
    assert found["mutual_information_ceiling"] == pytest.approx(math.log(40))
    assert f"{found['nll']:.3f}" in capsys.readouterr().out
    stored = [
        each.name
        for each in QUANTITIES
        if each.of is None
        and each.group != "training"
        and not each.name.startswith(
            (
                *("check.", "by_guide.", "truth.", "given_source.", "global_", "pairs."),
                *(
                    "classification.",
                    "label_nll",
                    "num_labelled",
                    "elbo_joint",
                    "mining.",
                    "topics.",
                ),
            )
        )
    ]
    assert set(stored) <= set(found)
    truth = found["truth"]
    assert truth["excess"] == pytest.approx(found["nll"] - truth["nll"])
    assert 0 < truth["excess_standard_error"] < truth["excess"]
    numbers = {key for key, value in found.items() if type(value) in (int, float)}
    assert numbers - {"seed"} <= set(stored)


@pytest.mark.parametrize("tokenizer", ["character", "bpe"])
def test_subword_models_are_counted_in_words_and_characters_of_the_raw_text(tmp_path, tokenizer):
    run = run_of(tmp_path / "run", tokenizer=tokenizer, vocab_size=None)
    found = evaluate(run, EvaluationConfig(num_samples=2, proposal="guide", device="cpu")).result
    words = tv.load_corpus("grammar", num_sentences=400)
    texts = [words.tokenizer.decode(row.tolist()) for row in words.test]
    total = found["nll"] * found["num_sentences"]
    per_word = total / sum(len(text.split()) + 1 for text in texts) / math.log(2)
    per_character = total / sum(len(text) + 1 for text in texts) / math.log(2)
    assert found["bits_per_word"] == pytest.approx(per_word)
    assert found["bits_per_character"] == pytest.approx(per_character)
    assert found["ppl_per_word"] == pytest.approx(2**per_word)
    assert found["heavy_tail_share"] is None


RAW = {"train": "a cat sat\na dog sat\n", "valid": "a cat sat\n", "test": "zygote \u00e9 a\nw a.\n"}


@pytest.mark.parametrize("tokenizer", ["word", "nltk", "character", "bpe"])
def test_words_and_characters_are_those_of_the_raw_text_whatever_is_unknown(tmp_path, tokenizer):
    for name, text in RAW.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    changes = {"data": str(tmp_path), "num_sentences": None, "tokenizer": tokenizer}
    run = run_of(tmp_path / "run", **changes)
    found = evaluate(run, EvaluationConfig(num_samples=2, proposal="guide", device="cpu")).result
    bits = found["nll"] * found["num_sentences"] / math.log(2)
    # "zygote é a" and "w a.", and an <eos> each.
    assert found["bits_per_word"] == pytest.approx(bits / (3 + 2 + 2))
    assert found["bits_per_character"] == pytest.approx(bits / (10 + 4 + 2))


@pytest.mark.parametrize(("tokenizer", "words"), [("word", 3 + 3), ("character", None)])
def test_what_is_not_known_of_cut_sentences_is_absent_with_the_reason(tmp_path, tokenizer, words):
    for name, text in RAW.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    changes = {"max_length": 3, "truncate": True, "tokenizer": tokenizer}
    run = run_of(tmp_path / "run", data=str(tmp_path), num_sentences=None, **changes)
    found = evaluate(run, EvaluationConfig(num_samples=2, proposal="guide", device="cpu")).result
    assert found["bits_per_character"] is None
    assert any("bits per character" in note for note in found["notes"])
    if words is None:
        assert found["bits_per_word"] is found["ppl_per_word"] is None
    else:
        bits = found["nll"] * found["num_sentences"] / math.log(2)
        assert found["bits_per_word"] == pytest.approx(bits / words)


def test_other_text_is_scored_in_the_runs_own_ids(tmp_path):
    run = run_of(tmp_path / "run")
    corpus = tv.load_corpus("grammar", num_sentences=400)
    folder = tmp_path / "other"
    folder.mkdir()
    for name in ("train", "valid", "test"):
        rows = [corpus.tokenizer.decode(row.tolist()) for row in getattr(corpus, name)]
        (folder / f"{name}.txt").write_text("\n".join(rows))
    own = evaluate(run, EvaluationConfig(num_samples=50, proposal="guide", device="cpu")).result
    other = evaluate(
        run, EvaluationConfig(data=str(folder), num_samples=50, proposal="guide", device="cpu")
    ).result
    assert other["nll"] == pytest.approx(own["nll"], rel=1e-9)
    assert other["num_tokens"] == own["num_tokens"]


def test_no_sentence_of_other_text_is_left_out_in_silence(tmp_path):
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.txt").write_text("a cat sat\na dog sat\na a a a a a a\n")
    changes = {"data": str(tmp_path), "num_sentences": None, "max_length": 5}
    run = run_of(tmp_path / "run", **changes)
    assert (
        evaluate(run, EvaluationConfig(num_samples=2, proposal="guide", device="cpu")).result[
            "num_left_out"
        ]
        == 1
    )
    with pytest.raises(UserError, match="sentence of 8 tokens, the model was built for 4"):
        evaluate(
            run, EvaluationConfig(data=str(tmp_path), num_samples=2, proposal="guide", device="cpu")
        )


def test_language_model_is_its_own_bound(tmp_path):
    run = run_of(tmp_path / "run", model="language_model")
    found = evaluate(run, EvaluationConfig(num_samples=10, proposal="guide", device="cpu")).result
    assert found["nll"] == pytest.approx(found["elbo"], rel=1e-12)
    assert found["kl"] == 0
    assert found["nll_standard_error"] == 0
    assert found["mutual_information"] is None
    assert found["latent_dim"] == 0


def spherical(folder, **changes):
    sphere = {"prior": "uniform_sphere", "guide": "power_spherical", "latent_dim": 3}
    return run_of(folder, **sphere | changes)


def test_quasi_random_draws_on_the_sphere_are_refused_in_one_line(tmp_path):
    with pytest.raises(UserError, match="kind PowerSpherical at 'z': leave quasi_random off"):
        evaluate(
            spherical(tmp_path / "run"),
            EvaluationConfig(num_samples=4, proposal="guide", quasi_random=True, device="cpu"),
        )


def test_every_proposal_scores_a_spherical_run(tmp_path):
    run = spherical(tmp_path / "run", num_sentences=80)
    found = {
        name: evaluate(run, EvaluationConfig(num_samples=64, device="cpu", proposal=name)).result
        for name in zoo.names("proposals")
    }
    guide = found["guide"]
    for name, result in found.items():
        assert result["proposal"] == name
        assert len(result["notes"]) == (name == "sequential")
        error = math.hypot(guide["nll_standard_error"], result["nll_standard_error"])
        assert abs(result["nll"] - guide["nll"]) < 4.5 * error + 0.05  # bias of few draws


def test_model_without_latents_says_that_draws_play_no_part(tmp_path, capsys):
    run = run_of(tmp_path / "run", model="language_model")
    assert (
        main(
            [
                "evaluate",
                str(run),
                "--num-samples",
                "7",
                "--proposal",
                "guide",
                "--check",
                "--report",
                "false",
            ]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "exact: there is no latent" in printed
    assert "not checked: there is no latent" in printed
    assert "K = 7" not in printed
    assert json.loads((run / "evaluation.json").read_text())["exact"] is True


def test_stopped_evaluation_says_where_it_goes_on(tmp_path, capsys, monkeypatch):
    run = run_of(tmp_path / "run")
    arguments = [
        "evaluate",
        str(run),
        "--num-samples",
        "20",
        "--proposal",
        "guide",
        "--batch-size",
        "8",
    ]
    arguments += ["--report", "false"]
    assert main(arguments) == 0
    whole = json.loads((run / "evaluation.json").read_text())
    assert not list(run.glob("*.partial.*"))

    def stop(self, keys, columns, calls=[], plain=PartialResults.add):  # noqa: B006
        calls.append(keys)
        if len(calls) == 3:
            raise KeyboardInterrupt
        plain(self, keys, columns)

    monkeypatch.setattr(PartialResults, "add", stop)
    assert main(arguments) == 130
    assert "the same command goes on" in capsys.readouterr().out
    (partial,) = run.glob("evaluation.partial.*.0")
    rows = partial.read_bytes()
    assert len(rows.splitlines()) == 1 + 2 * 8
    monkeypatch.undo()
    assert (
        main(
            ["evaluate", str(run), "--num-samples", "2", "--proposal", "guide", "--report", "false"]
        )
        == 0
    )
    assert partial.read_bytes() == rows
    assert main(arguments) == 0
    assert json.loads((run / "evaluation.json").read_text()) == whole
    assert not list(run.glob("*.partial.*"))


UNKNOWN = {
    "unspaced": (
        "\u4eca\u5929\u5929\u6c14\u5f88\u597d",
        "\u660e\u5929\u8981\u4e0b\u96e8\u4e86",
        "train with --tokenizer character",
    ),
    "spaced": ("a cat sat down", "a dog ran up", "train with --tokenizer bpe"),
}


@pytest.mark.parametrize("script", UNKNOWN)
def test_share_of_unknown_tokens_stands_beside_the_nll_and_much_of_it_is_a_warning(
    tmp_path, capsys, script
):
    seen, new, advice = UNKNOWN[script]
    for name in ("train", "valid", "test"):
        text = f"{new}\n{new}\n" if name == "test" else f"{seen}\n{seen}\n"
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    lines: list[str] = []
    config = TrainConfig(**SMALL | {"data": str(tmp_path), "num_sentences": None})
    train(config, tmp_path / "run", report=lines.append)
    share = 1.0 if script == "unspaced" else 0.75
    warning = f"{100 * share:.1f} % of the tokens of the test split are unknown"
    assert re.search(f"warning: {warning}.*{advice}", lines[0])
    assert "valid split" not in lines[0]
    arguments = [
        "evaluate",
        str(tmp_path / "run"),
        "--num-samples",
        "2",
        "--proposal",
        "guide",
        "--report",
        "false",
    ]
    assert main(arguments) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"unknown tokens {100 * share:.1f} % of tokens" in printed
    assert re.search(f"warning: {warning}.*{advice}", printed)
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert found["unknown_token_share"] == share
    # Other draws would not help.
    assert found["warnings"] == []
    assert "try:" not in printed


def test_few_unknown_tokens_are_no_warning(tmp_path):
    run = run_of(tmp_path / "run")
    found = evaluate(run, EvaluationConfig(num_samples=2, proposal="guide", device="cpu")).result
    assert found["unknown_token_share"] == 0
    assert found["text_warnings"] == []


def test_all_of_a_given_file_is_scored(tmp_path, capsys):
    run = run_of(tmp_path / "run")
    corpus = tv.load_corpus("grammar", num_sentences=400)
    rows = [corpus.tokenizer.decode(row.tolist()) for row in corpus.test]
    file = tmp_path / "few.txt"
    file.write_text("\n".join(rows))
    for split in ("test", "valid"):
        config = EvaluationConfig(
            data=str(file), split=split, num_samples=20, proposal="guide", device="cpu"
        )
        found = evaluate(run, config).result
        assert (found["num_sentences"], found["num_given"]) == (40, 40)
        assert found["num_tokens"] == corpus.test.num_tokens
        assert found["split"] == split
    own = evaluate(run, EvaluationConfig(num_samples=20, proposal="guide", device="cpu")).result
    assert own["nll"] == pytest.approx(
        evaluate(run, replace(config, split="test")).result["nll"], rel=1e-9
    )
    assert own["num_given"] is None
    file.write_text(rows[0])
    capsys.readouterr()
    arguments = [
        "evaluate",
        str(run),
        "--data",
        str(file),
        "--num-samples",
        "2",
        "--proposal",
        "guide",
    ]
    assert main([*arguments, "--report", "false"]) == 0
    assert "of the text given 1 of 1" in " ".join(capsys.readouterr().out.split())


def test_of_a_given_folder_the_table_says_how_many_are_scored(tmp_path):
    run = run_of(tmp_path / "run")
    folder = tmp_path / "other"
    folder.mkdir()
    for number, name in enumerate(("train", "valid", "test"), 1):
        (folder / f"{name}.txt").write_text("the cat\n" * number)
    config = EvaluationConfig(data=str(folder), num_samples=2, proposal="guide", device="cpu")
    found = evaluate(run, config).result
    assert (found["num_sentences"], found["num_given"]) == (3, 6)
    assert "3 of 6" in evaluation_table(found)


def test_doubtful_text_is_named_when_it_is_trained_on(tmp_path):
    """A header that is not known, and sentences in two splits."""
    for name, rows in {
        "train": "1\ta b\n0\tc\n2\td\n",
        "valid": "1\ta\n",
        "test": "0\ta\n0\tb\n",
    }.items():
        (tmp_path / f"{name}.tsv").write_text(f"label\treview\n{rows}")
    lines: list[str] = []
    changes = {"data": str(tmp_path), "num_sentences": None}
    train(TrainConfig(**SMALL | changes), tmp_path / "run", report=lines.append)
    assert "warning: train.tsv names no column text or sentence" in lines[0]
    # "label" itself is one of the sentences.
    assert "in another split too: 3 of train, 2 of valid, 3 of test" in lines[0]
    found = evaluate(
        tmp_path / "run", EvaluationConfig(num_samples=2, proposal="guide", device="cpu")
    ).result
    assert "train.tsv names no column" in found["text_warnings"][0]
    changes["text_column"] = "review"
    train(TrainConfig(**SMALL | changes), tmp_path / "second", report=lines.append)
    last = next(line for line in lines[1:] if "sentences," in line)
    assert "names no column" not in last
    assert "another split too: 0 of train, 1 of valid, 1 of test" in last


def with_weights(run, change):
    """The run with its weights changed in place."""
    weights = load_file(run / "model.safetensors")
    change(weights)
    save_file(weights, run / "model.safetensors")
    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("of weights") / "run")


def test_weights_that_are_nan_are_refused_by_every_command(trained, tmp_path, capsys):
    run = shutil.copytree(trained, tmp_path / "run")
    with_weights(run, lambda weights: weights["guide.loc.bias"][1:].fill_(math.nan))
    for command in ("evaluate", "sample", "reconstruct"):
        assert main([command, str(run)]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert f"2 of 3 numbers of the weight guide.loc.bias of {run} are NaN" in line


def test_no_number_left_is_no_success(trained, tmp_path, capsys):
    """Means so far out that the prior's density is zero for every draw."""
    run = shutil.copytree(trained, tmp_path / "run")
    with_weights(run, lambda weights: weights["guide.loc.bias"].fill_(1e30))
    assert main(["evaluate", str(run), "--num-samples", "4", "--proposal", "guide"]) == 2
    error = capsys.readouterr().err
    assert "none of its 40 sentences has a finite log-likelihood" in error
    assert not (run / "evaluation.json").exists()
    assert main(["sample", str(run), "--size", "1", "--from", "aggregate"]) == 2
    assert "the latents of 320 sentences are 1 points" in capsys.readouterr().err


def test_a_guide_that_collapsed_to_a_point_is_warned_of(trained, tmp_path, capsys):
    run = shutil.copytree(trained, tmp_path / "run")

    def collapse(weights):
        weights["guide.log_variance.weight"].zero_()
        weights["guide.log_variance.bias"].fill_(-80.0)
        weights["guide.loc.bias"].fill_(1.0)

    with_weights(run, collapse)
    assert (
        main(
            [
                "evaluate",
                str(run),
                "--num-samples",
                "100",
                "--proposal",
                "guide",
                "--report",
                "false",
            ]
        )
        == 0
    )
    assert "warning: 40 of 40 sentences (index 0, 1, 2, 3, 4 and 35" in capsys.readouterr().out
    found = json.loads((run / "evaluation.json").read_text())
    assert found["nll_standard_error"] is found["median_ess"] is None
    assert found["flagged_sentences"] == 40
    assert main(["report", str(run)]) == 0
    page = (run / "report" / "report.html").read_text()
    assert "the draws of the latents are all alike" in page


def test_nll_of_text_and_label_has_a_name_of_its_own(tmp_path, capsys, monkeypatch):
    """Once with more values than are summed over, so that the text's alone is not known."""
    lines = [f"{n % 2}\tthe {'good' if n % 2 else 'bad'} cat {n} sleeps" for n in range(200)]
    text = tmp_path / "labelled.tsv"
    text.write_text("\n".join(["label\ttext", *lines]) + "\n")
    program = Path(__file__).parents[1] / "programs" / "observed_label.py:ObservedLabelVAE"
    runs = []
    monkeypatch.setattr(summed_sites, "MOST_VALUES", 1)
    for name in "ab":
        changes = {"data": str(text), "label_column": "label", "model": str(program)}
        run = run_of(tmp_path / name, num_sentences=None, **changes)
        runs.append(str(run))
        arguments = [
            "evaluate",
            str(run),
            "--split",
            "train",
            "--num-samples",
            "8",
            "--proposal",
            "guide",
            "--trust-code",
        ]
        assert main([*arguments, "--report", "false"]) == 0
    printed = capsys.readouterr().out
    found = json.loads((run / "evaluation.json").read_text())
    assert found["beside_text"] == ["y"]
    absent = "nll nll_standard_error nll_sampling_error ppl ppl_elbo bits_per_word"
    assert {found[name] for name in absent.split()} == {None}
    shown = f"nll_joint, K = 8        {found['nll_joint']:.3f} +- "
    assert shown in re.sub(" {8,}", " " * 8, printed)
    assert re.search(r"\n  nll, K = 8 +- \(see below\)\n", printed)
    assert "perplexity" not in re.sub(r"perplexity +-\n|the nll, perplexity", "", printed)
    assert main(["report", str(run), "--trust-code"]) == 0
    page = (run / "report" / "report.html").read_text()
    assert f"{found['nll_joint']:.3f}" in page
    assert main(["compare", *runs]) == 2
    assert "are of the text and of 'y' together" in capsys.readouterr().err

    monkeypatch.setattr(summed_sites, "MOST_VALUES", 2)
    for path in runs:
        arguments[1] = path
        assert main([*arguments, "--report", "false"]) == 0
    printed = capsys.readouterr().out
    found = json.loads((run / "evaluation.json").read_text())
    assert "beside_text" not in found
    assert found["summed_out"] == {"names": ["y"], "num_values": 2}
    assert found["nll_joint"] == pytest.approx(found["nll"] + found["label_nll"])
    assert found["ppl"] == pytest.approx(
        math.exp(found["nll"] * found["num_sentences"] / found["num_tokens"])
    )
    # Whatever z is, each label has a probability of 1/2.
    assert found["label_nll"] == pytest.approx(math.log(2), abs=0.1)
    assert found["num_labelled"] == found["num_sentences"]
    assert found["elbo"] is None
    assert found["label_nll_by_guide"] is None
    assert found["elbo_joint"] > found["nll_joint"]
    assert f"{found['label_nll']:.3f} +- " in printed
    assert "nats a label given the text, by Bayes' rule" in printed
    assert main(["compare", *runs]) == 0
    printed = capsys.readouterr().out
    assert "nll of a minus nll of b" in printed
    assert "nll_joint of a minus nll_joint of b" in printed
    assert main(["report", str(run), "--trust-code"]) == 0
