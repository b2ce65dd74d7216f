# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Pairs that were trained in Python are saved as runs, and loaded as what they were."""

import importlib
import json
import sys
from itertools import zip_longest

import pyro
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.nn import PyroModule

import pyro_textvae as tv
from pyro_textvae import zoo
from pyro_textvae.cli.main import main
from pyro_textvae.config.train import TrainingConfig
from pyro_textvae.errors import UserError
from pyro_textvae.guides import GaussianGuide, VonMisesFisherGuide
from pyro_textvae.infer import BetaELBO
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.models import LanguageModel, SentenceVAE
from pyro_textvae.nn import GRUEncoder, LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal, UniformSphere
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.arguments import size_told
from pyro_textvae.training import Trainer
from tests.guides_of_sentences import GUIDES_OF_SENTENCES

WIDTHS = {"embedding_dim": 4, "hidden_dim": 6}
OTHER = {
    "num_layers": 3,
    "num_slots": 3,
    "num_heads": 2,
    "kernel_size": 5,
    "kernel_sizes": (2, 3),
    "injection": "addition",
    "tied_embeddings": True,
    "bidirectional": True,
    "pooling": "mean",
    "num_components": 3,
    "pseudo_length": 4,
    "flow": "affine_coupling",
    "num_flow_layers": 3,
    "num_flow_steps": 3,
    "num_bins": 5,
    "bound": 3.0,
    "flow_hidden_dim": 9,
    "rank": 3,
    "num_posterior_components": 4,
    "word_dropout": 0.25,
    "output_dropout": 0.125,
}
"""Arguments of members of the catalogue, none at its default."""
PAIRED = {"power_spherical": "uniform_sphere", "von_mises_fisher": "uniform_sphere"}
MINE = """\
import pyro
from pyro.nn import PyroModule


class Mine(PyroModule):
    def __init__(self, prior, decoder, power):
        super().__init__("model")
        self.prior, self.decoder{keep} = prior, decoder{value}

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.decoder(z ** self.exponent), obs=tokens)
"""


@pytest.fixture(scope="module")
def corpus():
    return tv.load_corpus("grammar", num_sentences=60)


def pair_of(corpus, model_class=SentenceVAE, **further):
    """A pair of random weights; what the encoder has otherwise than the decoder is an option."""
    vocab_size, max_length = len(corpus.tokenizer), corpus.max_length
    decoder = LSTMDecoder(vocab_size, **WIDTHS, latent_dim=2, max_length=max_length, num_layers=2)
    encoder = GRUEncoder(vocab_size, 5, 7, bidirectional=True)
    model = model_class(prior=StandardNormal(2), decoder=decoder, **further)
    return model, GaussianGuide(encoder=encoder, latent_dim=2)


def scores(model, guide, corpus):
    batch = corpus.test.batch([0, 1, 2])
    with evaluation_mode(model, guide, seed=0):
        guided = pyro.poutine.trace(guide).get_trace(**batch)
        trace = pyro.poutine.trace(pyro.poutine.replay(model, trace=guided)).get_trace(**batch)
        return trace.log_prob_sum() - guided.log_prob_sum()


def assert_loads(folder, model, guide, corpus):
    loaded_model, loaded_guide, tokenizer = tv.load_run(folder)
    assert tokenizer == corpus.tokenizer
    assert scores(loaded_model, loaded_guide, corpus) == scores(model, guide, corpus)


def command(capsys, *arguments):
    capsys.readouterr()
    status = main([str(argument) for argument in arguments])
    return status, *capsys.readouterr()


def test_pair_trained_by_svi_is_a_run_for_every_command(tmp_path, corpus, capsys):
    run = tmp_path / "new" / "run"
    model, guide = pair_of(corpus)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
    with pyro.get_param_store().scope():
        svi.step(**corpus.train.batch([0, 1]))
    tv.save_run(run, model, guide, corpus.tokenizer, corpus=corpus, objective=Trace_ELBO(2))
    assert_loads(run, model, guide, corpus)
    settings = json.loads((run / "config.json").read_text())["settings"]
    assert settings["objective"] == "pyro.infer:Trace_ELBO"
    assert "learning_rate" not in settings

    for arguments in (
        ["evaluate", run, "--num-samples", "20", "--proposal", "guide"],
        ["sample", run, "--size", "2"],
    ):
        assert command(capsys, *arguments)[0] == 0
    assert command(capsys, "reconstruct", run)[0] == 0
    assert (run / "evaluation.json").is_file()
    status, _, err = command(capsys, "train", "--resume", run)
    assert status == 2
    assert err.endswith("in Python, and save them again\n")

    with pytest.raises(UserError, match="already holds a run"):
        tv.save_run(run, model, guide, corpus.tokenizer, corpus=corpus)
    other = pair_of(corpus)
    tv.save_run(run, *other, corpus.tokenizer, corpus=corpus, overwrite=True)
    assert_loads(run, *other, corpus)
    assert not (run / "evaluation.json").exists()
    again = ["train", "--config", run / "config.yaml", "--out", tmp_path / "again"]
    assert command(capsys, *again, "--epochs", "1")[0] == 0


def test_without_a_corpus_the_text_must_be_given(tmp_path, corpus, capsys):
    run, text = tmp_path / "run", tmp_path / "text.txt"
    model, guide = pair_of(corpus)
    tv.save_run(run, model, guide, corpus.tokenizer)
    assert_loads(run, model, guide, corpus)
    assert command(capsys, "sample", run, "--size", "2")[0] == 0
    status, _, err = command(capsys, "evaluate", run, "--num-samples", "20", "--proposal", "guide")
    assert status == 2
    assert "was saved without a corpus: give the text (evaluate --data TEXT" in err
    text.write_text("".join(corpus.tokenizer.decode(row) + "\n" for row in list(corpus.test)))
    status, out, _ = command(
        capsys, "evaluate", run, "--num-samples", "20", "--proposal", "guide", "--data", text
    )
    assert (status, "nll, K = 20" in out) == (0, True)


def test_tokenizer_that_load_corpus_was_given_encodes_the_text_again(tmp_path, corpus, capsys):
    again = tv.load_corpus("grammar", tokenizer=corpus.tokenizer, num_sentences=60)
    tv.save_run(tmp_path / "run", *pair_of(again), again.tokenizer, corpus=again)
    assert (
        command(capsys, "evaluate", tmp_path / "run", "--num-samples", "20", "--proposal", "guide")[
            0
        ]
        == 0
    )
    other = tv.load_corpus("grammar", num_sentences=60, seed=1)
    with pytest.raises(UserError, match="cannot be loaded again as it is .* without seed="):
        tv.save_run(tmp_path / "other", *pair_of(other), other.tokenizer, corpus=other)
    assert not (tmp_path / "other").exists()


def test_trainer_makes_a_folder_that_becomes_a_run_with_its_weights_and_metrics(tmp_path, corpus):
    folder = RunFolder(tmp_path / "new" / "run")
    model, guide = pair_of(corpus)
    config = TrainingConfig(epochs=2, device="cpu", learning_rate=1.0)
    Trainer(model, guide, BetaELBO(), corpus, config, folder, report=lambda line: None).fit()
    weights, metrics = folder.weights.read_bytes(), folder.metrics.read_bytes()
    tv.save_run(folder, model, guide, corpus.tokenizer, corpus=corpus, config=config)
    assert (folder.weights.read_bytes(), folder.metrics.read_bytes()) == (weights, metrics)
    tv.load_run(folder)
    assert folder.read_settings().learning_rate == 1.0

    folder = RunFolder(tmp_path / "another")
    Trainer(model, guide, BetaELBO(), corpus, config, folder, report=lambda line: None).fit()
    with torch.no_grad():
        guide.loc.bias.add_(1.0)
    with pytest.raises(UserError, match="holds the training of other weights than these"):
        tv.save_run(folder, model, guide, corpus.tokenizer, corpus=corpus)
    assert not folder.is_run()


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of the user's own, mine.py, imported as Python imports it."""

    def write(**parts):
        (tmp_path / "mine.py").write_text(MINE.format(**parts))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "mine", raising=False)
        return importlib.import_module("mine").Mine

    yield write
    sys.modules.pop("mine", None)


def test_class_of_a_users_file_stays_with_the_run(tmp_path, corpus, mine):
    cls = mine(keep=", self.power, self.exponent", value=", power, power")
    model, guide = pair_of(corpus, cls, power=3)
    tv.save_run(tmp_path / "run", model, guide, corpus.tokenizer, corpus=corpus)
    (tmp_path / "mine.py").unlink()
    assert (tmp_path / "run" / "source" / "model" / "mine.py").is_file()
    assert_loads(tmp_path / "run", model, guide, corpus)


def test_argument_that_no_attribute_tells_must_be_given(tmp_path, corpus, mine):
    cls = mine(keep=", self.exponent", value=", power")
    model, guide = pair_of(corpus, cls, power=3)
    with pytest.raises(UserError, match=r"Mine does not tell .* keep it as self\.power, or give"):
        tv.save_run(tmp_path / "run", model, guide, corpus.tokenizer, corpus=corpus)
    with pytest.raises(UserError, match=r"another pair: log p at 'x' of the model is -"):
        tv.save_run(
            tmp_path / "run", model, guide, corpus.tokenizer, corpus=corpus, options={"power": 2}
        )
    assert not (tmp_path / "run").exists()
    tv.save_run(tmp_path / "run", model, guide, corpus.tokenizer, options={"power": 3})
    assert_loads(tmp_path / "run", model, guide, corpus)


def test_default_that_was_not_kept_is_asked_for(tmp_path, corpus):
    model, guide = pair_of(corpus)
    model.prior, decoder = UniformSphere(2), model.decoder
    guide = VonMisesFisherGuide(LSTMEncoder(decoder.vocab_size, **WIDTHS), 2, concentration=5.0)
    with pytest.raises(UserError, match=r"no attribute tells .*concentration of VonMisesFisher"):
        tv.save_run(tmp_path / "run", model, guide, corpus.tokenizer)
    tv.save_run(tmp_path / "run", model, guide, corpus.tokenizer, options={"concentration": 5.0})
    assert tv.load_run(tmp_path / "run")[1].fixed_concentration == 5.0


class OfANotebook(SentenceVAE):
    pass


OfANotebook.__module__ = "__main__"


def test_classes_that_no_run_can_load_are_refused(tmp_path, corpus):
    class Local(SentenceVAE):
        pass

    for cls, message in (
        (
            OfANotebook,
            r"is running, a notebook .*: move it into a file of its own, such as mine\.py",
        ),
        (Local, "no run can load .*Local: define it there, not inside of a function"),
    ):
        with pytest.raises(UserError, match=message):
            tv.save_run(tmp_path / "run", *pair_of(corpus, cls), corpus.tokenizer, corpus=corpus)
    assert not (tmp_path / "run").exists()


def test_what_does_not_belong_together_is_refused(tmp_path, corpus):
    model, guide = pair_of(corpus)
    words = tv.load_corpus("grammar", tokenizer="character", num_sentences=60)
    for tokenizer, changes, message in (
        (words.tokenizer, {}, r"the tokenizer has \d+ tokens, model and guide were built for"),
        (words.tokenizer, {"corpus": corpus}, "is not that of the corpus"),
        (corpus.tokenizer, {"max_length": 3}, "max_length=3 is not that of the decoder"),
        (corpus.tokenizer, {"options": {"num_layer": 2}}, "'num_layer' is taken by no part"),
    ):
        with pytest.raises(UserError, match=message):
            tv.save_run(tmp_path / "run", model, guide, tokenizer, **changes)
    model, guide = model.double(), guide.double()
    with pytest.raises(UserError, match=r"is float64 and would be float32: call \.float"):
        tv.save_run(tmp_path / "run", model, guide, corpus.tokenizer)
    assert not (tmp_path / "run").exists()


def test_parts_of_different_sizes_are_named_from_the_smallest():
    parts = {"model": torch.nn.Linear(2, 2), "guide": torch.nn.Linear(2, 2)}
    for part, size in zip(parts.values(), (16, 3), strict=True):
        part.latent_dim = size
    with pytest.raises(UserError, match=r"parts of different latent_dim: \[3, 16\]"):
        size_told(parts, "latent_dim")


class Reply(PyroModule):
    """Conditioned on a source, without which it says nothing."""

    def __init__(self, prior, decoder):
        super().__init__("model")
        self.prior, self.decoder = prior, decoder

    def forward(self, source, tokens=None):
        with pyro.plate("data", len(source)):
            z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.decoder(z + source[:, :1]), obs=tokens)


def test_conditional_model_needs_its_corpus(tmp_path, corpus):
    with pytest.raises(UserError, match="needs the field 'source' .*; give corpus="):
        tv.save_run(tmp_path / "run", *pair_of(corpus, Reply), corpus.tokenizer)


TRIPLES = list(
    zip_longest(GUIDES_OF_SENTENCES, *(zoo.names(kind) for kind in ("decoders", "encoders")))
)


@pytest.mark.parametrize(("guide_name", "decoder_name", "encoder_name"), TRIPLES)
def test_members_of_the_catalogue_tell_what_they_were_built_with(
    guide_name, decoder_name, encoder_name, tmp_path, corpus
):
    priors = [
        name
        for name in zoo.names("priors")
        if name not in ("uniform_sphere", "product_space", "vamp_prior")
    ]
    place = GUIDES_OF_SENTENCES.index(guide_name)
    default = "product_space" if guide_name == "product_space" else priors[place % len(priors)]
    if guide_name == "gaussian":
        default = "vamp_prior"
    values = {
        "vocab_size": len(corpus.tokenizer),
        "max_length": corpus.max_length,
        "latent_dim": 4,
        **WIDTHS,
        **OTHER,
    }
    parts = {
        "prior": zoo.build(zoo.load("priors", PAIRED.get(guide_name, default)), values),
        "decoder": zoo.build(zoo.load("decoders", decoder_name or "gru"), values),
        "encoder": zoo.build(zoo.load("encoders", encoder_name or "cnn"), values),
    }
    model = SentenceVAE(prior=parts["prior"], decoder=parts["decoder"])
    if guide_name == "empty":
        model = LanguageModel(zoo.build(zoo.load("decoders", "gru"), {**values, "latent_dim": 0}))
    guide = zoo.build(zoo.load("guides", guide_name), {**values, **parts})
    if hasattr(parts["prior"], "tie"):
        parts["prior"].tie(guide)
    tv.save_run(tmp_path / "run", model, guide, corpus.tokenizer)
    assert_loads(tmp_path / "run", model, guide, corpus)
    loaded, _, _ = tv.load_run(tmp_path / "run")
    assert loaded.decoder.output_dropout.p == 0.125
