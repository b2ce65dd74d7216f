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
from pyro_textvae.training import Callback
from tests.estimator.animals import ANIMALS, TEXTS, TINY, VALID


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


@pytest.mark.parametrize("name", [".", "nothing"])
def test_what_is_no_run_is_named_as_on_the_command_line(tmp_path, capsys, name):
    folder = tmp_path / name
    with pytest.raises(UserError, match=str(folder)) as refused:
        TextVAE.load(folder)
    assert main(["sample", str(folder)]) == 2
    assert capsys.readouterr().err == f"pyro-textvae: error: {refused.value}\n"


def test_saved_evaluated_and_reported(vae, tmp_path, capsys):
    vae = TextVAE.load(vae.folder)
    vae.save(tmp_path / "run")
    with pytest.raises(UserError, match="overwrite"):
        vae.save(tmp_path / "run")
    result = vae.evaluate(num_samples=5, proposal="guide")
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["nll"] == result["nll"]
    assert main(["sample", str(tmp_path / "run"), "--size", "2"]) == 0
    assert vae.report().read_text().startswith("<!DOCTYPE html>")


def interrupting(at):
    """A callback that presses Ctrl-C at one of its calls."""

    class Interrupts(Callback):
        def on_log(self, trainer, metrics):
            self.press(metrics["kind"])

        def on_epoch_end(self, trainer, metrics):
            self.press(metrics["kind"])

        def press(self, now):
            if now == at:
                raise KeyboardInterrupt

    return Interrupts()


@pytest.mark.parametrize("at", ["step", "epoch"])
def test_interrupted_training_goes_on(cache, tmp_path, at):
    """It is usable, and resumed it is as if it had not been stopped."""
    settings = {**TINY, "epochs": 2, "log_every": 1}
    whole = TextVAE(**settings).fit(TEXTS, valid=VALID, report=None)
    said = []
    stopped = TextVAE(**settings).fit(
        TEXTS,
        valid=VALID,
        out=tmp_path / "run",
        callbacks=[interrupting(at)],
        report=said.append,
    )
    assert said[-1].startswith("stopped")
    assert ("weights of step 0: no epoch was finished" in said[-1]) is (at == "step")
    assert len(stopped.sample(2)) == 2
    assert main(["sample", str(tmp_path / "run"), "--size=2"]) == 0
    stopped.resume(report=None)
    assert stopped.history == whole.history
    for name, value in whole.model.state_dict().items():
        assert torch.equal(stopped.model.state_dict()[name], value)
    stopped.resume(3, callbacks=[interrupting("epoch")], report=None)
    assert len(stopped.history) == 3


def test_interrupted_before_it_begins(vae, tmp_path):
    """Nothing of the run that would have been replaced is taken for the new one."""
    vae = TextVAE.load(vae.folder)
    vae.save(tmp_path / "run")
    new = TextVAE(**TINY, epochs=1)

    said = []

    def stop(line):
        said.append(line)
        if len(said) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        new.fit(TEXTS, out=tmp_path / "run", overwrite=True, report=stop)
    with pytest.raises(UserError, match="not fitted"):
        new.sample()
    assert len(TextVAE.load(tmp_path / "run").history) == 2


def test_saved_over_itself_it_stays(vae, tmp_path):
    vae = TextVAE.load(vae.folder)
    vae.save(tmp_path / "run")
    (tmp_path / "run" / "notes.txt").write_text("mine")
    vae.save(tmp_path / "run", overwrite=True)
    assert len(vae.history) == 2
    other = TextVAE.load(vae.folder)
    other.save(tmp_path / "other")
    other.save(tmp_path / "run", overwrite=True)
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
    assert len(other.sample(1)) == 1


def test_code_of_a_loaded_run_is_not_trusted_by_what_it_does_later(cache, tmp_path, monkeypatch):
    """A source of text is not read by ``load``, and so not trusted by it."""
    monkeypatch.setenv("PYRO_TEXTVAE_CONFIG", str(tmp_path / "settings"))
    source = tmp_path / "mine.py"
    source.write_text(
        "class Mine:\n    name = 'mine'\n    def digest(self):\n        return 'd'\n"
        "    def records(self):\n        from pyro_textvae.data import Record\n"
        f"        for n, text in enumerate({TEXTS!r}):\n"
        "            yield Record(('train', 'valid', 'test')[n % 3], text, str(n))\n"
    )
    made = TextVAE(**TINY, epochs=1).fit(f"{source}:Mine", report=None)
    made.save(tmp_path / "run")
    monkeypatch.setenv("PYRO_TEXTVAE_CONFIG", str(tmp_path / "another user"))
    loaded = TextVAE.load(tmp_path / "run")
    loaded.save(tmp_path / "copy")
    for untrusting in (loaded, TextVAE.load(tmp_path / "copy")):
        with pytest.raises(UserError, match="code from outside the catalogue"):
            untrusting.evaluate(num_samples=5, proposal="guide")
        with pytest.raises(UserError, match="code from outside the catalogue"):
            untrusting.resume(2, report=None)
    assert TextVAE.load(tmp_path / "run", trust_code=True).evaluate(num_samples=5, proposal="guide")


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
