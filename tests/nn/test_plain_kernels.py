# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pyro
import pytest
import torch

from pyro_textvae.guides import GaussianGuide
from pyro_textvae.infer import SemiAmortisedELBO
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn.decoders import TransformerDecoder
from pyro_textvae.nn.encoders import TransformerEncoder
from pyro_textvae.nn.injection import INJECTIONS
from pyro_textvae.nn.plain_kernels import plain_kernels
from pyro_textvae.priors import StandardNormal


def make(injection):
    sizes = {"vocab_size": 7, "embedding_dim": 4, "hidden_dim": 8, "num_heads": 2}
    decoder = TransformerDecoder(**sizes, latent_dim=2, max_length=6, injection=injection)
    model = SentenceVAE(prior=StandardNormal(2), decoder=decoder).double().eval()
    guide = GaussianGuide(encoder=TransformerEncoder(**sizes), latent_dim=2).double().eval()
    with torch.no_grad():
        for parameter in (*model.parameters(), *guide.parameters()):
            parameter.normal_(0.0, 0.4)
    return model, guide


def switches():
    cuda = torch.backends.cuda
    return (
        torch.backends.cudnn.enabled,
        cuda.flash_sdp_enabled(),
        cuda.mem_efficient_sdp_enabled(),
        cuda.math_sdp_enabled(),
        cuda.cudnn_sdp_enabled(),
    )


def test_kernels_are_plain_inside_and_as_before_after():
    before = switches()
    plain = (False, False, False, True, False)
    with plain_kernels():
        assert switches() == plain
        with plain_kernels():
            assert switches() == plain
        assert switches() == plain
    assert switches() == before
    try:
        with plain_kernels():
            raise KeyError
    except KeyError:
        assert switches() == before


@pytest.mark.parametrize("injection", ["attention", "initial_state", INJECTIONS])
def test_second_derivative_of_a_score_in_z(injection, tokens):
    """Against numerical differences; the derivatives themselves are taken outside."""
    decoder = make(injection)[0].decoder

    def score(z):
        with plain_kernels():
            return decoder(z).log_prob(tokens)

    z = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(score, z)
    assert torch.autograd.gradgradcheck(score, z)


def test_second_derivative_of_a_language_model_in_its_weights(tokens):
    """Without slots attention is causal by its flag, with no mask."""
    sizes = {"vocab_size": 7, "embedding_dim": 2, "hidden_dim": 4, "num_heads": 2}
    decoder = TransformerDecoder(**sizes, latent_dim=0, max_length=6, num_layers=1).double().eval()
    weight = decoder.blocks[0].attention_input.weight.detach().clone().requires_grad_()

    def score(weight):
        with plain_kernels():
            hidden = torch.func.functional_call(
                decoder.blocks[0],
                {"attention_input.weight": weight},
                (decoder.embedding(tokens) @ torch.ones(2, 4, dtype=torch.float64),),
                {"is_causal": True},
            )[0]
        return hidden.square().sum()

    assert torch.autograd.gradgradcheck(score, weight)


@pytest.mark.parametrize("injection", ["attention", INJECTIONS])
def test_gradient_through_refinement_steps_is_that_of_the_loss(injection, tokens):
    """Along a random direction, against the central difference of the loss on the same noise.

    The third derivative leaves an error of h^2, the rounding of the losses one of 1e-16 / h: with
    h = 1e-5 both are below 1e-8 of losses of order ten.
    """
    model, guide = make(injection)
    objective = SemiAmortisedELBO(num_steps=3, step_size=0.3, num_particles=2)
    parameters = [*model.parameters(), *guide.parameters()]
    direction = [torch.randn_like(p) / 10 for p in parameters]

    def loss(shift):
        with torch.no_grad():
            for parameter, part in zip(parameters, direction, strict=True):
                parameter.add_(shift * part)
        pyro.set_rng_seed(3)
        return objective.differentiable_loss(model, guide, tokens=tokens)

    loss(0.0).backward()
    slope = sum((p.grad * part).sum() for p, part in zip(parameters, direction, strict=True))
    ahead, behind = loss(1e-5).item(), loss(-2e-5).item()
    assert slope.item() == pytest.approx((ahead - behind) / 2e-5, rel=1e-6, abs=1e-6)
