# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Auxiliary losses on the command line: found by name or file; a mistake is one line."""

import json

import pytest
import torch

from pyro_textvae import load_run

MINE = """
from pyro_textvae.infer import AuxiliaryLoss


class SizeOfTheLatent(AuxiliaryLoss):
    def __init__(self, latent_dims, power=2.0, *, weight=1.0):
        super().__init__(weight, latent_dims=latent_dims)
        self.power = power

    def forward(self, training_pass):
        return self.latents(training_pass).abs().pow(self.power).sum(-1).mean(0)
"""


@pytest.mark.parametrize(
    ("auxiliaries", "message"),
    [
        ({"bag_of_word": 1}, r"no auxiliary 'bag_of_word'; did you mean 'bag_of_words'\? Known: "),
        ({"length": "much"}, r"auxiliaries\.length must be float or dict, got 'much'"),
        ({"length": -1}, r"length: .*weight must be finite and not negative, got -1"),
        ({"length": {"wieght": 1}}, r"length has no option 'wieght'; .* did you mean 'weight'\?"),
        ({"length": {"max_length": 3}}, r"length has no option 'max_length'"),
        ({"length": {"sites": ["zed"]}}, r"the site 'zed', .* are z; did you mean 'z'\?"),
        ({"attribute_consistency": 1}, r"num_labels must be at least 2, got 0: .*--label-column"),
        ({"length": {"weight": "much"}}, r"length: cannot build Length: .*str"),
        ({"length": None}, r"auxiliaries\.length must be float or dict, got None"),
        ({"length": {"sites": 5}}, r"length: cannot build Length: .*int"),
        ({"pathlib:Path": 1}, r"pathlib:Path is no auxiliary loss: derive it from"),
        ({"missing.py:Loss": 1}, r"there is no file missing\.py"),
    ],
)
def test_auxiliary_that_cannot_be(check_refused, train, auxiliaries, message):
    check_refused(message, *train, "--auxiliaries", json.dumps(auxiliaries))


@pytest.mark.parametrize("flags", ["{1: 0.5}", "{length: {1: 2}}"])
def test_names_are_text(check_refused, train, flags):
    check_refused("must be str, got 1|has no option 1", *train, "--auxiliaries", flags)


def test_model_without_latents(check_refused, train):
    flags = ["--model", "language_model", "--auxiliaries.length", "1"]
    check_refused("length reads latent vectors .*, and has none: leave it out", *train, *flags)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("pyro.infer:Trace_ELBO", r"pyro\.infer:Trace_ELBO takes no auxiliary loss, so length wo"),
        ("wake_sleep", r"'length' trains the guide through its draws, and WakeSleep has no"),
    ],
)
def test_objective_that_cannot_take_it(check_refused, train, objective, message):
    flags = ["--objective", objective, "--num-particles", "2", "--auxiliaries.length", "1"]
    check_refused(message, *train, *flags)


def test_a_loss_of_a_users_own_trains_and_resumes(succeeds, train, new, tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    spec = f"{tmp_path / 'mine.py'}:SizeOfTheLatent"
    auxiliaries = {spec: {"weight": 0.1, "power": 3}, "bag_of_words": 0.5}
    succeeds(*train, "--auxiliaries", json.dumps(auxiliaries))
    rows = [json.loads(line) for line in (new / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["train_auxiliary_SizeOfTheLatent"] > 0
    state = torch.load(new / "state" / "last.pt", weights_only=True)
    assert any("auxiliaries.bag_of_words" in name for name in state["parameters"])
    load_run(new)
    assert "going on" in succeeds("train", "--resume", new, "--epochs", rows[-1]["epoch"] + 1)


BY_LABEL = """
import pyro
from torch import nn
from pyro_textvae.models import SentenceVAE


class ByLabel(SentenceVAE):
    def __init__(self, prior, decoder, latent_dim):
        super().__init__(prior, decoder)
        self.shift = nn.Embedding(3, latent_dim)

    def forward(self, tokens=None, labels=None, *, size=None):
        size = size if labels is None else len(labels)
        with pyro.plate("data", size):
            z = pyro.sample("z", self.prior())
            if labels is not None:
                z = z + self.shift(labels + 1)
            return pyro.sample("x", self.decoder(z), obs=tokens)
"""


def test_labels_are_trained_to_be_recognised(succeeds, train, new, tmp_path):
    (tmp_path / "mine.py").write_text(BY_LABEL)
    rows = [
        f"{word} {end} .\t{mood}"
        for word, mood in (("good", "up"), ("bad", "down"))
        for end in "abcdefghijklmnopqrst"
    ]
    (tmp_path / "moods").mkdir()
    for split in ("train", "valid", "test"):
        text = "\n".join(["text\tmood", *rows, "bare .\t"]) + "\n"
        (tmp_path / "moods" / f"{split}.tsv").write_text(text)
    succeeds(
        *train,
        "--data",
        tmp_path / "moods",
        "--label-column",
        "mood",
        "--model",
        f"{tmp_path / 'mine.py'}:ByLabel",
        "--auxiliaries.attribute_consistency",
        "0.5",
    )
    lines = [json.loads(line) for line in (new / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["train_auxiliary_attribute_consistency"] > 0
