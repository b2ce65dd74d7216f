# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Several sentences for each, and text sites with a distribution of the user's own."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions import TorchDistribution

from pyro_textvae.errors import UserError
from pyro_textvae.generation import (
    Beam,
    Constraints,
    Nucleus,
    generate,
    generate_interpolation,
    generate_reconstructions,
    interpolate,
    reconstruct,
    sample,
)
from pyro_textvae.special_tokens import EOS
from tests.generation.enumeration import all_rows
from tests.generation.programs import ConditionalModel, Conversation, Numbers


class Markov(TorchDistribution):
    """A sentence whose next class depends on the one before; ``logits`` ``(*B, 5, 4)``."""

    arg_constraints = {}
    max_length = 3

    def __init__(self, logits):
        self.logits = logits
        super().__init__(logits.shape[:-2], torch.Size((3,)))

    def expand(self, batch_shape, _instance=None):
        return Markov(self.logits.expand(*batch_shape, 5, 4))

    def initial_state(self):
        return self.logits.reshape(-1, 5, 4)

    def step(self, previous, state):
        return state[torch.arange(len(state)), (previous - 1).clamp(min=0)], state

    def log_prob(self, value):
        before = torch.cat([torch.ones_like(value[..., :1]), value[..., :-1]], -1)
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        value, before = value.expand(*shape, -1), before.expand(*shape, -1)
        table = self.logits.log_softmax(-1).expand(*shape, 5, 4)
        rows = table.gather(-2, (before - 1).clamp(min=0).unsqueeze(-1).expand(*value.shape, 4))
        each = rows.gather(-1, (value - 2).clamp(min=0).unsqueeze(-1)).squeeze(-1)
        return each.where(value > 0, 0.0).sum(-1)


class MarkovVAE(torch.nn.Module):
    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", dist.Normal(torch.zeros(20).double(), 2.0).to_event(1))
            return pyro.sample("x", Markov(z.unflatten(-1, (5, 4))), obs=tokens)


def test_own_distribution_with_steps_is_decoded_by_every_method():
    z = torch.randn(6, 20, generator=torch.Generator().manual_seed(0)).double()
    text, rows = Markov(z.unflatten(-1, (5, 4))), all_rows()
    result = generate(MarkovVAE(), 6, method=Beam(64, 0.0, 2), latents={"z": z})
    best = text.log_prob(rows.unsqueeze(1)).topk(2, 0)
    assert torch.equal(result.tokens.view(6, 2, 3).transpose(0, 1), rows[best.indices])
    torch.testing.assert_close(result.log_prob.view(6, 2).T, best.values)
    drawn = generate(MarkovVAE(), 6, method=Nucleus(0.8), latents={"z": z}, seed=1)
    torch.testing.assert_close(drawn.log_prob, text.log_prob(drawn.tokens))
    given = Constraints(min_length=3, bad_words_ids=[[EOS]])
    long = generate(MarkovVAE(), 6, constraints=given, latents={"z": z})
    assert (long.tokens > EOS).all()


def test_own_distribution_without_steps_is_drawn_by_its_own_sample():
    result = generate(Numbers(), 5, seed=1)
    assert torch.equal(result.tokens, sample(Numbers(), 5, seed=1))
    assert result.log_prob.isfinite().all()
    wrong = "Beam chooses .* text site 'x' is Normal, not Autoreg"
    with pytest.raises(UserError, match=wrong):
        generate(Numbers(), 5, method="beam")
    with pytest.raises(UserError, match="min_length chooses .* text site 'x' is Normal"):
        generate(Numbers(), 5, constraints=Constraints(min_length=2))


def test_computed_text_has_no_log_probability():
    class Computed(torch.nn.Module):
        def forward(self, tokens=None, *, size=None):
            with pyro.plate("data", size):
                word = pyro.sample("w", dist.Categorical(torch.ones(5)))
                pyro.deterministic("x", torch.stack([word + 3, word * 0 + 2], -1), event_dim=1)

    result = generate(Computed(), 4)
    assert result.tokens.shape == (4, 2)
    assert result.log_prob.isnan().all()


def test_several_draws_of_z_for_each_source(pair):
    model = ConditionalModel(pair[0].decoder, 7).eval()
    seen = []
    model.decoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    batch = {"source": torch.tensor([[4, 2], [6, 2]])}
    result = generate(model, batch, method=Beam(3, 1.0, 2), num_latents=4)
    assert result.tokens.shape == (16, 6)
    assert result.log_prob.shape == (16,)
    z = seen[-1] - model.shift(batch["source"][:, 0]).repeat_interleave(4, 0)
    assert len(z.unique(dim=0)) == 8
    log_prob = pair[0].decoder(seen[-1]).log_prob(result.tokens.view(8, 2, 6).transpose(0, 1))
    torch.testing.assert_close(result.log_prob.view(8, 2).T, log_prob)
    generate(model, batch, num_latents=4, latents={"z": torch.zeros(2, 2).double()})
    own = model.shift(batch["source"][:, 0]).repeat_interleave(4, 0)
    torch.testing.assert_close(seen[-1], own, rtol=0, atol=0)


@pytest.mark.parametrize("data_dim", [-1, -2])
def test_latents_that_are_given_are_repeated_for_each(pair, data_dim):
    z = 2 * torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(1)).double()
    given = z if data_dim == -2 else z.transpose(0, 1)
    model = Conversation(pair[0].decoder, 3, data_dim)
    result = generate(model, 4, method="greedy", num_latents=2, latents={"z": given})
    expected = pair[0].decoder(z)
    assert torch.equal(result.tokens, expected.greedy().repeat_interleave(2, 0))
    log_prob = expected.log_prob(result.tokens[::2])
    torch.testing.assert_close(result.log_prob, log_prob.repeat_interleave(2, 0))


def test_reconstructions_at_several_draws(pair, tokens):
    """One is the posterior mean's; several, from draws of one posterior each."""
    model, guide = pair
    batch = {"tokens": tokens}
    one = generate_reconstructions(model, guide, batch, seed=3)
    assert torch.equal(one.tokens, reconstruct(model, guide, batch, seed=3))
    seen = []
    model.decoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    several = generate_reconstructions(model, guide, batch, num_latents=200, seed=3)
    assert several.tokens.shape == (800, 6)
    torch.testing.assert_close(several.log_prob, model.decoder(seen[0]).log_prob(several.tokens))
    mean, scale = (
        guide.loc(guide.encoder(tokens)),
        (guide.log_variance(guide.encoder(tokens)) / 2).exp(),
    )
    z = (seen[0].view(4, 200, 2) - mean.unsqueeze(1)) / scale.unsqueeze(1)
    # Means of 200 standard normal draws.
    assert z.mean(1).abs().max() < 4.5 / 200**0.5
    assert (z.std(1) - 1).abs().max() < 4.5 / 400**0.5


def test_walks_have_their_log_probability(pair, tokens):
    model, guide = pair
    ends = {"tokens": tokens[[0, 2]]}
    walk = generate_interpolation(model, guide, ends, steps=4)
    assert torch.equal(walk.tokens, interpolate(model, guide, ends, steps=4))
    start = model.decoder(guide.loc(guide.encoder(ends["tokens"])))
    torch.testing.assert_close(walk.log_prob[[0, 3]], start.log_prob(walk.tokens[[0, 3]]))


def test_wide_methods_are_decoded_in_smaller_parts(pair, monkeypatch):
    rows = []
    pair[0].decoder.register_forward_pre_hook(lambda _, given: rows.append(given[0].shape[0]))
    monkeypatch.setattr("pyro_textvae.generation.sampling.SENTENCES_AT_ONCE", 12)
    generate(pair[0], 7, method=Beam(4))
    assert rows[1:] == [3, 3, 1]


@pytest.mark.parametrize("number", [0, "two"])
def test_bad_numbers_of_latents(pair, number):
    with pytest.raises(UserError, match="num_latents must be"):
        generate(pair[0], 2, num_latents=number)
