# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a shell completes, asked of a shell."""

import shutil
import subprocess
import sys

import pytest

from pyro_textvae import zoo
from pyro_textvae.cli.main import COMMANDS, main

ASK = """
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
_shtab_pyro_textvae
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    pytest.importorskip("shtab")
    command = [sys.executable, "-m", "pyro_textvae", "--print-completion", "bash"]
    path = tmp_path_factory.mktemp("shell") / "completion.bash"
    path.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    return path


@pytest.mark.skipif(not shutil.which("bash"), reason="asks bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["tra"], ["train", "traverse"]),
        ([""], list(COMMANDS)),
        (["train", "--kl-s"], ["--kl-schedule", "--kl-start", "--kl-steps"]),
        (["train", "--guide", "power"], ["power_spherical"]),
        (["train", "--constraint", ""], zoo.names("constraints")),
        (["train", "--source-encoder", ""], zoo.names("encoders")),
        (["evaluate", "runs/mine", "--split", ""], ["train", "valid", "test"]),
        (["evaluate", "run"], ["runs"]),
        (["classify", "runs/mine", "text"], ["text.tsv"]),
        (["compare", "grid"], ["grid.yaml"]),
        (["sample", "runs/mine", "--method", "nu"], ["nucleus"]),
    ],
    ids=" ".join,
)
def test_completed(script, tmp_path, words, completed):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    for name in ("text.tsv", "grid.yaml", "run.txt"):
        (tmp_path / name).touch()
    command = ["bash", "-c", ASK, "ask", str(script), "pyro-textvae", *words]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert sorted(answer.stdout.split()) == sorted(completed)


@pytest.mark.parametrize("shell", ["csh", ""])
def test_shell_that_there_is_none_for(shell, capsys):
    pytest.importorskip("shtab")
    assert main(["--print-completion", *([shell] if shell else [])]) == 2
    error = capsys.readouterr().err
    # Later versions of shtab have more.
    assert error.startswith("pyro-textvae: error: --print-completion takes bash, zsh, tcsh, fish")
    assert error.endswith(f", got {shell!r}\n")
    assert error.count("\n") == 1


def test_without_shtab(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 2
    assert "pip install 'pyro-textvae[completion]'" in capsys.readouterr().err
