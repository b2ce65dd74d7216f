# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Programs that are functions, parameters that are statements, and plain modules."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from pyro.nn import PyroModule, PyroParam
from torch import nn
from torch.distributions import constraints

from pyro_textvae.config.train import TrainConfig, TrainingConfig
from pyro_textvae.data import load_corpus
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import information, log_likelihood
from pyro_textvae.infer import IWAE, BetaELBO, FunctionProgram
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.train import train
from pyro_textvae.testing import ContractError, check_guide, check_model, check_pair
from pyro_textvae.training import Trainer

LATENT_DIM = 2


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("grammar", num_sentences=60)


def networks(corpus):
    sizes = {"vocab_size": len(corpus.tokenizer), "embedding_dim": 4, "hidden_dim": 5}
    decoder = LSTMDecoder(**sizes, latent_dim=LATENT_DIM, max_length=corpus.max_length)
    return decoder, LSTMEncoder(**sizes)


def functions(corpus, *, announced):
    """A pair of functions around networks that ``pyro.module`` announces, or that they just use."""
    decoder, encoder = networks(corpus)

    def model(tokens=None, *, size=None):
        if announced:
            pyro.module("decoder", decoder)
        scale = pyro.param("prior.scale", torch.ones(LATENT_DIM), constraint=constraints.positive)
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", dist.Normal(0.0 * scale, scale).to_event(1))
            return pyro.sample("x", decoder(z), obs=tokens)

    def guide(tokens):
        if announced:
            pyro.module("encoder", encoder)
        features = encoder(tokens)
        weight = pyro.param("weight", lambda: 0.1 * torch.ones(LATENT_DIM, encoder.output_dim))
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", dist.Normal(features @ weight.T, 0.5).to_event(1))

    return model, guide


def trainer_of(model, guide, corpus, path, objective=None):
    config = TrainingConfig(epochs=1, learning_rate=0.05, device="cpu")
    folder = RunFolder(path)
    folder.path.mkdir()
    objective = objective or BetaELBO()
    return Trainer(model, guide, objective, corpus, config, folder, report=lambda line: None)


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(
    "objective", [BetaELBO(), IWAE(3), Trace_ELBO()], ids=lambda each: type(each).__name__
)
def test_trainer_moves_all_parameters_of_functions(announced, objective, corpus, tmp_path):
    model, guide = functions(corpus, announced=announced)
    trainer = trainer_of(model, guide, corpus, tmp_path / "run", objective)
    before = {name: p.detach().clone() for name, p in trainer.modules.named_parameters()}
    assert {"model.statements.prior/scale", "guide.statements.weight"} <= set(before)
    assert "model.networks.decoder.embedding.weight" in before
    trainer.fit()
    for name, parameter in trainer.modules.named_parameters():
        assert not torch.equal(parameter, before[name]), name


def test_functions_go_on_with_what_was_trained(corpus, tmp_path):
    model, guide = functions(corpus, announced=True)
    trainer = trainer_of(model, guide, corpus, tmp_path / "run")
    trainer.fit()
    (batch,) = corpus.batches("test", shuffle=False)
    of_functions = log_likelihood(model, guide, [batch], 20)
    of_modules = log_likelihood(trainer.model, trainer.guide, [batch], 20)
    assert torch.equal(of_functions.log_px, of_modules.log_px)
    store = pyro.get_param_store()
    assert (store["prior.scale"] != 1.0).all()
    assert BetaELBO().loss(model, guide, **batch) > 0
    assert information(model, guide, [batch]).mutual_information is not None


def test_a_functions_parameters_of_the_store_are_scored(corpus):
    model, guide = functions(corpus, announced=False)
    (batch,) = corpus.batches("test", shuffle=False)
    first = log_likelihood(model, guide, [batch], 20)
    assert not pyro.get_param_store().keys()
    model(size=1)
    pyro.get_param_store()["prior.scale"] = torch.full((LATENT_DIM,), 3.0)
    assert (log_likelihood(model, guide, [batch], 20).log_px != first.log_px).all()


def test_a_module_inside_of_a_handler_is_scored(corpus):
    decoder, encoder = networks(corpus)
    model, guide = Plain(decoder), WithPyroParam(encoder)
    (batch,) = corpus.batches("test", shuffle=False)
    labelled = {**batch, "labels": torch.zeros(len(batch["tokens"]))}
    plain = log_likelihood(model, guide, [batch], 20)
    handled = log_likelihood(pyro.poutine.scale(model, 1.0), guide, [labelled], 20)
    torch.testing.assert_close(plain.nll, handled.nll, rtol=0.05, atol=0)


def test_the_contract_is_checked_of_functions_that_are_given_their_networks(corpus):
    decoder, encoder = networks(corpus)

    def model(tokens=None, *, size=None, decoder):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            zero = next(decoder.parameters()).new_zeros(LATENT_DIM)
            z = pyro.sample("z", dist.Normal(zero, 1.0).to_event(1))
            return pyro.sample("x", decoder(z), obs=tokens)

    def guide(tokens, *, encoder):
        with pyro.plate("data", len(tokens)):
            features = encoder(tokens)
            loc = features @ torch.linspace(-1, 1, 10).reshape(5, LATENT_DIM).to(features.dtype)
            pyro.sample("z", dist.Normal(loc, 0.5).to_event(1))

    program = FunctionProgram(model, {"decoder": decoder})
    check_model(program)
    check_guide(FunctionProgram(guide, {"encoder": encoder}), program)
    with pytest.raises(UserError, match="model refers to the network 'decoder' by name"):
        check_model(functions(corpus, announced=False)[0])


def test_methods_of_one_module_are_programs(corpus, tmp_path):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder, self.encoder = networks(corpus)
            self.loc = nn.Linear(self.encoder.output_dim, LATENT_DIM)

        def model(self, tokens=None, *, size=None):
            with pyro.plate("data", size if tokens is None else len(tokens)):
                z = pyro.sample("z", dist.Normal(torch.zeros(LATENT_DIM), 1.0).to_event(1))
                return pyro.sample("x", self.decoder(z), obs=tokens)

        def guide(self, tokens):
            with pyro.plate("data", len(tokens)):
                pyro.sample("z", dist.Normal(self.loc(self.encoder(tokens)), 0.5).to_event(1))

    vae = Both()
    before = vae.loc.weight.detach().clone()
    trainer_of(vae.model, vae.guide, corpus, tmp_path / "run").fit()
    assert not torch.equal(vae.loc.weight, before)


class WithStatement(PyroModule):
    """A guide with a parameter in Pyro's store."""

    def __init__(self, encoder):
        super().__init__("guide")
        self.encoder = encoder

    def scale(self):
        return pyro.param("scale", torch.tensor(0.5), constraint=constraints.positive)

    def forward(self, tokens):
        loc = self.encoder(tokens)[:, :LATENT_DIM]
        with pyro.plate("data", len(tokens)):
            pyro.sample("z", dist.Normal(loc, self.scale()).to_event(1))


class WithPyroParam(WithStatement):
    """The same, with the parameter in the module."""

    def __init__(self, encoder):
        super().__init__(encoder)
        self.width = PyroParam(torch.tensor(0.5), constraints.positive)

    def scale(self):
        return self.width


class Plain(nn.Module):
    """A model that is a module of torch alone."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", dist.Normal(torch.zeros(LATENT_DIM), 1.0).to_event(1))
            return pyro.sample("x", self.decoder(z), obs=tokens)


def test_a_statement_of_a_module_is_refused_with_what_to_write(corpus, tmp_path):
    decoder, encoder = networks(corpus)
    model, guide = Plain(decoder), WithStatement(encoder)
    reason = r"pyro.param\('scale'\) of WithStatement is .* self.scale = PyroParam"
    with pytest.raises(UserError, match=reason):
        trainer_of(model, guide, corpus, tmp_path / "run")
    with pytest.raises(UserError, match=reason):
        check_pair(model, guide, BetaELBO(), next(corpus.batches("train")))


def test_a_statement_of_a_module_is_refused_by_train(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(STATEMENT)
    with pytest.raises(UserError, match=r"pyro.param\('width'\) of Mine is a parameter of Pyro's"):
        train(settings(file, "Mine"), tmp_path / "run", report=lambda line: None)


def test_pyro_params_and_plain_modules_are_trained(corpus, tmp_path):
    decoder, encoder = networks(corpus)
    guide = WithPyroParam(encoder)
    trainer = trainer_of(Plain(decoder), guide, corpus, tmp_path / "run")
    trainer.fit()
    assert guide.width_unconstrained.item() != pytest.approx(torch.tensor(0.5).log().item())


def settings(file, name):
    return TrainConfig(
        data="grammar",
        num_sentences=60,
        model=f"{file}:{name}",
        embedding_dim=4,
        hidden_dim=5,
        latent_dim=2,
        epochs=1,
        device="cpu",
    )


STATEMENT = """
import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule


class Mine(PyroModule):
    def __init__(self, decoder):
        super().__init__("model")
        self.decoder = decoder

    def forward(self, tokens=None, *, size=None):
        width = pyro.param("width", torch.ones(2))
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", dist.Normal(width, 1.0).to_event(1))
            return pyro.sample("x", self.decoder(z), obs=tokens)
"""
FILE = """
import pyro
import torch

decoder = torch.nn.Linear(2, 3)


def around(tokens=None, *, size=None):
    return decoder(torch.zeros(2))


def factory(vocab_size):
    return torch.nn.Linear(2, vocab_size)


value = 3
"""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("around", "function around refers to 'decoder', a Linear of its file, which all runs"),
        ("factory", "factory is a function without an argument 'tokens', so it is no program"),
        ("value", "defines no class 'value', and no function of that name"),
    ],
)
def test_other_functions_of_a_file_are_refused(name, reason, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    with pytest.raises(UserError, match=reason):
        train(settings(file, name), tmp_path / "run", report=lambda line: None)
    assert not (tmp_path / "run").exists()


def test_what_is_no_program_is_refused():
    with pytest.raises(
        UserError, match="nn.Module or a function of the fields of a batch, got a d"
    ):
        FunctionProgram({})


class OneEachWord(PyroModule):
    """A latent for each place of the batch: as many as it is wide."""

    def __init__(self, decoder=None, size_of_latent=1):
        super().__init__("model")
        self.decoder = decoder

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            total = 0.0
            for place in range(3 if tokens is None else tokens.shape[1]):
                total = total + pyro.sample(
                    f"z_{place}", dist.Normal(torch.zeros(2), 1.0).to_event(1)
                )
            if self.decoder is not None:
                pyro.sample("x", self.decoder(total), obs=tokens)


def test_latents_that_depend_on_the_width_of_a_batch_are_refused_by_name(corpus):
    decoder, _ = networks(corpus)
    model, guide = OneEachWord(decoder), OneEachWord()
    batch = next(corpus.batches("train"))
    assert BetaELBO().loss(model, guide, **batch) > 0
    reason = (
        "latent sites of a sentence alone are z_0, .*, and of its batch z_0, .*width of a batch"
    )
    with pytest.raises(ValueError, match=reason):
        log_likelihood(model, guide, [batch], 10)
    with pytest.raises(ContractError, match="wider by one place of padding: their number must not"):
        check_pair(model, guide, BetaELBO(), batch)


def test_a_latent_that_the_model_enumerates_is_summed_out(corpus):
    decoder, encoder = networks(corpus)

    class Mixture(Plain):
        def forward(self, tokens=None, *, size=None):
            with pyro.plate("data", size if tokens is None else len(tokens)):
                logits = torch.zeros(3)
                infer = {"enumerate": "parallel"}
                c = pyro.sample("c", dist.Categorical(logits=logits), infer=infer)
                loc = torch.stack([c, -c], -1).float()
                z = pyro.sample("z", dist.Normal(loc, 1.0).to_event(1))
                return pyro.sample("x", self.decoder(z), obs=tokens)

    batch = next(corpus.batches("train"))
    model, guide = Mixture(decoder), WithPyroParam(encoder)
    check_pair(model, guide, BetaELBO(), batch)
    assert set(BetaELBO().terms(model, guide, **batch).kl) == {"z"}


def test_the_nearest_name_of_another_site_is_told(corpus):
    decoder, encoder = networks(corpus)

    class Misnamed(WithPyroParam):
        def forward(self, tokens):
            with pyro.plate("data", len(tokens)):
                loc = self.encoder(tokens)[:, :LATENT_DIM]
                pyro.sample("zz", dist.Normal(loc, 1.0).to_event(1))

    batch = next(corpus.batches("train"))
    reason = (
        "latent sites are z, the guide's zz: .* 'zz' of the guide is nearest to 'z' of the model"
    )
    for call in (
        lambda: BetaELBO().loss(Plain(decoder), Misnamed(encoder), **batch),
        lambda: log_likelihood(Plain(decoder), Misnamed(encoder), [batch], 10),
        lambda: check_pair(Plain(decoder), Misnamed(encoder), BetaELBO(), batch),
    ):
        with pytest.raises(ValueError, match=reason):
            call()
