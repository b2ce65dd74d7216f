# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""An evaluation is of the weights that the run had then: of others it is named and not shown."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

QUICK = ["--num-samples", "40", "--proposal", "guide", "--report", "false"]
STALE = "the evaluation of {} is of other weights than the run has now"


@pytest.fixture
def evaluated(cli, run_copy):
    assert cli("evaluate", run_copy, *QUICK)[0] == 0
    return run_copy


@pytest.fixture
def other(evaluated, tmp_path):
    """The same run and the same evaluation, in another folder."""
    return Path(shutil.copytree(evaluated, tmp_path / "other"))


def forget_hash(run):
    """The evaluation as earlier versions wrote it."""
    file = run / "evaluation.json"
    result = json.loads(file.read_text())
    del result["weights_sha256"]
    file.write_text(json.dumps(result))
    os.utime(file, (1e9, 1e9))


def test_evaluation_of_a_run_that_was_trained_further_is_not_compared(cli, evaluated, other):
    before = (evaluated / "model.safetensors").read_bytes()
    result = json.loads((evaluated / "evaluation.json").read_text())
    assert result["weights_sha256"] == hashlib.sha256(before).hexdigest()
    assert cli("train", "--resume", evaluated, "--epochs", "2")[0] == 0
    assert (evaluated / "model.safetensors").read_bytes() != before

    status, out, err = cli("compare", evaluated, other)
    assert (status, out) == (2, "")
    assert STALE.format(evaluated) in err
    assert f"pyro-textvae evaluate {evaluated}" in err
    assert str(other) not in err

    assert cli("report", evaluated)[0] == 0
    page = (evaluated / "report" / "report.html").read_text()
    assert STALE.format(evaluated)[1:] in page
    assert f"{result['nll']:.3f}" not in page

    assert cli("evaluate", evaluated, *QUICK)[0] == 0
    assert cli("compare", evaluated, other)[0] == 0


def test_all_evaluations_of_other_weights_are_named_at_once(cli, evaluated, other):
    for stale in (evaluated, other):
        with open(stale / "model.safetensors", "ab") as file:
            file.write(b" ")
    status, _, err = cli("compare", evaluated, other)
    assert status == 2
    assert len(err.splitlines()) == 1
    assert all(STALE.format(stale) in err for stale in (evaluated, other))


def test_evaluation_without_a_hash_is_doubted_only_where_the_weights_are_newer(
    cli, evaluated, other
):
    for run in (evaluated, other):
        forget_hash(run)
        os.utime(run / "model.safetensors", (1e9 - 60, 1e9 - 60))
    status, out, _ = cli("compare", evaluated, other)
    assert (status, "is newer than the evaluation" in out) == (0, False)

    os.utime(other / "model.safetensors", (1e9 + 60, 1e9 + 60))
    status, out, _ = cli("compare", evaluated, other)
    assert status == 0
    assert f"caution: {other}: model.safetensors is newer than the evaluation" in out
    assert f"caution: {evaluated}: model" not in out
    assert cli("report", other)[0] == 0
    page = (other / "report" / "report.html").read_text()
    assert "model.safetensors is newer than the evaluation" in page


def test_evaluation_without_weights_beside_it_is_compared(cli, evaluated, other):
    (other / "model.safetensors").unlink()
    status, out, _ = cli("compare", evaluated, other)
    assert status == 0
    assert "no difference can be told" in out
