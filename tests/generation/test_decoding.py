# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pyro
import pytest
import torch

from pyro_textvae.distributions import sentence_mask
from pyro_textvae.errors import UserError
from pyro_textvae.generation import encode, interpolate, reconstruct, sample
from pyro_textvae.guides import EmptyGuide, PowerSphericalGuide, ProductSpaceGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder
from pyro_textvae.priors import StandardNormal, UniformSphere
from pyro_textvae.special_tokens import EOS, UNK


@pytest.fixture
def spherical_pair(pair):
    """The pair on a circle, and every latent that its decoder is given."""
    model, guide = pair
    model = SentenceVAE(prior=UniformSphere(2).double(), decoder=model.decoder).eval()
    guide = PowerSphericalGuide(encoder=guide.encoder, latent_dim=2).double().eval()
    seen = []
    model.decoder.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    return model, guide, seen


def test_samples_repeat_with_their_seed(pair):
    model, _ = pair
    rows = sample(model, 9, seed=4)
    assert rows.shape == (9, 6)
    assert torch.equal(rows, sample(model, 9, seed=4))
    assert not torch.equal(rows, sample(model, 9, seed=5))


def test_greedy_from_fixed_latents_is_the_decoders_greedy(pair):
    model, _ = pair
    z = torch.randn(5, 2).double()
    rows = sample(model, 5, method="greedy", latents={"z": z})
    assert torch.equal(rows, model.decoder(z).greedy())


def test_ancestral_samples_from_fixed_latents_follow_the_density(pair):
    """Share of empty sentences against exp log p(<eos> | z), 4.5 standard errors."""
    model, _ = pair
    z = torch.tensor([[0.5, -1.0]]).double()
    truth = model.decoder(z[0]).log_prob(torch.tensor([2])).exp().item()
    rows = sample(model, 20_000, latents={"z": z.expand(20_000, 2)})
    share = (rows[:, 0] == 2).double().mean().item()
    assert abs(share - truth) < 4.5 * (truth * (1 - truth) / 20_000) ** 0.5
    assert 0.02 < truth < 0.98


def test_unknown_words_can_be_left_out(pair):
    model, _ = pair
    z = 3 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0)).double()
    for method in ("ancestral", "greedy"):
        assert (sample(model, 500, method=method, latents={"z": z}) == UNK).any()
        rows = sample(model, 500, method=method, latents={"z": z}, unknown=False)
        assert not (rows == UNK).any()
        assert (rows == EOS).any()


def test_encode_gives_the_posterior_mean_or_a_draw(pair, tokens):
    _, guide = pair
    mean = encode(guide, {"tokens": tokens})["z"]
    torch.testing.assert_close(mean, guide.loc(guide.encoder(tokens)).detach())
    assert not torch.equal(encode(guide, {"tokens": tokens}, mean=False)["z"], mean)


def test_reconstruction_decodes_the_posterior_mean(pair, tokens):
    model, guide = pair
    rows = reconstruct(model, guide, {"tokens": tokens})
    mean = guide.loc(guide.encoder(tokens))
    assert torch.equal(rows, model.decoder(mean).greedy())
    assert (rows[~sentence_mask(rows)] == 0).all()


def test_interpolation_runs_from_one_end_to_the_other(pair, tokens):
    model, guide = pair
    ends = {"tokens": tokens[[0, 2]]}
    with torch.no_grad():
        guide.loc.weight.mul_(20.0)
    rows = interpolate(model, guide, ends, steps=5)
    mean = guide.loc(guide.encoder(ends["tokens"]))
    line = torch.stack([mean[0] + (mean[1] - mean[0]) * step / 4 for step in range(5)])
    assert torch.equal(rows, model.decoder(line).greedy())
    assert not torch.equal(rows[0], rows[-1])


def test_posterior_point_of_a_sphere_is_on_it(spherical_pair, tokens):
    """The mean direction; a mean would be at about half the length."""
    model, guide, seen = spherical_pair
    loc = torch.nn.functional.normalize(guide.loc(guide.encoder(tokens)), dim=-1).detach()
    torch.testing.assert_close(encode(guide, {"tokens": tokens})["z"], loc)
    reconstruct(model, guide, {"tokens": tokens})
    torch.testing.assert_close(seen[0], loc)
    drawn = encode(guide, {"tokens": tokens}, mean=False)["z"]
    torch.testing.assert_close(drawn.norm(dim=-1), torch.ones(4).double())
    assert not torch.allclose(drawn, loc)


class Given(torch.nn.Module):
    def forward(self, features):
        return torch.tensor([[2.0, 0.0], [-1.0, 3.0]], dtype=features.dtype)


def test_interpolation_on_a_sphere_goes_round_it(spherical_pair, tokens):
    """In equal angles; a straight line would come within 0.6 of the centre."""
    model, guide, seen = spherical_pair
    guide.loc = Given()
    rows = interpolate(model, guide, {"tokens": tokens[[0, 2]]}, steps=5)
    angle = torch.linspace(0.0, 1.0, 5).double() * (math.pi - math.atan(3))
    torch.testing.assert_close(seen[0], torch.stack([angle.cos(), angle.sin()], -1))
    assert rows.shape == (5, 6)


def test_interpolation_in_a_product_space_goes_its_way_in_each_factor(pair, tokens):
    """Round the circle in the first two coordinates, straight on in the last."""
    guide = ProductSpaceGuide(encoder=pair[1].encoder, latent_dim=3).double().eval()
    guide.direction = Given()
    decoder = LSTMDecoder(vocab_size=7, embedding_dim=4, hidden_dim=5, latent_dim=3, max_length=6)
    model, seen = SentenceVAE(prior=StandardNormal(3), decoder=decoder).double().eval(), []
    model.decoder.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    ends = {"tokens": tokens[[0, 2]]}
    interpolate(model, guide, ends, steps=5)
    share = torch.linspace(0.0, 1.0, 5).double()
    angle = share * (math.pi - math.atan(3))
    torch.testing.assert_close(seen[0][:, :2], torch.stack([angle.cos(), angle.sin()], -1))
    start, end = guide.loc(guide.encoder(ends["tokens"])).detach().squeeze(-1)
    torch.testing.assert_close(seen[0][:, 2], start + share * (end - start))


def test_parameters_and_modes_are_left_alone(pair):
    model, _ = pair
    model.train()
    pyro.set_rng_seed(8)
    before = torch.get_rng_state()
    sample(model, 2)
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, g, x: sample(m, 0), ValueError, "must be at least 1, got 0"),
        (lambda m, g, x: sample(m, 1, method="gredy"), UserError, "did you mean 'greedy'"),
        (lambda m, g, x: sample(m, 1, method="torch.nn:Identity"), UserError, "derive it from"),
        (lambda m, g, x: sample(m, {"tokens": x[:0]}), ValueError, "must be at least 1, got 0"),
        (
            lambda m, g, x: sample(m, 1, latents={"y": x[:1]}),
            UserError,
            "no site 'y': its sites are .*z",
        ),
        (lambda m, g, x: interpolate(m, g, {"tokens": x[:2]}, steps=1), ValueError, "at least 2"),
        (lambda m, g, x: interpolate(m, g, {"tokens": x}), ValueError, "two sentences, got 4"),
        (lambda m, g, x: encode(EmptyGuide(), {"tokens": x}), UserError, "has no latent"),
    ],
)
def test_bad_calls_are_refused(pair, tokens, call, error, message):
    with pytest.raises(error, match=message):
        call(*pair, tokens)


def test_discrete_latent_stands_at_its_likeliest_value_and_walks_in_one_jump(pair, tokens):
    model, guide = pair

    class Named(torch.nn.Module):
        """A latent y among three, likeliest at the first token of the sentence less 4."""

        def forward(self, tokens, *, size=None):
            with pyro.plate("data", len(tokens)):
                likeliest = torch.nn.functional.one_hot((tokens[:, 0] - 4).clamp(min=0), 3)
                pyro.sample("y", pyro.distributions.Categorical(logits=3.0 * likeliest))

    seen = []

    class Switch(torch.nn.Module):
        def forward(self, tokens=None, *, size=None):
            with pyro.plate("data", size):
                y = pyro.sample("y", pyro.distributions.Categorical(torch.ones(3)))
                seen.append(y)
                z = torch.stack([y.double(), y.double()], -1)
                return pyro.sample("x", model.decoder(z))

    assert encode(Named(), {"tokens": tokens})["y"].tolist() == [0, 0, 2, 1]
    interpolate(Switch(), Named(), {"tokens": tokens[2:]}, steps=5)
    assert seen[0].tolist() == [2, 2, 1, 1, 1]
