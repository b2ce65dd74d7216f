# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Models in a user's own file: wrong ones are refused, right ones train and stay with the run."""

import json
import re

import pytest
from safetensors.torch import load_file

from pyro_textvae.run_folder import RunFolder

IN_PLATE = """\
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.decoder(z), obs=tokens)
"""

MODEL = """\
import pyro
import torch
from pyro.nn import PyroModule


class MyModel(PyroModule):
    def __init__(self, prior, decoder{parameters}):
        super().__init__("model")
        self.prior, self.decoder = prior, decoder
        self.calls = 0

    def forward(self, tokens=None, *, size=None):
{forward}
"""

OVERFLOWS = (
    """\
        self.calls += self.training
        if self.calls > 8:
            with torch.no_grad():
                self.decoder.token_scores.weight.mul_(1e30).mul_(1e30)
"""
    + IN_PLATE
)


@pytest.fixture
def write_model(tmp_path):
    """Write mine.py, and return what --model takes for its class."""

    def write(text=None, *, forward=IN_PLATE, parameters=""):
        path = tmp_path / "mine.py"
        path.write_text(text or MODEL.format(forward=forward, parameters=parameters))
        return f"{path}:MyModel"

    return write


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class MyModel(:\n", r"cannot import \S+mine\.py: SyntaxError: .*line 1"),
        ("import no_such_module\n", r"cannot import \S+mine\.py: .*'no_such_module'"),
        ("raise RuntimeError('two\\nlines')\n", r"cannot import \S+mine\.py: .*two lines"),
        ("raise SystemExit(3)\n", r"cannot import \S+mine\.py: SystemExit"),
        ("class Other:\n    pass\n", r"mine\.py defines no class 'MyModel'"),
        (
            "class MyModel:\n    pass\n",
            r"mine\.py:MyModel is no model: derive it from torch\.nn\.Module",
        ),
        (
            "import torch\n\n\nclass MyModel(torch.nn.Module):\n    pass\n",
            r"MyModel does not run.*forward",
        ),
        (
            MODEL.format(forward=IN_PLATE, parameters=", colour"),
            r"MyModel needs 'colour', .*: give it in options",
        ),
        (
            MODEL.format(forward=IN_PLATE, parameters="").replace("self.calls = 0", "{}['a']"),
            r"cannot build MyModel: KeyError: 'a'",
        ),
    ],
)
def test_file_without_a_usable_class(check_refused, train, write_model, text, message):
    check_refused(message, *train, "--model", write_model(text))


def test_file_that_is_not_there(check_refused, train):
    check_refused(r"there is no file nowhere\.py", *train, "--model", "nowhere.py:MyModel")


def test_file_with_two_classes_and_none_named(check_refused, train, tmp_path):
    (tmp_path / "two.py").write_text("class One:\n    pass\n\n\nclass Two:\n    pass\n")
    check_refused(
        r"two\.py must define one public class, found One, Two: say which", *train, "--model=two.py"
    )


@pytest.mark.parametrize("guide", [[], ["--guide", "gaussian"]])
@pytest.mark.parametrize(
    ("forward", "message"),
    [
        pytest.param(
            IN_PLATE.replace('"z"', '"w"'),
            r"latent sites are w, the guide's z: .*choose another --guide or rename the sites",
            id="other latent name",
        ),
        pytest.param(
            '        z = pyro.sample("z", self.prior())\n'
            '        return pyro.sample("x", self.decoder(z), obs=tokens)\n',
            r"model site 'z' is outside the plate 'data': open it with pyro\.plate",
            id="no plate",
        ),
        pytest.param(
            IN_PLATE.replace('"x"', '"y"'), r"no sample site 'x' for the text", id="no site x"
        ),
        pytest.param(
            IN_PLATE.replace("decoder(z)", "decoder(z[..., :1])"),
            r"got z of size 1(?!.*Trace Shapes)",
            id="wrong width",
        ),
        pytest.param("        {}['a']\n" + IN_PLATE, r"KeyError: 'a'", id="error of its own"),
    ],
)
def test_model_that_breaks_the_contract(check_refused, train, write_model, forward, message, guide):
    check_refused(message, *train, "--model", write_model(forward=forward), *guide)


def test_loss_that_is_not_finite(cli, succeeds, train, write_model, new, tmp_path):
    settings = [*train, "--model", write_model(forward=OVERFLOWS), "--batch-size", "8"]
    succeeds(*settings, "--out", tmp_path / "one_epoch")
    status, _, err = cli(*settings, "--epochs", "9")
    assert status == 2
    assert err.count("\n") == 1
    for part in (
        r"loss (nan|inf) at step [5-8] \(epoch 2, batch [1-4], training sentences \[\d+, ",
        r"parameter .*: model\.decoder\.token_scores\.weight; ",
        r"new/state/last\.pt: try a smaller --learning-rate",
    ):
        assert re.search(part, err), err

    state = RunFolder(new).load_state()
    assert state["progress"]["epoch"] == 1
    assert all(value.isfinite().all() for value in state["modules"].values())
    kept = load_file(new / "model.safetensors")
    for name, value in load_file(tmp_path / "one_epoch" / "model.safetensors").items():
        assert kept[name].equal(value)
    succeeds("sample", new)


def test_validation_bound_that_is_not_finite(cli, train):
    status, _, err = cli(*train, "--learning-rate", "1e30")
    assert status == 2
    assert err.count("\n") == 1
    assert "--learning-rate" in err


def test_own_model_stays_with_its_run(succeeds, train, write_model, new, tmp_path):
    succeeds(*train, "--model", write_model())
    (tmp_path / "mine.py").unlink()
    assert json.loads((new / "config.json").read_text())["specs"]["model"].startswith("source/")
    assert len(succeeds("sample", new, "--size", "3").splitlines()) == 3
    assert "2 epochs" in succeeds("train", "--resume", new, "--epochs", "2")


def test_overwrite_with_the_runs_own_copy_of_a_model(succeeds, train, write_model, new):
    succeeds(*train, "--model", write_model())
    copy = new / "source" / "model" / "mine.py"
    succeeds(*train, "--model", f"{copy}:MyModel", "--overwrite")
    assert copy.is_file()
    succeeds("sample", new)
