# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""torch.compile in training: most of it with a backend that runs the graphs as they are."""

import copy
import math

import pytest
import torch

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.runs.load import load_run
from pyro_textvae.runs.train import train
from pyro_textvae.training import compiled_networks as compiled_module

from .procedure_runs import SETTINGS, Killed, kill_before, make_trainer, rows_of, same, values_of

# Without recurrent networks, which torch.compile leaves to PyTorch's own loops.
RUN = {"encoder": "bag_of_words", "decoder": "transformer", "hidden_dim": 8, "epochs": 2}

# torch.compile looks at the gradients of all that it is given.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


@pytest.fixture
def graphs(monkeypatch):
    """The graphs that were compiled: a list, in the place of a real compiler."""
    found = []

    def backend(graph, inputs):
        found.append(graph)
        return graph.forward

    monkeypatch.setattr(compiled_module, "BACKEND", backend)
    torch.compiler.reset()
    yield found
    torch.compiler.reset()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_compiled_run_has_the_numbers_of_the_plain_one(tmp_path, graphs, precision):
    plain = make_trainer(tmp_path / "plain", **RUN, precision=precision)
    plain.fit()
    assert graphs == []
    compiled = make_trainer(tmp_path / "compiled", **RUN, precision=precision, compile=True)
    tried = len(graphs)
    compiled.fit()
    # Encoder and decoder, each for one size and then for any; validation runs none of them, and
    # the second epoch compiles no more.
    assert 2 <= len(graphs) - tried <= 4
    assert compiled.folder.metrics.read_text() == plain.folder.metrics.read_text()
    assert same(values_of(compiled.modules), values_of(plain.modules))


def test_modules_are_their_own_before_and_after(tmp_path, graphs):
    plain = make_trainer(tmp_path / "plain", **RUN)
    compiled = make_trainer(tmp_path / "compiled", **RUN, compile=True)
    assert list(compiled.modules.state_dict()) == list(plain.modules.state_dict())
    compiled.loss_module.train()
    batch = next(iter(compiled.corpus.batches("train", batch_size=4)))
    compiled.update(batch)
    count = len(graphs)
    assert count > 1
    for module in compiled.modules.modules():
        assert not {"forward", "unroll"} & set(module.__dict__)
    twin = copy.deepcopy(compiled.modules)
    compiled.update(batch)
    twin["guide"].encoder.eval()(batch["tokens"])
    assert len(graphs) == count
    assert not same(values_of(twin), values_of(compiled.modules))


def test_compiled_run_killed_and_resumed_is_the_undisturbed_one(tmp_path, graphs):
    settings = {**RUN, "compile": True}
    left_alone = make_trainer(tmp_path / "left alone", **settings)
    left_alone.fit()
    killed = make_trainer(tmp_path / "killed", **settings)
    kill_before(killed, 6)
    with pytest.raises(Killed):
        killed.fit()
    resumed = make_trainer(tmp_path / "killed", **settings)
    resumed.load_state_dict(resumed.folder.load_state())
    resumed.fit()
    assert resumed.folder.metrics.read_text() == left_alone.folder.metrics.read_text()
    assert same(values_of(resumed.modules), values_of(left_alone.modules))


def test_saved_run_is_loaded_without_compiling(tmp_path, graphs):
    config = TrainConfig(**SETTINGS | RUN | {"epochs": 1, "compile": True})
    train(config, tmp_path / "run", report=lambda line: None)
    count = len(graphs)
    model, guide, _ = load_run(tmp_path / "run")
    guide(torch.tensor([[4, 5, 2]]))
    assert count > 0
    assert len(graphs) == count


def test_second_derivatives_go_without_what_was_compiled(tmp_path, monkeypatch):
    """Such as inductor's, which this backend stands for: neither has a second derivative."""
    monkeypatch.setattr(compiled_module, "BACKEND", "aot_eager")
    settings = {"objective": "semi_amortised_elbo", "decoder": "gru", "compile": True}
    trainer = make_trainer(tmp_path, epochs=1, options={"num_steps": 1}, **settings)
    trainer.fit()
    assert trainer.progress.best_bound < math.inf


def test_without_a_compiler_nothing_is_begun(tmp_path, monkeypatch):
    def broken(graph, inputs):
        raise FileNotFoundError("no g++ here")

    monkeypatch.setattr(compiled_module, "BACKEND", broken)
    config = TrainConfig(**SETTINGS | RUN | {"compile": True})
    with pytest.raises(
        UserError, match=r"compile needs a C\+\+ compiler, .*no g\+\+ here"
    ) as error:
        train(config, tmp_path / "run", report=lambda line: None)
    assert "train without --compile" in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize("networks", [RUN, {"epochs": 2}], ids=["transformer", "lstm"])
def test_compiled_by_inductor_the_loss_is_the_same_up_to_rounding(tmp_path, networks):
    """Without dropout, whose random numbers another compiler draws otherwise."""
    exact = {"embedding_dropout": 0.0, "output_dropout": 0.0}
    if networks is RUN:
        exact["options"] = {"layer_dropout": 0.0}
    losses = []
    for name, compiled in (("plain", False), ("compiled", True)):
        trainer = make_trainer(tmp_path / name, **networks, **exact, compile=compiled)
        trainer.fit()
        losses.append([row["train_loss"] for row in rows_of(trainer)])
    # A few hundred roundings of float32, each of 6e-8, over eight steps.
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.slow
def test_compiled_run_on_a_gpu(tmp_path):
    trainer = make_trainer(tmp_path, **RUN, device="cuda", compile=True, precision="bfloat16")
    trainer.fit()
    first, last = rows_of(trainer)
    assert last["train_loss"] < first["train_loss"]
