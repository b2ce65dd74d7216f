# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
from torch import nn

from pyro_textvae import zoo
from pyro_textvae.errors import UserError
from pyro_textvae.models import SentenceVAE


def test_names_are_the_files_of_the_folder():
    assert {"language_model", "sentence_vae"} <= set(zoo.names("models"))
    assert {"empty", "gaussian"} <= set(zoo.names("guides"))
    assert "lstm" in zoo.names("decoders")
    assert "beta_elbo" in zoo.names("objectives")


@pytest.mark.parametrize("kind", zoo.FOLDERS)
def test_every_member_has_one_public_class(kind):
    for name in zoo.names(kind):
        assert isinstance(zoo.load(kind, name), type)


def test_three_ways_to_name_a_class(tmp_path):
    assert zoo.load("models", "sentence_vae") is SentenceVAE
    assert zoo.load("models", "pyro_textvae.models.sentence_vae:SentenceVAE") is SentenceVAE
    mine = tmp_path / "mine.py"
    mine.write_text("import torch.nn\n\n\nclass Mine(torch.nn.Module):\n    pass\n")
    loaded = zoo.load("models", f"{mine}:Mine")
    assert loaded.__name__ == "Mine"
    assert zoo.load("models", str(mine)) is loaded


def test_an_edited_file_is_another_module(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("import torch.nn\n\n\nclass Mine(torch.nn.Module):\n    number = 1\n")
    first = zoo.load("models", str(mine))
    mine.write_text("import torch.nn\n\n\nclass Mine(torch.nn.Module):\n    number = 2\n")
    assert (first.number, zoo.load("models", str(mine)).number) == (1, 2)


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("models", "sentence_vea", "no model 'sentence_vea'; did you mean 'sentence_vae'"),
        ("models", "no_such.module:Thing", "cannot import 'no_such.module'"),
        ("models", "pyro_textvae.models:Nothing", "defines no class 'Nothing'"),
        ("models", "missing.py:Thing", "there is no file missing.py"),
        ("poems", "sentence_vae", "unknown kind 'poems'"),
    ],
)
def test_what_is_not_there_is_named(kind, spec, message):
    with pytest.raises(UserError, match=message):
        zoo.load(kind, spec)


def test_file_with_two_classes_needs_a_choice(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("class One:\n    pass\n\n\nclass Two:\n    pass\n")
    with pytest.raises(UserError, match="one public class, found One, Two"):
        zoo.load("models", str(mine))


def test_file_that_fails_is_named_and_can_be_fixed(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("class Mine(:\n")
    with pytest.raises(UserError, match="cannot import .*mine.py: SyntaxError"):
        zoo.load("models", str(mine))
    mine.write_text("import torch.nn\n\n\nclass Mine(torch.nn.Module):\n    pass\n")
    assert zoo.load("models", str(mine)).__name__ == "Mine"


class Part(nn.Module):
    def __init__(self, width, depth=2, *, rate=0.0):
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        super().__init__()
        self.values = (width, depth, rate)


def test_build_takes_what_the_signature_names():
    part = zoo.build(Part, {"width": 3, "rate": 0.5, "unrelated": 9})
    assert part.values == (3, 2, 0.5)
    assert zoo.parameters(Part) == ["width", "depth", "rate"]


def test_build_names_what_is_missing_or_refused():
    with pytest.raises(UserError, match="Part needs 'width'"):
        zoo.build(Part, {"depth": 1})
    with pytest.raises(UserError, match="cannot build Part: width must be at least 1, got 0"):
        zoo.build(Part, {"width": 0})


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("models", r"is no model: derive it from torch\.nn\.Module"),
        ("decoders", r"is no decoder: derive it from torch\.nn\.Module"),
        ("objectives", r"is no objective: derive it from pyro\.infer\.ELBO"),
        ("constraints", r"is no KL constraint: derive it from pyro_textvae\.infer\.KLConstraint"),
        ("auxiliaries", r"is no auxiliary loss: derive it from .*\.infer\.AuxiliaryLoss"),
        ("kl_schedules", r"is no KL schedule: derive it from pyro_textvae\.infer\.KLSchedule"),
        ("procedures", r"is no procedure: derive it from pyro_textvae\.training\.Procedure"),
        ("methods", r"is no decoding method: derive it from .*generation\.DecodingMethod"),
        ("metrics", r"is no metric: derive it from pyro_textvae\.assessment\.Metric"),
        ("proposals", r"is no proposal: derive it from .*\.Proposal"),
        ("tokenizers", r"is no tokenizer: derive it from .*\.TokenizerKind"),
    ],
)
def test_a_class_of_another_kind_is_refused(kind, message):
    with pytest.raises(UserError, match=f"collections:Counter {message}"):
        zoo.load(kind, "collections:Counter")
