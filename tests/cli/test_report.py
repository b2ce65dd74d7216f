# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae report`` on real runs: what it writes, and what it refuses."""

import json
import re
import shutil
import sys
from html import unescape
from pathlib import Path

import pytest

from tests.cli.conftest import TINY, contents, write_corpus
from tests.cli.test_command_line import process

SECTIONS = (
    "Summary",
    "Training",
    "Negative log-likelihood against K",
    "Trust: Pareto k-hat by sentence",
    "Independent check by annealing",
    "KL by latent dimension",
    "Negative log-likelihood by sentence length",
    "Latent space",
    "Samples from the prior",
    "Reconstructions",
    "How good the text is",
    "Provenance",
)


@pytest.fixture(scope="session")
def evaluated(run, tmp_path_factory):
    """An evaluated run; no test may write into it."""
    from pyro_textvae.cli.main import main

    copy = Path(shutil.copytree(run, tmp_path_factory.mktemp("evaluated") / "vae"))
    assert (
        main(
            [
                "evaluate",
                str(copy),
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
    return copy


def titles(page):
    return [unescape(text) for text in re.findall(r"<h2>(.*?)</h2>", page)]


def notes(page):
    return [unescape(text) for text in re.findall(r'<p class="missing">(.*?)</p>', page)]


@pytest.mark.usefixtures("drawn_pictures")
def test_report_of_a_run_is_complete_in_itself(cli, evaluated, corpus, tmp_path):
    status, out, _ = cli("report", evaluated, "--out", tmp_path / "new" / "pages")
    assert status == 0
    path = tmp_path / "new" / "pages" / "report.html"
    assert f"written to {path}" in out
    page = path.read_text(encoding="utf-8")
    assert tuple(titles(page)) == SECTIONS
    links = re.findall(r'(?:src|href|data)\s*=\s*"([^"]{0,30})', page)
    assert len(links) > len(SECTIONS)
    assert all(re.match(r"#|data:", link) for link in links)
    assert not re.search(r"@import|url\(|https?://", page)
    found = json.loads((evaluated / "evaluation.json").read_text())
    for shown in (
        f"{found['nll']:.3f} ± {found['nll_standard_error']:.3f}",
        f"{found['ppl']:.2f}",
        f"{found['mutual_information_ceiling']:.3f}",
        found["corpus_fingerprint"],
    ):
        assert shown in page
    # No fox is in the training text.
    for sentence in (corpus / "test.txt").read_text().replace("fox", "&lt;unk&gt;").splitlines():
        # In both panels of the latent space, and as the source of a reconstruction.
        assert page.count(sentence) >= 3
    pictures = {file.name for file in path.parent.glob("*.png")}
    assert pictures >= {"training-curves.png", "khat.png", "latent-space.png", "nll-by-length.png"}
    assert set(re.findall(r'<span class="file">(.*?)</span>', page)) == pictures


def test_report_of_two_runs_compares_them_and_repeats_exactly(
    cli, evaluated, language_model_run, tmp_path
):
    before = contents(language_model_run)
    assert cli("report", evaluated, language_model_run)[0] == 0
    page = Path("report/report.html").read_bytes()
    assert cli("report", evaluated, language_model_run, "--out", tmp_path / "again")[0] == 0
    assert (tmp_path / "again" / "report.html").read_bytes() == page
    assert contents(language_model_run) == before
    text = page.decode()
    assert titles(text)[1] == "Paired differences between runs"
    assert any("There is no comparison: " in note for note in notes(text))
    assert "run has not been evaluated." in " ".join(notes(text))
    assert "run has no latent, so there is nothing to project." in notes(text)


def test_run_that_was_not_evaluated_has_what_training_left(cli, run_copy):
    assert cli("report", run_copy)[0] == 0
    page = (run_copy / "report" / "report.html").read_text()
    assert tuple(titles(page)) == SECTIONS
    said = f"copy has not been evaluated. To fill it in: <code>pyro-textvae evaluate {run_copy}"
    assert page.count(said) == 6
    assert "training-curves.png" in page
    assert "Latents from the prior" in page


def test_damaged_weights_leave_the_rest(cli, run_copy):
    (run_copy / "model.safetensors").write_bytes(b"")
    assert cli("report", run_copy)[0] == 0
    page = (run_copy / "report" / "report.html").read_text()
    assert len([note for note in notes(page) if "model.safetensors is damaged" in note]) == 3
    assert "training-curves.png" in page


@pytest.mark.usefixtures("drawn_pictures")
def test_text_of_the_corpus_is_escaped(cli, tmp_path):
    lines = "".join(f"<script>alert({n})</script> & 中文 {n}\n" for n in range(8))
    corpus = write_corpus(tmp_path / "text", train=lines, valid=lines, test=lines)
    assert cli("train", "--data", corpus, *TINY, "--out", tmp_path / "run")[0] == 0
    assert cli("report", tmp_path / "run")[0] == 0
    page = (tmp_path / "run" / "report" / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    # On both panels of the latent space, and once as the source of a reconstruction.
    assert page.count("&lt;script&gt;alert(3)&lt;/script&gt; &amp; 中文 3") >= 3


def test_refusals(check_refused, run, tmp_path):
    check_refused(r"report needs a run folder: pyro-textvae report RUN", "report")
    check_refused(r"nowhere is not a run \(no such folder\)", "report", tmp_path / "nowhere")
    check_refused(r"is given twice: give every run once", "report", run, run / ".." / run.name)
    check_refused(r"device 'nonesuch' does not exist", "report", run, "--device", "nonesuch")
    check_refused(r"seed must lie in", "report", run, "--seed", "-1")
    file = tmp_path / "file"
    file.write_text("mine")
    check_refused(
        r"--out .*file is a file: give the name of a folder", "report", run, "--out", file
    )
    check_refused(r"--out .*deep: .*file is a file", "report", run, "--out", file / "deep")


@pytest.mark.parametrize("module", ["matplotlib", "sklearn"])
def test_missing_extras_are_named(check_refused, run, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    check_refused(rf"needs {module}, .*: pip install 'pyro-textvae\[viz\]'", "report", run)


def test_help_imports_neither_torch_nor_matplotlib():
    done = process("report", "--help", options=["-X", "importtime"])
    assert done.returncode == 0
    assert not re.search(r"\| +(torch|matplotlib|sklearn|jinja2)$", done.stderr, re.MULTILINE)
