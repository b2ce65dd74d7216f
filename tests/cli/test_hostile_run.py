# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Runs from somebody else: nothing in them is executed before the user says so."""

import hashlib
import importlib.util
import json
import marshal
import os
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch

from pyro_textvae import load_run
from pyro_textvae.errors import UserError
from pyro_textvae.runs.code import UntrustedCodeError
from tests.cli.conftest import contents

READERS = [
    ["evaluate"],
    ["sample"],
    ["sample", "--from=aggregate", "--run"],
    ["reconstruct"],
    ["interpolate"],
    ["report"],
    ["train", "--epochs", "2", "--resume"],
]

MODEL = """
import pathlib

pathlib.Path({marker!r}).touch()

from pyro_textvae.models import SentenceVAE


class Mine(SentenceVAE):
    pass
"""


@pytest.fixture
def marker(tmp_path):
    """A file that only hostile code would make."""
    return tmp_path / "executed"


def change(run, what):
    path = run / "config.json"
    content = json.loads(path.read_text())
    what(content)
    path.write_text(json.dumps(content))


def add_source(run, setting, code):
    file = run / "source" / setting / "mine.py"
    file.parent.mkdir(parents=True)
    file.write_text(code)
    return file


PARTS = ["guide", "prior", "decoder", "encoder"]


@pytest.mark.parametrize(
    ("part", "command"),
    [*(("model", command) for command in READERS), *((part, READERS[1]) for part in PARTS)],
)
def test_a_part_of_the_shell(check_refused, run_copy, marker, command, part):
    """``subprocess:Popen`` with its arguments."""

    def hostile(content):
        content["specs"][part] = "subprocess:Popen"
        content["settings"]["options"] = {"args": ["touch", str(marker)]}

    change(run_copy, hostile)
    check_refused(
        rf"the {part} of \S+copy is code from outside the catalogue, subprocess:Popen, and was not "
        r"executed: .* --trust-code",
        *command,
        run_copy,
    )
    assert not marker.exists()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("os:system", "os defines no class 'system'"),
        ("subprocess:Popen", r"Popen is no guide: derive it from torch\.nn\.Module"),
        ("os; system:x", "which is no class"),
    ],
)
def test_trust_is_for_classes_of_the_kind(run_copy, spec, message):
    change(run_copy, lambda content: content["specs"].update(guide=spec))
    with pytest.raises(UntrustedCodeError):
        load_run(run_copy)
    with pytest.raises(UserError, match=message):
        load_run(run_copy, trust_code=True)


@pytest.mark.parametrize(
    ("part", "command"),
    [*(("tokenizer", command) for command in READERS), *((part, READERS[1]) for part in PARTS)],
)
def test_a_file_of_the_run(check_refused, run_copy, marker, command, part):
    file = add_source(run_copy, part, MODEL.format(marker=str(marker)))
    spec = f"source/{part}/mine.py:Mine"
    if part == "tokenizer":
        change(run_copy, lambda content: content.update(tokenizer_kind=spec))
    else:
        change(run_copy, lambda content: content["specs"].update({part: spec}))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    check_refused(rf"{part} .*mine\.py \(sha256 {digest}\), and was not exec", *command, run_copy)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("setting", "commands"),
    [
        ("objective", READERS[-1:]),
        ("constraint", READERS[-1:]),
        ("procedure", READERS[-1:]),
        ("kl_schedule", READERS[-1:]),
        ("data", [READERS[i] for i in (0, 2, 3, 4, 5, 6)]),
        ("tokenizer", [READERS[i] for i in (0, 2, 3, 4, 5, 6)]),
    ],
)
def test_a_setting(check_refused, run_copy, tmp_path, marker, setting, commands):
    mine = tmp_path / "mine.py"
    mine.write_text(MODEL.format(marker=str(marker)))
    for spec in (f"{mine}:Mine", "subprocess:Popen"):
        change(run_copy, lambda content, spec=spec: content["settings"].update({setting: spec}))
        for command in commands:
            check_refused(rf"the {setting} of .* was not executed", *command, run_copy)
    assert not marker.exists()


@pytest.mark.parametrize(
    "place", ["source/../../mine.py", "../mine.py", "source/link.py", "source/folder/mine.py", ""]
)
def test_no_path_leaves_the_folder(check_refused, run_copy, tmp_path, marker, place):
    """Not for a user who trusts the run, either."""
    mine = tmp_path / "mine.py"
    mine.write_text(MODEL.format(marker=str(marker)))
    (run_copy / "source").mkdir()
    (run_copy / "source" / "link.py").symlink_to(mine)
    (run_copy / "source" / "folder").symlink_to(tmp_path)
    spec = f"{place or mine}:Mine"
    change(run_copy, lambda content: content["specs"].update(model=spec))
    for flags in ([], ["--trust-code"]):
        check_refused("lies outside of its folder source", "sample", run_copy, *flags)
    assert not marker.exists()


def test_a_source_folder_that_is_a_link(check_refused, run_copy, tmp_path, marker):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.py").write_text(MODEL.format(marker=str(marker)))
    (run_copy / "source").symlink_to(outside)
    change(run_copy, lambda content: content["specs"].update(model="source/mine.py:Mine"))
    check_refused("lies outside of its folder", "sample", run_copy, "--trust-code")
    assert not marker.exists()


def test_overwrite_follows_no_link(succeeds, run_copy, tmp_path, train):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (run_copy / "source").symlink_to(outside)
    mine = tmp_path / "mine.py"
    mine.write_text(MODEL.format(marker=str(tmp_path / "executed")))
    succeeds(*train, "--model", f"{mine}:Mine", "--out", run_copy, "--overwrite")
    assert [path.name for path in outside.iterdir()] == ["kept"]


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_a_pickle_in_the_checkpoint(check_refused, run_copy, marker):
    torch.save({"modules": Hostile(marker)}, run_copy / "state" / "last.pt")
    check_refused(r"last\.pt is damaged", "train", "--epochs", "2", "--resume", run_copy)
    assert not marker.exists()


@pytest.mark.parametrize("command", READERS[:2], ids=" ".join)
@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_pickle_in_the_place_of_a_file(check_refused, run_copy, marker, command, file):
    (run_copy / file).write_bytes(pickle.dumps(Hostile(marker)))
    check_refused(file.replace(".", r"\."), *command, run_copy)
    assert not marker.exists()


def test_a_tokenizer_of_another_run(check_refused, run_copy, tmp_path):
    path = run_copy / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    first, second = list(vocabulary)[-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(content))
    check_refused(r"tokenizer\.json does not belong to the model", "sample", run_copy)


@pytest.fixture
def mine(tmp_path, marker):
    path = tmp_path / "mine.py"
    path.write_text(MODEL.format(marker=str(marker)))
    return path


@pytest.fixture
def own_run(succeeds, train, new, mine, marker):
    """A run of a model of the user's own, trained by this user; the marker is removed."""
    succeeds(*train, "--model", f"{mine}:Mine", "--out", new)
    marker.unlink()
    return new


def test_a_run_of_ones_own_needs_no_flag(succeeds, own_run, mine):
    mine.unlink()
    succeeds("sample", own_run)
    succeeds("evaluate", own_run, "--num-samples", "2", "--proposal", "guide", "--report", "false")
    succeeds("train", "--epochs", "2", "--resume", own_run)
    # From wherever it is named.
    os.chdir(own_run)
    succeeds("sample", ".")


def test_a_copy_elsewhere_is_of_somebody_else(check_refused, cli, own_run, tmp_path, monkeypatch):
    moved = Path(shutil.copytree(own_run, tmp_path / "moved"))
    check_refused("was not executed", "sample", moved)
    status, out, err = cli("sample", moved, "--trust-code")
    source = moved / "source" / "model" / "mine.py"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert (status, len(out.splitlines())) == (0, 10)
    assert err == f"executing the model of {moved}: {source} (sha256 {digest})\n"
    # Trusted once is not trusted for good, but going on with a run makes it one's own.
    check_refused("was not executed", "sample", moved)
    assert cli("train", "--epochs", "2", "--resume", moved, "--trust-code")[0] == 0
    assert cli("sample", moved)[0] == 0
    # Of another user, it is of somebody else.
    monkeypatch.setenv("PYRO_TEXTVAE_CONFIG", str(tmp_path / "of-another-user"))
    check_refused("was not executed", "sample", moved)


@pytest.mark.parametrize("change_of", ["source", "options", "class", "record", "owner"])
def test_what_is_changed_is_not_trusted(
    check_refused, own_run, tmp_path_factory, marker, monkeypatch, change_of
):
    trusted = tmp_path_factory.getbasetemp() / "config" / "trusted-code"
    if change_of == "source":
        with open(own_run / "source" / "model" / "mine.py", "a") as file:
            file.write("# edited\n")
    elif change_of == "options":
        change(own_run, lambda content: content["settings"].update(options={"args": ["ls"]}))
    elif change_of == "class":
        spec = "source/model/mine.py:SentenceVAE"
        change(own_run, lambda content: content["specs"].update(model=spec))
    elif change_of == "record":
        for entry in trusted.iterdir():
            entry.write_text("something else\n")
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    check_refused("was not executed", "sample", own_run)
    assert not marker.exists()


def test_a_compiled_file_beside_the_source_is_not_executed(
    succeeds, own_run, marker, tmp_path, monkeypatch
):
    """Python would take it for the source, whose hash is what was trusted."""
    source = own_run / "source" / "model" / "mine.py"
    stray = tmp_path / "stray"
    code = compile(source.read_text().replace(str(marker), str(stray)), str(source), "exec")
    compiled = Path(importlib.util.cache_from_source(source))
    compiled.parent.mkdir(exist_ok=True)
    # Flags 1: by hash, never checked against the source.
    compiled.write_bytes(
        importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8) + marshal.dumps(code)
    )
    name = f"pyro_textvae_user_mine_{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    monkeypatch.delitem(sys.modules, name)
    succeeds("sample", own_run)
    assert marker.exists()
    assert not stray.exists()


def test_a_package_that_is_trusted_is_named(cli, run_copy):
    spec = "pyro_textvae.models.sentence_vae:SentenceVAE"
    change(run_copy, lambda content: content["specs"].update(model=spec))
    status, _, err = cli("sample", run_copy, "--trust-code")
    assert status == 0
    assert spec in err
    assert "__init__.py (sha256 " in err


def test_trust_is_for_a_run_that_is_there(check_refused, train):
    check_refused("--trust-code is for --resume", *train, "--trust-code")


def test_objectives_of_pyro_need_no_trust(succeeds, train, new, tmp_path):
    succeeds(*train, "--objective", "pyro.infer:Trace_ELBO", "--kl-schedule", "constant")
    moved = shutil.copytree(new, tmp_path / "moved")
    succeeds("train", "--epochs", "2", "--resume", moved)


@pytest.mark.parametrize("name", ["writer.lock", "metrics.jsonl", "timing.jsonl"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_added_to_is_no_link_out_of_the_run(check_refused, run_copy, tmp_path, name, kind):
    """The file that a lock led to was emptied, that of the metrics cut and added to."""
    (run_copy / name).unlink(missing_ok=True)
    letter = tmp_path / "letter.txt"
    letter.write_text("of somebody else\n" * 1000)
    if kind == "link":
        (run_copy / name).symlink_to(letter)
    else:
        os.mkfifo(run_copy / name)
    before = letter.read_bytes()
    message = rf"{name} is (a link|a pipe or a device|damaged)"
    check_refused(message, "train", "--resume", run_copy, "--epochs", "2")
    assert letter.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "command"), [("state", ["train", "--epochs", "2", "--resume"]), ("report", ["report"])]
)
def test_folders_that_are_written_are_no_links(check_refused, run_copy, tmp_path, name, command):
    """Files of the same names in the folder that it led to were replaced."""
    other = Path(shutil.copytree(run_copy / "state", tmp_path / "other"))
    (other / "report.html").write_text("of somebody else")
    shutil.rmtree(run_copy / name, ignore_errors=True)
    (run_copy / name).symlink_to(other)
    before = contents(other)
    check_refused(rf"copy/{name} is a link, and what it leads to is not", *command, run_copy)
    assert contents(other) == before
