# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""That a program has marked sites is found by running it, which must leave no trace."""

import pyro
import pytest
import torch

from pyro_textvae.infer import IWAE, BetaELBO, log_weights
from tests.infer.enumeration.programs import Guide, Model, X


@pytest.mark.parametrize("options", [{}, {"vectorize_particles": False}, {"max_plate_nesting": 2}])
def test_first_pass_draws_what_a_later_one_does(options):
    """So that a run that is resumed goes on bit for bit. z is drawn before the mark is met."""
    for num_particles in (1, 3):
        objective = BetaELBO(num_particles=num_particles, **options)
        model, guide = Model(3, "z then y"), Guide(3, "z then y")
        losses = []
        for _ in range(2):
            pyro.set_rng_seed(5)
            losses.append((objective.loss(model, guide, X), torch.rand(())))
        assert losses[0] == losses[1]


def test_unmarked_programs_run_once(monkeypatch):
    """No pass is looked into beforehand, where there is one particle."""
    calls = []
    model, guide = Model(3, "z apart"), Guide(3, "z apart", infer={})
    forward = guide.forward
    monkeypatch.setattr(guide, "forward", lambda x: calls.append(1) or forward(x))
    BetaELBO().terms(model, guide, X)
    assert calls == [1]


def test_log_weights_are_sums():
    class Fields(Model):
        def forward(self, tokens):
            super().forward(tokens)

    class FieldsGuide(Guide):
        def forward(self, tokens):
            super().forward(tokens)

    model, guide = Fields(3, "y"), FieldsGuide(3, "y")
    found = log_weights(model, guide, {"tokens": X}, num_particles=2)
    z = torch.zeros(3, 2, 3).double()
    exact = sum(part.expand_as(z) for part in model.parts(X, z)).logsumexp(0)
    torch.testing.assert_close(found, exact)
    assert IWAE(2).loss(model, guide, tokens=X) == pytest.approx(-exact[0].sum().item())
