# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``assess`` on tiny runs: what it writes, prints and refuses."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from pyro_textvae.assessment import Material, assess
from pyro_textvae.config.assess import AssessmentConfig
from pyro_textvae.report.generation_columns import generation_lines
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.assessed_run import AssessmentError, read_assessment
from pyro_textvae.runs.compare import assessed
from pyro_textvae.runs.load import load_pair, load_run_corpus, read_run

CHEAP = ["reconstruction", "distinct", "copying", "criticism"]


def arguments(run, *further, metrics=CHEAP):
    few = ("--num-resamples", "100", "--num-replicates", "20", "--replicate-size", "4")
    return ["assess", run, "--metrics", json.dumps(metrics), *few, *further]


def test_numbers_have_all_that_is_needed_to_read_them(succeeds, run_copy):
    printed = succeeds(*arguments(run_copy, "--seed", "3"))
    written = json.loads((run_copy / "generation.json").read_text())
    assert f"written to {run_copy / 'generation.json'}" in printed
    # The test split has 8 sentences, less than the default size.
    assert written["num_sentences"] == 8
    distinct = written["numbers"]["distinct_2"]
    low, high = distinct["interval"]
    assert 0 <= low <= distinct["value"] <= high <= 1
    assert distinct["num_sentences"] == 8
    assert distinct["real"] > 0
    samples = written["materials"][distinct["material"]]
    assert (samples["method"], samples["options"]) == ("ancestral", {})
    assert (samples["latents_from"], samples["seed"]) == ("prior", 3)
    again = written["materials"]["mean_reconstructions"]
    assert (again["method"], again["latents"]) == ("greedy", "posterior mean")
    assert written["materials"]["drawn_reconstructions"]["seed"] != again["seed"]
    assert written["command"].startswith("pyro-textvae assess")
    for number in written["numbers"].values():
        assert f"{number['value']:,.{number['digits']}f}" in printed
    assert {n["title"] for n in written["numbers"].values()} == {
        *("reconstruction", "samples", "model criticism"),
    }
    assert read_assessment(run_copy)["settings"]["metrics"] == CHEAP


def test_the_same_seed_gives_the_same_file_and_another_one_another(succeeds, run_copy, tmp_path):
    files = [tmp_path / f"{name}.json" for name in "abc"]
    for file, seed in zip(files, "112", strict=True):
        succeeds(*arguments(run_copy, "--out", file, "--seed", seed, metrics=["distinct"]))
    first, again, other = (json.loads(file.read_text())["numbers"] for file in files)
    assert first == again
    assert first != other
    assert not (run_copy / "generation.json").exists()


def test_runs_that_were_assessed_alike_are_compared_without_a_caution(succeeds, run_copy, tmp_path):
    other = Path(shutil.copytree(run_copy, tmp_path / "other"))
    for folder in (run_copy, other):
        succeeds(*arguments(folder, metrics=["distinct"]))
        assert not {"run", "out", "json"} & set(read_assessment(folder)["settings"])
    runs = [{"run": folder.name, **assessed(folder)} for folder in (run_copy, other)]
    assert not [line for line in generation_lines(runs) if "another" in line]


def test_options_reach_the_samples(succeeds, run_copy, tmp_path):
    out = tmp_path / "greedy.json"
    succeeds(
        *arguments(
            run_copy, "--method", "greedy", "--size", "4", "--out", out, metrics=["distinct"]
        )
    )
    written = json.loads(out.read_text())
    assert written["materials"]["samples"]["method"] == "greedy"
    assert written["numbers"]["distinct_1"]["num_sentences"] == 4


def test_what_does_not_apply_is_left_out_and_said(succeeds, language_model_run, tmp_path, cli):
    run = Path(shutil.copytree(language_model_run, tmp_path / "copy"))
    status, _, err = cli(*arguments(run))
    assert status == 2
    assert "the metric reconstruction says nothing of" in err
    assert "has no latent" in err


@pytest.mark.parametrize(
    ("message", "further"),
    [
        (
            r"perplexity needs at least 20 sentences, .* are 8: give",
            ["--metrics", '["perplexity"]'],
        ),
        (r"there is no metric 'distinkt'; did you mean 'distinct'", ["--metrics", '["distinkt"]']),
        (r"there is no statistic 'lenght'", ["--statistics", '["lenght"]']),
        (r"size must be at least 2, got 1", ["--size", "1"]),
        (r"ancestral method has no option 'k'", ["--options", '{"k": 3}']),
        (r"language_model_settings: .*epoch", ["--language-model-settings", '{"epoch": 3}']),
        (r"the model takes no source", ["--metrics", '["paraphrase"]']),
        (r"is not drawn from a language", ["--metrics", '["known_language"]']),
        (r"--out .* is a file of the run itself", ["--out", "copy/config.json"]),
        (r"must end in .json", ["--out", "copy/numbers.txt"]),
        (r"is a run of sentence_vae, and a judge is one of", ["--language-model", "copy"]),
        (r"no_run is not a run", ["--language-model", "no_run"]),
    ],
)
def test_bad_input_is_one_line(check_refused, run_copy, message, further):
    check_refused(message, *arguments(run_copy, *further))


def test_a_missing_package_is_one_line(check_refused, run_copy, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_refused(
        r"need sacrebleu, .*pip install 'pyro-textvae\[eval\]'",
        *arguments(run_copy, metrics=["distinct", "self_bleu"]),
    )


def test_an_assessment_of_other_weights_is_told(succeeds, run_copy):
    succeeds(*arguments(run_copy, metrics=["distinct"]))
    columns = assessed(run_copy)["generation"]["numbers"]
    assert list(columns) == ["distinct_2"]
    weights = RunFolder(run_copy).weights
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(AssessmentError, match="of other weights .*: pyro-textvae assess"):
        read_assessment(run_copy)
    assert "of other weights" in assessed(run_copy)["generation_doubt"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda written: "[]",
        lambda written: "{",
        lambda written: json.dumps(written | {"numbers": {"x": 3}}),
        lambda written: json.dumps(written | {"examples": [3]}),
        lambda written: json.dumps(written | {"materials": None}),
        lambda written: json.dumps(written | {"settings": {"language_model": []}}),
        lambda written: json.dumps(
            written | {"numbers": {"x": written["numbers"]["distinct_1"] | {"digits": 400}}}
        ),
        lambda written: json.dumps(
            written | {"numbers": {"x": written["numbers"]["distinct_1"] | {"interval": ["a", 1]}}}
        ),
    ],
)
def test_a_damaged_file_is_named(run, tmp_path, damage, assessment_of_run):
    folder = RunFolder(shutil.copytree(run, tmp_path / "damaged"))
    folder.generation.write_text(damage(assessment_of_run))
    with pytest.raises(AssessmentError, match=r"generation\.json is damaged"):
        read_assessment(folder)


def test_samples_do_not_depend_on_what_else_is_drawn(run):
    def material():
        stored = read_run(run)
        config = AssessmentConfig(size=4, num_training_samples=100, num_draws=2)
        return Material(RunFolder(run), load_pair(stored), load_run_corpus(stored), config)

    busy, idle = material(), material()
    texts = {*busy.training_samples.texts, *busy.reconstructions["mean_reconstructions"].texts}
    assert len(texts) > 1
    assert busy.samples == idle.samples
    assert busy.training_samples.texts[:4] != busy.samples.texts
    assert busy.used["training_samples"]["seed"] != busy.used["samples"]["seed"]


@pytest.fixture(scope="module")
def assessment_of_run(run):
    return assess(run, AssessmentConfig(metrics=["distinct"], num_resamples=100))


def test_a_run_that_is_replaced_loses_its_assessment(succeeds, run_copy, corpus):
    succeeds(*arguments(run_copy, metrics=["distinct"]))
    RunFolder(run_copy)._remove_own_files()
    assert not (run_copy / "generation.json").exists()
