# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import threading

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI
from pyro.nn import PyroModule, PyroParam

from pyro_textvae.config.train import TrainConfig, TrainingConfig
from pyro_textvae.data import load_corpus
from pyro_textvae.evaluation import gradient_signal, information, log_likelihood
from pyro_textvae.evaluation.amortisation import amortisation_gap
from pyro_textvae.evaluation.annealing.bidirectional import bidirectional_check
from pyro_textvae.evaluation.annealing.check import check_with_annealing
from pyro_textvae.evaluation.annealing.path import AnnealingSettings
from pyro_textvae.generation import encode, interpolate, reconstruct, sample
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.infer import BetaELBO, log_weights
from pyro_textvae.infer.isolation import isolated
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs import load_run
from pyro_textvae.runs.train import train
from pyro_textvae.testing import check_guide, check_model, check_pair
from pyro_textvae.training import Trainer


def anneal(model, guide, batch):
    settings = AnnealingSettings(num_chains=2, num_temperatures=3, leapfrog_steps=1)
    likelihood = log_likelihood(model, guide, [batch], 2)
    check_with_annealing(model, guide, [batch], likelihood, settings=settings)
    bidirectional_check(model, guide, 2, settings=settings)


CALLS = {
    "check_model": lambda model, guide, batch: check_model(model),
    "check_guide": lambda model, guide, batch: check_guide(guide, model),
    "check_pair": lambda model, guide, batch: check_pair(model, guide, BetaELBO(), batch),
    "log_weights": lambda model, guide, batch: log_weights(model, guide, batch, 2),
    "log_likelihood": lambda model, guide, batch: log_likelihood(model, guide, [batch], 2),
    "information": lambda model, guide, batch: information(model, guide, [batch]),
    "gradient_signal": lambda model, guide, batch: gradient_signal(
        model, guide, BetaELBO(), batch, num_draws=2
    ),
    "amortisation_gap": lambda model, guide, batch: amortisation_gap(
        model, guide, [{"tokens": batch["tokens"][:1]}], steps=1, num_draws=2
    ),
    "sample": lambda model, guide, batch: sample(model, 2),
    "encode": lambda model, guide, batch: encode(guide, batch),
    "reconstruct": lambda model, guide, batch: reconstruct(model, guide, batch),
    "interpolate": lambda model, guide, batch: interpolate(
        model, guide, {"tokens": batch["tokens"][:2]}, steps=2
    ),
    "annealing": anneal,
}


@pytest.fixture(scope="module")
def loaded_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    sizes = {"embedding_dim": 3, "hidden_dim": 4, "latent_dim": 2}
    config = TrainConfig(
        data="grammar", num_sentences=60, epochs=1, batch_size=32, device="cpu", **sizes
    )
    train(config, path, report=lambda line: None)
    return path


@pytest.fixture(params=["built", "loaded"])
def pair_and_batch(request, pair, tokens):
    if request.param == "built":
        return *pair, {"tokens": tokens}
    model, guide, _ = load_run(request.getfixturevalue("loaded_run"))
    return model, guide, {"tokens": tokens}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_call_leaves_a_parameter_in_the_store(call, pair_and_batch):
    call(*pair_and_batch)
    assert not list(pyro.get_param_store())


def test_svi_trains_the_model_after_all_calls(pair_and_batch):
    model, guide, batch = pair_and_batch
    for call in CALLS.values():
        call(model, guide, batch)
    trained = [*model.parameters(), *guide.parameters()]
    before = [parameter.detach().clone() for parameter in trained]
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.02}), loss=BetaELBO())
    losses = [svi.step(**batch) for _ in range(40)]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
    assert all(not torch.equal(p, old) for p, old in zip(trained, before, strict=True))


def test_a_store_in_use_stays_as_it_was_and_training_goes_on(pair, tokens):
    model, guide = pair
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.02}), loss=BetaELBO())
    svi.step(tokens=tokens)
    before = dict(pyro.get_param_store().named_parameters())
    for call in CALLS.values():
        call(model, guide, {"tokens": tokens})
    after = dict(pyro.get_param_store().named_parameters())
    assert list(before) == list(after)
    assert all(before[name] is after[name] for name in before)
    old = model.decoder.embedding.weight.detach().clone()
    svi.step(tokens=tokens)
    assert not torch.equal(model.decoder.embedding.weight, old)


class Shifted(PyroModule):
    """z ~ N(loc, 1), x ~ N(z, 1), with the guide N(loc, 1) of the same name of its parameter."""

    def __init__(self, loc):
        super().__init__("program")
        self.loc = PyroParam(torch.tensor([loc]))

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", dist.Normal(self.loc, 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=tokens)


def test_parameters_of_another_model_in_the_store_are_not_taken():
    first, second = Shifted(0.0), Shifted(3.0)
    first(size=1)
    with isolated(second):
        second(size=1)
    assert second.loc.item() == 3.0
    assert pyro.param("program.loc").item() == 0.0


def test_a_parameter_outside_the_modules_keeps_its_trained_value():
    class Program(PyroModule):
        def forward(self):
            return pyro.param("scale", torch.tensor(1.0))

    program = Program("program")
    program()
    with torch.no_grad():
        pyro.get_param_store()["scale"] = torch.tensor(5.0)
    with isolated(program):
        assert program().item() == 5.0


def test_a_frozen_parameter_stays_frozen(pair, tokens):
    model, guide = pair
    model.decoder.embedding.weight.requires_grad_(False)
    log_likelihood(model, guide, [{"tokens": tokens}], 2)
    assert not model.decoder.embedding.weight.requires_grad


def test_the_store_is_put_back_after_an_error(pair):
    pyro.param("kept", torch.tensor(1.0))

    def stop():
        with isolated(*pair):
            pyro.param("lost", torch.tensor(1.0))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop()
    assert list(pyro.get_param_store()) == ["kept"]


def test_the_trainer_leaves_no_parameter_in_the_store(tmp_path):
    corpus = load_corpus("grammar", num_sentences=60)
    model, guide = build_for(corpus)
    config = TrainingConfig(epochs=1, device="cpu")
    folder = RunFolder(tmp_path)
    Trainer(model, guide, BetaELBO(), corpus, config, folder, report=lambda line: None).fit()
    assert not list(pyro.get_param_store())


def build_for(corpus):
    sizes = {"vocab_size": len(corpus.tokenizer), "embedding_dim": 3, "hidden_dim": 4}
    decoder = LSTMDecoder(**sizes, latent_dim=2, max_length=corpus.max_length)
    guide = GaussianGuide(encoder=LSTMEncoder(**sizes), latent_dim=2)
    return SentenceVAE(StandardNormal(2), decoder), guide


def test_two_threads_get_the_numbers_of_one(pair, tokens):
    batch = {"tokens": tokens}
    calls = {
        "many": lambda: log_likelihood(*pair, [batch] * 3, 60, seed=1).log_px,
        "few": lambda: log_likelihood(*pair, [batch] * 3, 30, seed=2).log_px,
        "information": lambda: information(*pair, [batch] * 3).unit_variance,
        "text": lambda: sample(pair[0], 40),
    }
    alone = {name: call() for name, call in calls.items()}
    together, errors = {}, []
    start = threading.Barrier(len(calls))

    def run(name, call):
        start.wait()
        try:
            for _ in range(3):
                together[name] = call()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=item) for item in calls.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert all(torch.equal(alone[name], together[name]) for name in calls)
