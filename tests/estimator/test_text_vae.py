# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A run as a Python object: as the command line's, and by scikit-learn's conventions."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError as OfScikitLearn
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted

import pyro_textvae
from pyro_textvae import TextVAE
from pyro_textvae.cli.main import main
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import load_corpus
from pyro_textvae.data.given_texts import keep_texts
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.proposals import GuideProposal

ANIMALS = ("cat", "dog", "bird", "fox")
TEXTS = [
    f"the {animal} {verb} in the {place}"
    for animal in ANIMALS
    for verb in ("sat", "ran", "sang", "slept")
    for place in ("mat", "sun", "box")
]
VALID = ["the cat sang in the sun", "the dog ran in the box"]
TINY = {"embedding_dim": 4, "hidden_dim": 5, "latent_dim": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYRO_TEXTVAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def vae(cache):
    """Fitted for two epochs; no test may change it."""
    return TextVAE(**TINY, epochs=2).fit(TEXTS, valid=VALID, report=None)


def test_same_run_as_the_command_lines(vae, tmp_path, capsys):
    data = vae.folder.read_settings().data
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]
    columns = ["--text-column=text", "--epochs=2", f"--out={tmp_path / 'run'}"]
    assert main(["train", f"--data={data}", *arguments, *columns]) == 0
    for name in ("metrics.jsonl", "model.safetensors", "config.yaml"):
        assert (vae.folder.path / name).read_bytes() == (tmp_path / "run" / name).read_bytes()
    loaded = TextVAE.load(tmp_path / "run")
    assert repr(loaded) == repr(vae)
    assert [line["epoch"] for line in loaded.history] == [1, 2]
    np.testing.assert_array_equal(loaded.transform(TEXTS), vae.transform(TEXTS))


def test_likelihoods_are_those_of_the_library(vae):
    result = vae.log_likelihood(TEXTS[:3], num_samples=20, proposal="guide", seed=3)
    tokens = torch.tensor([[*vae.tokenizer.encode(text), 2] for text in TEXTS[:3]])
    expected = log_likelihood(
        vae.model, vae.guide, [{"tokens": tokens}], 20, 3, proposal=GuideProposal()
    )
    assert torch.equal(result.log_px, expected.log_px)
    assert vae.score(TEXTS[:3]) == float(vae.log_likelihood(TEXTS[:3]).log_px.mean())


def test_text_out(vae):
    assert vae.sample(4) == vae.sample(4)
    assert len(set(vae.sample(4, seed=1)) | set(vae.sample(4))) > 4
    z = vae.transform(TEXTS[:2])
    assert vae.inverse_transform(z) == vae.reconstruct(TEXTS[:2])
    walk = vae.interpolate(TEXTS[0], TEXTS[1], steps=3)
    assert [walk[0], walk[-1]] == vae.reconstruct(TEXTS[:2])


def test_in_a_pipeline(cache):
    """Its latents tell which animal, once training has gone on for a while."""
    estimator = TextVAE(**TINY, epochs=1)
    pipeline = make_pipeline(estimator, LogisticRegression())
    labels = [text.split()[1] for text in TEXTS]
    pipeline.fit(TEXTS, labels)
    assert set(pipeline.predict(TEXTS)) <= set(ANIMALS)
    check_is_fitted(estimator)
    copy = clone(estimator)
    assert copy.get_params() == estimator.get_params()
    with pytest.raises(OfScikitLearn):
        check_is_fitted(copy)


def test_settings():
    names = [name for name in inspect.signature(TextVAE).parameters if name != "data"]
    assert set(names) == set(TrainConfig().to_dict()) - {
        "data",
        "text_column",
        "source_column",
        "label_column",
    }
    estimator = TextVAE(latent_dim=3).set_params(epochs=4)
    assert repr(estimator) == "TextVAE(latent_dim=3, epochs=4)"
    assert estimator.get_params()["epochs"] == 4
    with pytest.raises(TypeError, match="no setting 'latent_dims'; did you mean latent_dim"):
        TextVAE(latent_dims=3)
    with pytest.raises(TypeError, match="no setting 'data', which fit takes from its texts"):
        estimator.set_params(data="stdlib")


def test_before_fit():
    for call in (
        lambda vae: vae.transform(TEXTS),
        lambda vae: vae.sample(),
        lambda vae: vae.save("x"),
        lambda vae: vae.history,
    ):
        with pytest.raises(ValueError, match="not fitted: call fit") as raised:
            call(TextVAE())
        assert isinstance(raised.value, AttributeError)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "texts has no text"),
        (iter([]), "an iterator that was used before is empty"),
        (["a cat", None], r"texts\[1\] is None, not a string"),
        (3, "texts must be a list of strings, got 3"),
        (Path("/nowhere/at/all"), "nowhere"),
    ],
)
def test_texts_that_cannot_be_fitted(texts, message):
    with pytest.raises(UserError, match=message):
        TextVAE(**TINY).fit(texts, report=None)


def test_more_that_is_wrong(vae, tmp_path):
    with pytest.raises(UserError, match="there are 48 texts and 1 sources"):
        TextVAE(**TINY).fit(TEXTS, sources=["a"], report=None)
    with pytest.raises(UserError, match="valid goes with a list of texts"):
        TextVAE(**TINY).fit("grammar", valid=VALID, report=None)
    with pytest.raises(UserError, match="latent_dim must be"):
        TextVAE(latent_dim="many").fit(TEXTS, report=None)
    with pytest.raises(UserError, match=r"texts\[1\] has 9 tokens, <eos> counted, and the model"):
        vae.transform([TEXTS[0], "the cat sat in the mat the cat"])
    with pytest.raises(UserError, match=r"texts\[0\] has no word"):
        vae.reconstruct([" "])
    with pytest.raises(UserError, match=r"latents of 'z' have shape \(2,\) each, got \(1, 3\)"):
        vae.decode(np.zeros((1, 3)))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="notes"):
        vae.save(tmp_path / "notes", overwrite=True)
    assert (tmp_path / "notes" / "mine.txt").read_text() == "mine"


def test_saved_evaluated_and_reported(vae, tmp_path, capsys):
    vae = TextVAE.load(vae.folder)
    vae.save(tmp_path / "run")
    with pytest.raises(UserError, match="overwrite"):
        vae.save(tmp_path / "run")
    result = vae.evaluate(num_samples=5, proposal="guide")
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["nll"] == result["nll"]
    assert main(["sample", str(tmp_path / "run"), "--size", "2"]) == 0
    assert vae.report().read_text().startswith("<!DOCTYPE html>")


def test_interrupted_training_goes_on(cache, tmp_path):
    """Stopped after the first epoch it is usable; resumed it is as if it had not been stopped."""

    def stop(line):
        if line.startswith("epoch   1"):
            raise KeyboardInterrupt

    settings = {**TINY, "epochs": 2}
    whole = TextVAE(**settings).fit(TEXTS, valid=VALID, report=None)
    said = []

    def report(line):
        said.append(line)
        stop(line)

    stopped = TextVAE(**settings).fit(
        TEXTS,
        valid=VALID,
        out=tmp_path / "run",
        report=report,
    )
    assert said[-1].startswith("stopped; resume() goes on")
    assert len(stopped.sample(2)) == 2
    stopped.resume(report=None)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(stopped.model.state_dict()[name], value)
    stopped.resume(3, report=None)
    assert len(stopped.history) == 3


def test_sources_and_labels(cache):
    sources = [f"which {text.split()[1]}" for text in TEXTS]
    replies = TextVAE(**TINY, model="conditional_vae", epochs=1)
    replies.fit(TEXTS, sources=sources, report=None)
    assert len(replies.sample(sources=["which cat", "which dog"])) == 2
    z = replies.transform(TEXTS[:2], sources=sources[:2])
    assert len(replies.decode(z, sources=sources[:2])) == 2
    assert replies.log_likelihood(TEXTS[:2], sources=sources[:2]).log_px.shape == (2,)
    corpus = load_corpus(
        keep_texts(TEXTS, labels=[None, *ANIMALS * 11, *ANIMALS[:3]]),
        text_column="text",
        label_column="label",
    )
    assert corpus.label_names == tuple(sorted(ANIMALS))


def test_public_names():
    assert set(dir(pyro_textvae)) >= {"TextVAE", "load_corpus", "load_run", "save_run"}
