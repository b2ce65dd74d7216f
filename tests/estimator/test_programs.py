# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Classes, functions and ready programs of a person's own, in the place of names."""

import copy
import sys

import pytest
import torch
from sklearn.base import clone

from pyro_textvae import TextVAE, load_corpus
from pyro_textvae.cli.main import main
from pyro_textvae.data.given_texts import keep_texts
from pyro_textvae.errors import UserError
from pyro_textvae.guides import EmptyGuide, GaussianGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal
from tests.estimator.animals import TEXTS, TINY, VALID

MINE = """
import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn


class LearnedPriorVAE(PyroModule):
    def __init__(self, decoder, latent_dim, spread=1.0):
        super().__init__("model")
        self.decoder = decoder
        self.latent_dim = latent_dim
        self.spread = spread
        self.loc = nn.Parameter(torch.zeros(latent_dim))

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", dist.Normal(self.loc, self.spread).to_event(1))
            return pyro.sample("x", self.decoder(z), obs=tokens)
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine_of_estimator.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    import mine_of_estimator

    yield mine_of_estimator
    del sys.modules["mine_of_estimator"]


def parts(corpus, latent_dim=2, hidden_dim=5):
    sizes = {"vocab_size": len(corpus.tokenizer), "embedding_dim": 4, "hidden_dim": hidden_dim}
    decoder = LSTMDecoder(**sizes, latent_dim=latent_dim, max_length=corpus.max_length)
    return decoder, GaussianGuide(LSTMEncoder(**sizes), latent_dim=latent_dim)


@pytest.fixture
def corpus(cache):
    return load_corpus(keep_texts(TEXTS, valid=VALID), text_column="text")


def test_a_class_is_what_its_file_is(cache, mine, tmp_path):
    by_class = TextVAE(**TINY, model=mine.LearnedPriorVAE, epochs=1)
    assert "model=LearnedPriorVAE" in repr(by_class)
    by_class.fit(TEXTS, valid=VALID, report=None)
    by_file = TextVAE(**TINY, model=tmp_path / "mine_of_estimator.py", epochs=1)
    by_file.fit(TEXTS, valid=VALID, report=None)
    for name, value in by_file.model.state_dict().items():
        assert torch.equal(by_class.model.state_dict()[name], value)
    by_class.save(tmp_path / "run")
    assert main(["sample", str(tmp_path / "run"), "--size", "2"]) == 0
    assert clone(by_class).get_params()["model"] is mine.LearnedPriorVAE


def test_ready_programs_are_trained_as_a_copy_into_a_run(corpus, mine, tmp_path):
    decoder, guide = parts(corpus)
    model = mine.LearnedPriorVAE(decoder, latent_dim=2, spread=0.7)
    with torch.no_grad():
        model.loc += 3.0
    before = copy.deepcopy(model.state_dict())
    vae = TextVAE(model=model, guide=guide, epochs=1, device="cpu", learning_rate=1e-6)
    vae.fit(corpus, out=tmp_path / "run", report=None)
    assert torch.equal(model.state_dict()["loc"], before["loc"])
    # Training began with the weights that were given, which it hardly moved.
    assert (vae.model.loc - 3.0).abs().max() < 0.01
    assert not torch.equal(vae.model.loc, before["loc"])
    assert vae.model.spread == 0.7
    assert vae.folder.read_config()["began_with_given_weights"] is True
    assert main(["train", "--resume", str(tmp_path / "run"), "--epochs", "2"]) == 0
    assert len(TextVAE.load(tmp_path / "run").history) == 2
    assert main(["sample", str(tmp_path / "run"), "--size=1"]) == 0


def test_corpus_with_its_own_tokenizer_goes_on(corpus, cache, tmp_path):
    again = load_corpus(
        keep_texts(TEXTS[:20], valid=VALID), text_column="text", tokenizer=corpus.tokenizer
    )
    vae = TextVAE(**TINY, epochs=1).fit(again, out=tmp_path / "run", report=None)
    assert vae.tokenizer.fingerprint == corpus.tokenizer.fingerprint
    vae.resume(2, report=None)
    assert len(vae.history) == 2


def test_what_cannot_be_saved_is_refused(corpus, mine):
    decoder, guide = parts(corpus)
    model = SentenceVAE(StandardNormal(2), decoder)

    class Inside(SentenceVAE):
        pass

    def fit(**settings):
        TextVAE(**settings, device="cpu", epochs=1).fit(corpus, report=None)

    with pytest.raises(UserError, match="no Inside at its top level, so no run can load"):
        fit(model=Inside)
    with pytest.raises(UserError, match=r"model is a ready program and guide is not.*EmptyGuide"):
        fit(model=model)
    with pytest.raises(UserError, match="guide is a ready program and model is not"):
        fit(guide=EmptyGuide())
    with pytest.raises(UserError, match="hidden_dim=7 is not that of the programs, 5"):
        fit(model=model, guide=guide, hidden_dim=7)
    with pytest.raises(UserError, match="decoder is an object, which is a part"):
        fit(decoder=decoder)
    with pytest.raises(UserError, match=r"max_length=3 is not that of the corpus, None"):
        fit(max_length=3)
    model.extra = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(UserError, match="could not be loaded: .*extra is not there when the pair"):
        fit(model=model, guide=guide)


def test_texts_must_fit_the_programs(corpus, cache):
    decoder, guide = parts(corpus)
    vae = TextVAE(model=SentenceVAE(StandardNormal(2), decoder), guide=guide, device="cpu")
    with pytest.raises(UserError, match="model and guide were built for"):
        vae.fit(["a b", "c d", "e f"], valid=VALID, report=None)
    decoder.max_length = 3
    short = TextVAE(model=SentenceVAE(StandardNormal(2), decoder), guide=guide, device="cpu")
    with pytest.raises(UserError, match="has 7 tokens, <eos> counted, and the model takes 3"):
        short.fit(corpus, report=None)
