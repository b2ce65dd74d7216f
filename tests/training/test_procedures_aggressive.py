# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import itertools
import math

import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.errors import UserError
from pyro_textvae.training import Validation
from pyro_textvae.training import trainer as trainer_module
from pyro_textvae.training.procedures import AggressiveEncoder

from .procedure_runs import BATCHES, make_trainer, rows_of, same, values_of


def record_updates(trainer, losses=None):
    """Of every step: which of model and guide moved; its loss, from ``losses`` where given."""
    moved = []
    plain = trainer.update

    def update(batch, parameters=None, part=None):
        before = values_of(trainer.model), values_of(trainer.guide)
        loss = plain(batch, parameters, part)
        after = values_of(trainer.model), values_of(trainer.guide)
        moved.append(
            {n for n, a, b in zip(("model", "guide"), before, after, strict=True) if not same(a, b)}
        )
        return loss if losses is None else next(losses)

    trainer.update = update
    return moved


def script_information(monkeypatch, values):
    """Let the validations find this mutual information, one epoch after the other."""
    plain, scripted = trainer_module.validate, iter(values)

    def validate(*arguments):
        found = plain(*arguments)
        return Validation(found.elbo, found.reconstruction, found.kl, next(scripted))

    monkeypatch.setattr(trainer_module, "validate", validate)


def loop_lengths(moved):
    """Inner steps before each outer one."""
    runs = [(kind, len(list(group))) for kind, group in itertools.groupby(moved, key=sorted)]
    return [length for kind, length in runs if kind == ["guide"]]


def test_guide_alone_moves_in_the_inner_loop_and_model_alone_in_the_outer(tmp_path):
    trainer = make_trainer(tmp_path, AggressiveEncoder(max_inner_steps=3), epochs=1)
    moved = record_updates(trainer)
    trainer.fit()
    assert moved == [{"guide"}, {"guide"}, {"guide"}, {"model"}] * BATCHES
    assert trainer.progress.step == BATCHES
    # What the optimiser knows of the one does not count the steps of the other.
    state = trainer.optimizer.state
    assert {int(state[p]["step"]) for p in trainer.guide.parameters()} == {3 * BATCHES}
    assert {int(state[p]["step"]) for p in trainer.model.parameters()} == {BATCHES}
    assert trainer.objective.step == BATCHES
    (row,) = rows_of(trainer)
    assert (row["aggressive"], row["inner_steps"]) == (True, 3 * BATCHES)


def test_each_part_moves_as_under_an_optimiser_of_its_own(tmp_path):
    """The published code has one Adam for the encoder and one for the decoder."""
    procedure = AggressiveEncoder(max_inner_steps=2)
    trainer = make_trainer(tmp_path / "ours", procedure, epochs=1, clip_norm=1e6)
    trainer.fit()
    twin = make_trainer(tmp_path / "theirs", clip_norm=1e6)
    own = {
        name: torch.optim.Adam(module.parameters(), lr=0.01, fused=True)
        for name, module in (("guide", twin.guide), ("model", twin.model))
    }
    draws = torch.Generator().manual_seed(twin.config.seed)
    plan = twin.corpus.plan("train", batch_size=16, seed=twin.config.seed, epoch=0)

    def step(name, indices):
        batch = twin.corpus.train.batch(indices)
        for optimizer in own.values():
            optimizer.zero_grad()
        (twin.loss_module(**batch) / len(batch["tokens"])).backward()
        own[name].step()

    twin.loss_module.train()
    for indices in plan:
        for _ in range(2):
            step("guide", plan[int(torch.randint(len(plan), (), generator=draws))])
        step("model", indices)
        twin.objective.advance()
    assert same(values_of(trainer.modules), values_of(twin.modules))


def test_inner_loop_ends_at_the_first_window_that_is_worse(tmp_path):
    """Losses per sentence that fall for three windows of two steps and rise in the fourth."""
    procedure = AggressiveEncoder(max_inner_steps=100, inner_window=2)
    trainer = make_trainer(tmp_path, procedure, epochs=1, batch_size=1000)
    falls_and_rises = [9.0, 1.0, 4.0, 5.0, 4.5, 4.0, 4.0, 4.6]
    moved = record_updates(trainer, iter([*falls_and_rises, 7.0]))
    trainer.fit()
    # One batch holds all sentences, so that per sentence and per token have the same order.
    assert moved == [{"guide"}] * 8 + [{"model"}]


def test_equal_windows_go_on_until_the_most_steps(tmp_path):
    procedure = AggressiveEncoder(max_inner_steps=7, inner_window=2)
    trainer = make_trainer(tmp_path, procedure, epochs=1, batch_size=1000)
    moved = record_updates(trainer, itertools.repeat(5.0))
    trainer.fit()
    assert loop_lengths(moved) == [7]


def test_windows_are_compared_by_the_token(tmp_path):
    """The second window is worse by the sentence, better by the token: its sentences are longer."""
    procedure = AggressiveEncoder(max_inner_steps=2, inner_window=1)
    trainer = make_trainer(tmp_path, procedure, epochs=1)
    short, long = sorted(
        map(trainer.corpus.train.batch, trainer.corpus.plan("train", 16)),
        key=lambda batch: (batch["tokens"] != 0).sum() / len(batch["tokens"]),
    )[:: BATCHES - 1]
    per_sentence = [
        loss * int((batch["tokens"] != 0).sum()) / len(batch["tokens"])
        for loss, batch in ((2.0, short), (1.9, long), (1.95, long))
    ]
    assert per_sentence[0] < per_sentence[1]
    procedure.max_inner_steps = 9
    drawn = iter([short, long, long])
    trainer.draw_batch = lambda generator: next(drawn)
    losses = iter(per_sentence)
    trainer.update = lambda batch, parameters: next(losses)
    procedure.before_step(trainer, short)
    assert procedure.inner_steps == 3


def test_inner_batches_are_those_of_the_epoch_drawn_at_random(tmp_path):
    trainer = make_trainer(tmp_path, AggressiveEncoder(max_inner_steps=20, inner_window=20))
    plain, drawn = trainer.draw_batch, []
    trainer.draw_batch = lambda generator: drawn.append(plain(generator)) or drawn[-1]
    kept = make_trainer(tmp_path / "other").corpus.plan("train", batch_size=16, seed=0, epoch=0)
    trainer.plan = kept
    trainer.procedure.before_training(trainer)
    trainer.loss_module.train()
    for _ in range(4):
        trainer.procedure.before_step(trainer, drawn)
    places = {tuple(indices.tolist()): place for place, indices in enumerate(kept)}
    counts = torch.zeros(BATCHES)
    for batch in drawn:
        counts[places[tuple(batch.indices.tolist())]] += 1
    # 80 draws of 4 batches: chi-square with 3 degrees of freedom, 16.3 at 0.1 per cent.
    assert ((counts - 20) ** 2 / 20).sum() < 16.3
    assert [b.indices.tolist() for b in drawn[:20]] != [b.indices.tolist() for b in drawn[20:40]]


@pytest.mark.parametrize(
    ("climb", "aggressive"),
    [
        ([0.5, 0.6, 0.59, 0.9, 1.0], [True, True, True, False, False]),
        # Equal is no fall, and the first epoch has none before it.
        ([-0.1, 0.4, 0.4, 0.3, 0.35], [True, True, True, True, False]),
        ([0.1, 0.2, 0.3, 0.4, 0.5], [True, True, True, True, True]),
    ],
)
def test_it_stops_for_good_when_the_mutual_information_falls(
    tmp_path, monkeypatch, climb, aggressive
):
    script_information(monkeypatch, climb)
    lines = []
    trainer = make_trainer(
        tmp_path, AggressiveEncoder(max_inner_steps=1), epochs=5, report=lines.append
    )
    trainer.fit()
    rows = rows_of(trainer)
    assert [row["aggressive"] for row in rows] == aggressive
    assert [row["inner_steps"] for row in rows] == [BATCHES * on for on in aggressive]
    assert [row["valid_mutual_information"] for row in rows] == climb
    said = [line for line in lines if "mutual information fell" in line]
    assert len(said) == (0 if all(aggressive) else 1)


def test_it_stops_where_the_mutual_information_is_unknown(tmp_path, monkeypatch):
    script_information(monkeypatch, [None, None])
    lines = []
    trainer = make_trainer(
        tmp_path, AggressiveEncoder(max_inner_steps=1), epochs=2, report=lines.append
    )
    trainer.fit()
    assert [row["aggressive"] for row in rows_of(trainer)] == [True, False]
    assert len([line for line in lines if "information of this guide is unknown" in line]) == 1


def test_after_it_stopped_steps_are_those_of_ordinary_training(tmp_path, monkeypatch):
    script_information(monkeypatch, [0.5, 0.4, 0.9, 0.1])
    trainer = make_trainer(tmp_path / "aggressive", AggressiveEncoder(max_inner_steps=2), epochs=2)
    trainer.fit()
    state, again = trainer.folder.load_state(), trainer.folder.load_state()
    assert not state["procedure"]["aggressive"]
    goes_on = make_trainer(tmp_path / "aggressive", AggressiveEncoder(), epochs=3)
    goes_on.load_state_dict(state)
    moved = record_updates(goes_on)
    goes_on.fit()
    assert moved == [{"model", "guide"}] * BATCHES
    ordinary = make_trainer(tmp_path / "ordinary", epochs=3)
    ordinary.load_state_dict({**again, "metrics_size": 0, "timing_size": 0})
    ordinary.fit()
    assert same(values_of(goes_on.modules), values_of(ordinary.modules))


def test_from_the_zoo_by_name():
    procedure = zoo.build(zoo.load("procedures", "aggressive_encoder"), {"inner_window": 4})
    assert (procedure.name, procedure.inner_window) == ("aggressive_encoder", 4)
    assert procedure.mutual_information == -math.inf


@pytest.mark.parametrize("name", ["max_inner_steps", "inner_window"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        AggressiveEncoder(**{name: 0})


def test_model_without_latents_is_refused(tmp_path):
    with pytest.raises(UserError, match="LanguageModel has no latents"):
        make_trainer(tmp_path, AggressiveEncoder(), model="language_model")


TWO_LATENTS = """
import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule


class Model(PyroModule):
    def __init__(self, decoder, latent_dim):
        super().__init__("model")
        self.decoder = decoder
        self.dim = latent_dim

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            normal = dist.Normal(torch.zeros(self.dim), 1.0).to_event(1)
            z_1 = pyro.sample("z_1", normal)
            z_2 = pyro.sample("z_2", normal)
            return pyro.sample("x", self.decoder(z_1 + z_2), obs=tokens)


class Guide(PyroModule):
    def __init__(self, encoder, latent_dim):
        super().__init__("guide")
        self.loc = torch.nn.Parameter(torch.zeros(latent_dim))

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", len(tokens)):
            for name in ("z_1", "z_2"):
                pyro.sample(name, dist.Normal(self.loc, 1.0).to_event(1))
"""


def test_two_latents_are_refused(tmp_path):
    (tmp_path / "two.py").write_text(TWO_LATENTS)
    pair = {"model": f"{tmp_path}/two.py:Model", "guide": f"{tmp_path}/two.py:Guide"}
    with pytest.raises(UserError, match=r"has 2 \(z_1, z_2\): leave the procedure out"):
        make_trainer(tmp_path, AggressiveEncoder(), **pair)
