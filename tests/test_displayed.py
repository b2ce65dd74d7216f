# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What objects say of themselves."""

import importlib
import inspect
import json
import math
import pkgutil
import sys
import types

import numpy as np
import pytest
import torch

import pyro_textvae
from pyro_textvae import load_corpus
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data.given_texts import keep_texts
from pyro_textvae.displayed import MOST_LINES, Displayed, Numbers, in_words, lines_of, table_of
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal
from pyro_textvae.run_folder import RunFolder


def is_result(member):
    """A public data class of what was found out, with more to it than three lines of numbers."""
    return inspect.isclass(member) and issubclass(member, Displayed)


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("grammar", num_sentences=60)


@pytest.fixture(scope="module")
def likelihood(corpus):
    torch.manual_seed(0)
    sizes = {"vocab_size": len(corpus.tokenizer), "embedding_dim": 4, "hidden_dim": 5}
    decoder = LSTMDecoder(**sizes, latent_dim=2, max_length=corpus.max_length)
    model = SentenceVAE(StandardNormal(2), decoder)
    guide = GaussianGuide(LSTMEncoder(**sizes), latent_dim=2)
    return log_likelihood(model, guide, corpus.batches("test", shuffle=False), num_samples=20)


def test_likelihood_in_a_dozen_lines_and_in_full(likelihood):
    lines = repr(likelihood).splitlines()
    assert len(lines) <= MOST_LINES
    assert lines[0] == "LogLikelihood"
    assert "nll       " in repr(likelihood)
    assert f"{likelihood.nll:.3f} +- " in lines[1]
    full = json.loads(json.dumps(likelihood.to_dict()))
    assert full["nll"] == likelihood.nll
    assert full["sentences"]["log_px"] == likelihood.log_px.tolist()


def test_no_result_prints_more_than_a_dozen_lines():
    """Whatever a field holds, and by its own ``repr`` alone."""
    names = [m.name for m in pkgutil.walk_packages(pyro_textvae.__path__, "pyro_textvae.")]
    names = [n for n in names if n.split(".")[1] in ("evaluation", "runs", "compression", "config")]
    classes = set()
    for name in names:
        module = importlib.import_module(name)
        classes |= {cls for _, cls in inspect.getmembers(module, is_result)}
    assert len(classes) > 15
    for cls in classes - {Displayed, Numbers}:
        assert "__repr__" not in vars(cls), f"{cls} is declared without repr=False"


def test_long_results_are_cut_and_markup_is_text():
    many = Numbers({f"number {n}": n for n in range(50)})
    lines = repr(many).splitlines()
    assert len(lines) == MOST_LINES
    assert lines[-1] == "  ... 40 more in to_dict()"
    assert many["number 49"] == 49
    assert many.to_dict() == dict(many)
    page = table_of("<b>", {"<script>": "a & b", "long": "x" * 500})
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "a &amp; b" in page
    assert len(page) < 600


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (1_234_567, "1,234,567"),
        (True, "True"),
        (torch.tensor([1.0, math.nan, 3.0]), "(3,), mean 2, from 1 to 3, 1 not finite"),
        (np.array(2.5), "2.5"),
        (torch.empty(0), "(0,), empty"),
        (b"abc", "3 bytes"),
        (["a"] * 9, "9 entries"),
        ({"a": 1, "b": [2]}, "a 1, b list"),
        ("two\nlines", "two lines"),
    ],
)
def test_values_in_words(value, text):
    assert in_words(value) == text


def test_settings_show_what_is_not_a_default():
    shown = repr(TrainConfig(latent_dim=7, options={"copying": True}))
    assert len(shown.splitlines()) == 4
    assert "latent_dim    7" in shown
    assert "copying True" in shown
    assert "their defaults" in shown.splitlines()[-1]
    assert TrainConfig(latent_dim=7).to_dict()["latent_dim"] == 7


def test_corpus_and_its_splits(corpus):
    assert len(repr(corpus).splitlines()) == 1
    page = corpus._repr_html_()
    assert f"{len(corpus.train):,} sentences" in page
    part = corpus.train[5:15]
    assert len(part) == 10
    assert all(torch.equal(part[i], corpus.train[5 + i]) for i in range(10))
    assert part.lengths.tolist() == corpus.train.lengths[5:15].tolist()
    assert part.lengths_by_field.tolist() == corpus.train.lengths_by_field[5:15].tolist()
    again = part[::-3]
    assert torch.equal(again[1], corpus.train[11])
    assert part.num_tokens == int(part.lengths.sum())
    with pytest.raises(IndexError):
        part[10]
    tokens = part.batch(np.array([9]))["tokens"][0]
    assert torch.equal(tokens, corpus.train[14])


def test_slices_keep_labels_and_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("PYRO_TEXTVAE_CACHE", str(tmp_path))
    texts = [f"number {n}" for n in range(60)]
    labels = [None if n % 3 == 0 else "ab"[n % 2] for n in range(60)]
    corpus = load_corpus(keep_texts(texts, labels=labels), text_column="text", label_column="label")
    part = corpus.train[4:9]
    assert part.labels.tolist() == corpus.train.labels[4:9].tolist()
    assert part.batch(np.arange(5))["labels"].tolist() == part.labels.tolist()


def stand_in_for_pandas(monkeypatch):
    module = types.ModuleType("pandas")
    module.DataFrame = dict
    monkeypatch.setitem(sys.modules, "pandas", module)


def test_to_pandas_has_a_row_a_sentence(corpus, likelihood, monkeypatch):
    stand_in_for_pandas(monkeypatch)
    table = likelihood.to_pandas()
    assert table["log_px"] == likelihood.log_px.tolist()
    assert {len(column) for column in table.values()} == {len(corpus.test)}
    texts = corpus.to_pandas("test")["text"]
    assert texts[0] == corpus.tokenizer.decode(corpus.test[0])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="to_pandas needs pandas: pip install pandas"):
        likelihood.to_pandas()
    with pytest.raises(UserError, match="nothing with rows"):
        TrainConfig().to_pandas()


def test_others():
    assert repr(RunFolder("runs/mine")) == "RunFolder('runs/mine')"
    assert lines_of("Nothing", {}) == "Nothing"
