# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Mistakes are refused before the first step, with the thing, its value and what to do."""

import math
import warnings

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_textvae.infer import (
    CIWAE,
    IWAE,
    MIWAE,
    PIWAE,
    STL,
    VIMCO,
    BetaELBO,
    DReG,
    RenyiIWAE,
    ThermodynamicELBO,
    WakeSleep,
)

PATHWISE = [BetaELBO, IWAE, DReG, STL, MIWAE, PIWAE, CIWAE, RenyiIWAE]
EVERY = [*PATHWISE, ThermodynamicELBO, WakeSleep, VIMCO]
every_objective = pytest.mark.parametrize("kind", EVERY)


@every_objective
@pytest.mark.parametrize("count", [0, -3])
def test_particles_must_be_positive(kind, count):
    with pytest.raises(ValueError, match=f"num_particles must be at least 1, got {count}"):
        kind(num_particles=count)


@every_objective
@pytest.mark.parametrize("nesting", [0, -1, 1.5, math.nan, -math.inf])
def test_nesting_must_be_a_positive_number_of_plates(kind, nesting):
    with pytest.raises(ValueError, match=f"max_plate_nesting must be a whole .* got {nesting}: "):
        kind(max_plate_nesting=nesting)


@pytest.mark.parametrize("kind", [VIMCO, ThermodynamicELBO, WakeSleep])
def test_guides_that_one_particle_cannot_train_are_refused(kind):
    """Without another draw, baseline, covariance and weight say nothing: only noise is left."""
    with pytest.raises(ValueError, match="num_particles must be at least 2.* got 1"):
        kind(1)


@pytest.mark.parametrize("kind", [MIWAE, PIWAE])
@pytest.mark.parametrize("groups", [0, -2, 3, 16])
def test_groups_must_divide_the_particles(kind, groups):
    message = f"num_groups must divide num_particles, got {groups} groups of 8 particles"
    with pytest.raises(ValueError, match=message):
        kind(8, groups)


@pytest.mark.parametrize("alpha", [math.nan, math.inf, -math.inf])
def test_order_must_be_finite(alpha):
    with pytest.raises(ValueError, match=f"alpha must be finite, got {alpha}"):
        RenyiIWAE(4, alpha)


@pytest.mark.parametrize("alpha", [1, 1.0])
def test_order_of_the_evidence_lower_bound_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha must not be 1, .* use BetaELBO"):
        RenyiIWAE(4, alpha)


@pytest.mark.parametrize(
    "betas",
    [[], [0.1, 0.5], [0.0, 0.5, 0.5], [0.0, 0.6, 0.5], [0.0, 1.0], [0.0, 1.5], [0.0, math.nan]],
    ids=str,
)
def test_betas_must_rise_from_nought(betas):
    with pytest.raises(ValueError, match="betas must rise from 0 and stay below 1, got"):
        ThermodynamicELBO(4, betas)


@pytest.mark.parametrize("share", [-0.1, 1.2, math.nan, math.inf])
def test_share_must_be_a_share(share):
    with pytest.raises(ValueError, match=rf"elbo_share must lie in \[0, 1\], got {share}"):
        CIWAE(4, share)


def program(*names, family=dist.Normal, observe=False, plate=True):
    """Latents of these names, and the text in a model."""

    def body(x):
        for name in names:
            pyro.sample(name, family(torch.zeros(len(x)), torch.ones(len(x))))
        if observe:
            pyro.sample("x", dist.Normal(0.0, 1.0).expand([len(x)]), obs=x)

    def forward(x):
        if not plate:
            return body(x)
        with pyro.plate("data", len(x)):
            return body(x)

    return forward


def particles(kind):
    return kind(num_particles=4)


def message_of(kind, model, guide):
    """Of the error at the first loss, for both ways to ask for one."""
    with pytest.raises(ValueError, match=".") as caught:
        particles(kind).differentiable_loss(model, guide, torch.zeros(3))
    with pytest.raises(ValueError, match=".") as without_gradient:
        particles(kind).loss(model, guide, torch.zeros(3))
    assert str(caught.value) == str(without_gradient.value)
    return str(caught.value)


@every_objective
def test_latent_of_the_guide_alone_is_refused(kind):
    message = message_of(kind, program("z", observe=True), program("z", "w"))
    assert message == (
        "the model's latent sites are z, the guide's w, z: they must be the same; choose another "
        "--guide or rename the sites"
    )


@every_objective
def test_latent_of_the_model_alone_is_refused(kind):
    message = message_of(kind, program("z", "w", observe=True), program("z"))
    assert message == (
        "the model's latent sites are w, z, the guide's z: they must be the same; choose another "
        "--guide or rename the sites"
    )


@every_objective
def test_programs_without_a_plate_are_refused(kind):
    with pytest.raises(ValueError, match="site '[zx]' is outside the plate 'data'.* put the site"):
        particles(kind).differentiable_loss(
            program("z", observe=True, plate=False), program("z", plate=False), torch.zeros(3)
        )


class NotReparameterised(dist.Normal):
    has_rsample = False


@pytest.mark.parametrize("kind", PATHWISE)
def test_latents_without_reparameterisation_are_refused(kind):
    with pytest.raises(ValueError, match=f"'z' is not reparameterised.* {kind.__name__}: train"):
        particles(kind).differentiable_loss(
            program("z", observe=True), program("z", family=NotReparameterised), torch.zeros(3)
        )


@every_objective
def test_refusals_need_no_validation(kind):
    """The same words with Pyro's validation off, where Pyro would say nothing."""
    pyro.enable_validation(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "sites are w, z, the" in message_of(
            kind, program("z", "w", observe=True), program("z")
        )
        assert "guide's w, z: they" in message_of(
            kind, program("z", observe=True), program("z", "w")
        )
