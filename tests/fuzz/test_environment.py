# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What notebooks, job schedulers and terminals leave in the environment changes nothing."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

UNSET = None

LEFT_BEHIND = {
    # Notebooks and desktops
    "MPLBACKEND": [
        "module://no.such",
        "module://matplotlib_inline.backend_inline",
        "TkAgg",
    ],
    "MPLCONFIGDIR": ["/proc/nowhere"],
    "JPY_PARENT_PID": ["1"],
    "DISPLAY": [":77", ""],
    "QT_QPA_PLATFORM": ["wayland"],
    "BROWSER": ["no-such-browser"],
    # Terminals
    "TERM": ["dumb", "", "no-such-terminal"],
    "COLUMNS": ["x", "0", "-3", "1"],
    "LINES": ["x", "1"],
    "NO_COLOR": ["1"],
    "FORCE_COLOR": ["3"],
    # Locales
    "LC_ALL": ["C", "POSIX", "tr_TR.UTF-8", "no_SUCH.UTF-8", "en_US.ISO-8859-1"],
    "LC_NUMERIC": ["de_DE.UTF-8"],
    "LANG": ["C", UNSET],
    "TZ": ["Pacific/Kiritimati", "nonsense"],
    # Python
    "PYTHONUTF8": ["0", "1"],
    "PYTHONIOENCODING": ["ascii", "latin-1", "utf-8:strict"],
    "PYTHONCOERCECLOCALE": ["0"],
    "PYTHONOPTIMIZE": ["1"],
    "PYTHONHASHSEED": ["0", "7", "random"],
    "PYTHONWARNINGS": ["error", "default", "ignore", "error::DeprecationWarning"],
    "PYTHONDEVMODE": ["1"],
    "PYTHONUNBUFFERED": ["1"],
    "PYTHONDONTWRITEBYTECODE": ["1"],
    "PYTHONINTMAXSTRDIGITS": ["640"],
    "PYTHONSAFEPATH": ["1"],
    # Threads, PyTorch and libraries
    "OMP_NUM_THREADS": ["1", "2", "0", "many", ""],
    "MKL_NUM_THREADS": ["1", "many"],
    "TOKENIZERS_PARALLELISM": ["true", "false"],
    "TORCH_HOME": ["/proc/nowhere"],
    "TORCH_LOGS": ["+dynamo"],
    "TORCH_SHOW_CPP_STACKTRACES": ["1"],
    "TORCHDYNAMO_DISABLE": ["1"],
    "PYTORCH_CUDA_ALLOC_CONF": ["expandable_segments:True"],
    "CUDA_VISIBLE_DEVICES": ["", "3", "-1"],
    "TQDM_DISABLE": ["1"],
    "NLTK_DATA": ["/nowhere"],
    # Job schedulers
    "SLURM_JOB_ID": ["77"],
    "SLURM_NTASKS": ["4"],
    "SLURM_PROCID": ["2"],
    "LOCAL_RANK": ["1"],
    "MASTER_ADDR": ["nowhere.invalid"],
    "WORLD_SIZE": ["", "1"],
    "RANK": ["0"],
    # Accounts and networks
    "HOME": [UNSET, "/nowhere", ""],
    "USER": [UNSET, ""],
    "LOGNAME": [UNSET],
    "TMPDIR": ["/proc/nowhere", ""],
    "XDG_RUNTIME_DIR": ["/nowhere"],
    "http_proxy": ["http://nowhere.invalid:1"],
    "HTTPS_PROXY": ["not a url"],
    "GIT_DIR": ["/nowhere"],
    "GIT_WORK_TREE": ["/nowhere"],
    "PAGER": ["no-such-pager"],
}
"""Variables and values that they are seen with."""

COSTLY = {"HOME", "MPLCONFIGDIR", "PYTHONDEVMODE", "PYTHONDONTWRITEBYTECODE", "PYTHONOPTIMIZE"}
"""With these Python compiles every library again, or matplotlib looks for all fonts again."""

WORK = """
import sys
from pyro_textvae.cli.main import main
sizes = ["--embedding-dim", "4", "--hidden-dim", "5", "--latent-dim", "2", "--epochs", "1"]
status = main(["train", "--data", "grammar", "--num-sentences", "60", *sizes, "--out", "run"])
sys.exit(status or main(["evaluate", "run", "--num-samples", "10"]))
"""
NUMBERS = ("nll", "nll_standard_error", "elbo", "kl", "ppl", "mutual_information", "active_units")


NAMELESS = """
import pwd
def getpwuid(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
pwd.getpwuid = getpwuid
"""
"""The user of a container, a number without a name."""


def run(folder, variables, program=WORK):
    """A process in ``folder``, with its own folders for what is kept; None unsets a variable."""
    folders = {"PYRO_TEXTVAE_CACHE": str(folder / "cache"), "PYRO_TEXTVAE_CONFIG": str(folder)}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **folders, **variables}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={name: value for name, value in environment.items() if value is not UNSET},
        capture_output=True,
        timeout=600,
    )


def train_and_evaluate(folder, variables, program=WORK):
    """What a process of this environment writes: its metrics and the numbers of its evaluation."""
    done = run(folder, variables, program)
    told = f"{variables}\n{done.stderr.decode(errors='replace')[-3000:]}"
    assert done.returncode == 0, told
    assert b"Traceback" not in done.stderr, told
    return written(folder)


def written(folder):
    evaluation = json.loads((folder / "run" / "evaluation.json").read_text(encoding="utf-8"))
    metrics = (folder / "run" / "metrics.jsonl").read_bytes()
    return metrics, {name: evaluation[name] for name in NUMBERS}


def drawn_environment(seed, size, leave_out=frozenset()):
    """``size`` of the variables, each with one of its values."""
    generator = random.Random(seed)
    names = generator.sample(sorted(LEFT_BEHIND.keys() - leave_out), size)
    return {name: generator.choice(LEFT_BEHIND[name]) for name in names}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What this process writes, whatever its environment."""
    folder = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYRO_TEXTVAE_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        with pytest.raises(SystemExit, match="0"):
            exec(WORK, {})
    return written(folder)


def test_many_variables_at_once(tmp_path, expected):
    assert train_and_evaluate(tmp_path, drawn_environment(0, 30, COSTLY)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_many_variables_of_all_kinds_at_once(tmp_path, expected, seed):
    assert train_and_evaluate(tmp_path, drawn_environment(seed, 30)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 40))
def test_any_variables(tmp_path, expected, seed):
    assert train_and_evaluate(tmp_path, drawn_environment(seed, 12)) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in LEFT_BEHIND.items() for value in values]
)
def test_each_variable_alone(tmp_path, expected, name, value):
    assert train_and_evaluate(tmp_path, {name: value}) == expected


def test_python_without_docstrings_is_refused_in_one_line(tmp_path):
    done = run(tmp_path, {"PYTHONOPTIMIZE": "2"})
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 2
    assert line.endswith("unset PYTHONOPTIMIZE or set it to 1, and leave out -OO")


@pytest.mark.slow
def test_user_without_a_name(tmp_path, expected):
    variables = {"HOME": UNSET, "USER": UNSET, "LOGNAME": UNSET, "NLTK_DATA": str(tmp_path)}
    assert train_and_evaluate(tmp_path, variables, NAMELESS + WORK) == expected
