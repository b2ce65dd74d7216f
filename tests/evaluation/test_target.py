# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule
from torch import nn

from pyro_textvae.evaluation.importance.target import Target, suitable_tokens
from pyro_textvae.models import LanguageModel
from pyro_textvae.nn import LSTMDecoder

SMALLEST = {"rtol": 0, "atol": 1e-12}
"""Rounding of float64 in sums of this size: a thousand times machine precision."""


@pytest.fixture
def z():
    return torch.randn(5, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def direct(model, tokens, z):
    """log p(x | z) and log p(z), without Pyro."""
    prior = torch.distributions.Normal(torch.zeros(2).double(), 1.0).log_prob(z).sum(-1)
    return model.decoder(z).log_prob(tokens), prior


class TwoLatents(PyroModule):
    """z_1 of two dimensions, z_2 a number around their sum, three numbers x around both."""

    def __init__(self):
        super().__init__("model")
        self.weight = nn.Parameter(torch.tensor([0.5, -1.0, 2.0]).double())

    def forward(self, tokens=None, source=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            zero = torch.zeros(2).double()
            first = pyro.sample("z_1", dist.Normal(zero, 1.0).to_event(1))
            second = pyro.sample("z_2", dist.Normal(first.sum(-1), 0.5))
            mean = self.weight * second.unsqueeze(-1) + first[..., :1] + source
            return pyro.sample("x", dist.Normal(mean, 0.7).to_event(1), obs=tokens)


@pytest.fixture
def two_latents():
    """Model, batch of three, draws of both latents, and what log p(x, z) is."""
    generator = torch.Generator().manual_seed(2)

    def randn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    model = TwoLatents()
    batch = {"tokens": randn(3, 3), "source": randn(3, 1)}
    latents = {"z_1": randn(4, 3, 2), "z_2": randn(4, 3)}

    def log_joint(z_1, z_2):
        normal = torch.distributions.Normal
        prior = normal(0.0, 1.0).log_prob(z_1).sum(-1) + normal(z_1.sum(-1), 0.5).log_prob(z_2)
        mean = model.weight.detach() * z_2.unsqueeze(-1) + z_1[..., :1] + batch["source"]
        return normal(mean, 0.7).log_prob(batch["tokens"]).sum(-1), prior

    return model, batch, latents, log_joint


class Parameters(pyro.poutine.messenger.Messenger):
    """Counts the sites of parameters."""

    count = 0

    def _pyro_param(self, msg):
        self.count += 1


@pytest.mark.parametrize("in_training", [False, True])
def test_parameters_are_no_sites_where_nothing_is_trained(pair, tokens, z, in_training):
    """They cost a twelfth of an evaluation of short sentences; afterwards all is as before."""
    model = pair[0].train(in_training)
    scores = Target(model, {"tokens": tokens})
    with Parameters() as parameters:
        scores({"z": z})
    assert (parameters.count > 0) == in_training
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("max_tokens", [1, 7, 10**6])
def test_scores_are_those_of_decoder_and_prior_in_pieces_of_any_size(pair, tokens, z, max_tokens):
    model, _ = pair
    scores = Target(model, {"tokens": tokens}, max_tokens=max_tokens)({"z": z})
    log_likelihood, log_prior = direct(model, tokens, z)
    torch.testing.assert_close(scores.log_likelihood, log_likelihood.detach(), **SMALLEST)
    torch.testing.assert_close(scores.log_prior, log_prior, **SMALLEST)
    torch.testing.assert_close(scores.total, (log_likelihood + log_prior).detach(), **SMALLEST)
    assert not scores.log_likelihood.requires_grad


@pytest.mark.parametrize("max_tokens", [1, 7, 60, 10**6])
def test_gradient_is_that_of_the_direct_formula_in_pieces_of_any_size(pair, tokens, z, max_tokens):
    model, _ = pair
    leaf = z.clone().requires_grad_()
    expected = sum(direct(model, tokens, leaf))
    (expected_gradient,) = torch.autograd.grad(expected.sum(), leaf)
    with torch.no_grad():
        total, gradients = Target(model, {"tokens": tokens}, max_tokens=max_tokens).gradient(
            {"z": z}
        )
    torch.testing.assert_close(total, expected.detach(), **SMALLEST)
    torch.testing.assert_close(gradients["z"], expected_gradient, **SMALLEST)
    assert not total.requires_grad
    assert not z.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


def test_gradient_is_the_slope_of_the_scores(pair, tokens, z):
    """Central differences: a step of 1e-5 is off by 1e-10 from curvature, 1e-10 from rounding."""
    model, _ = pair
    target = Target(model, {"tokens": tokens})
    _, gradients = target.gradient({"z": z})
    for dim in range(2):
        step = torch.zeros(2).double()
        step[dim] = 1e-5
        rise = target({"z": z + step}).total - target({"z": z - step}).total
        torch.testing.assert_close(gradients["z"][..., dim], rise / 2e-5, rtol=0, atol=1e-8)


@pytest.mark.parametrize("max_tokens", [1, 10**6])
def test_two_latent_sites_and_a_second_field(two_latents, max_tokens):
    model, batch, latents, log_joint = two_latents
    target = Target(model, batch, max_tokens=max_tokens)
    scores = target(latents)
    log_likelihood, log_prior = log_joint(**latents)
    torch.testing.assert_close(scores.log_likelihood, log_likelihood, **SMALLEST)
    torch.testing.assert_close(scores.log_prior, log_prior, **SMALLEST)
    leaves = {name: value.clone().requires_grad_() for name, value in latents.items()}
    expected = torch.autograd.grad(sum(log_joint(**leaves)).sum(), list(leaves.values()))
    _, gradients = target.gradient({name: latents[name] for name in ("z_2", "z_1")})
    torch.testing.assert_close(gradients["z_1"], expected[0], **SMALLEST)
    torch.testing.assert_close(gradients["z_2"], expected[1], **SMALLEST)


def test_rows_are_some_of_the_sentences_with_all_their_fields(two_latents):
    model, batch, latents, _ = two_latents
    whole = Target(model, batch, max_tokens=5)
    scores = whole(latents)
    chosen = torch.tensor([2, 0])
    rows = whole.rows(chosen)
    assert rows.evaluations == 0
    assert rows.max_tokens == 5
    found = rows({name: value[:, chosen] for name, value in latents.items()})
    torch.testing.assert_close(found.total, scores.total[:, chosen], **SMALLEST)


def test_evaluations_are_sentences_scored_and_a_gradient_is_three(pair, tokens, z):
    target = Target(pair[0], {"tokens": tokens}, max_tokens=7)
    assert target.evaluations == 0
    target({"z": z})
    assert target.evaluations == 5 * 4
    target.gradient({"z": z[:2]})
    assert target.evaluations == 5 * 4 + 3 * 2 * 4


@pytest.mark.parametrize("max_tokens", [1, 23, 60, 200])
def test_no_call_of_the_decoder_is_wider_than_the_budget(pair, tokens, z, max_tokens, monkeypatch):
    """Padding counted; one sentence, of five tokens at most, is the least there can be."""
    model, _ = pair
    calls = []
    plain = model.decoder.token_log_prob

    def recorded(ids, mask, context):
        calls.append(context.batch_shape.numel() * ids.shape[-1])
        return plain(ids, mask, context)

    monkeypatch.setattr(model.decoder, "token_log_prob", recorded)
    target = Target(model, {"tokens": tokens}, max_tokens=max_tokens)
    target({"z": z})
    assert max(calls) <= max(max_tokens, 5)
    # What fits is scored as it came, in one call; what does not, with less padding.
    if max_tokens >= 5 * 4 * 5:
        assert calls == [5 * 4 * 5]
    else:
        assert sum(calls) < 5 * 4 * 5
    calls.clear()
    target.gradient({"z": z})
    assert max(calls) <= max(max_tokens // 8, 5)
    assert sum(calls) <= 5 * 4 * 5


def test_fewer_tokens_at_once_for_a_decoder_that_may_hold_all_scores(pair):
    model, _ = pair

    class Decoder(nn.Module):
        vocab_size = 4000

    kind = type(model)
    budget = suitable_tokens(kind(model.prior, Decoder()))
    assert budget * 4000 <= 2**22 < (budget + 1) * 4000
    assert suitable_tokens(kind(model.prior, nn.Identity())) == suitable_tokens(model) == 16384
    assert suitable_tokens(kind(model.prior, nn.ModuleList([Decoder(), model.decoder]))) == budget


@pytest.mark.parametrize("max_tokens", [1, 10**6])
def test_model_without_latents_is_scored_exactly_in_one_pass(tokens, max_tokens):
    decoder = LSTMDecoder(
        vocab_size=7, embedding_dim=4, hidden_dim=5, latent_dim=0, max_length=6
    ).double()
    target = Target(LanguageModel(decoder=decoder), {"tokens": tokens}, max_tokens=max_tokens)
    torch.testing.assert_close(target.exact(), decoder().log_prob(tokens).detach(), **SMALLEST)
    assert target.evaluations == 4


def test_latent_without_a_value_is_named(pair, tokens, two_latents):
    with pytest.raises(ValueError, match="latent site 'z' of the model is not drawn by the guide"):
        Target(pair[0], {"tokens": tokens}).exact()
    model, batch, latents, _ = two_latents
    with pytest.raises(ValueError, match="latent site 'z_2' of the model"):
        Target(model, batch)({"z_1": latents["z_1"]})


def test_masked_sentences_count_for_nothing(pair, tokens, z):
    model, _ = pair
    mask = torch.tensor([True, False, True, False])

    class Masked(PyroModule):
        def __init__(self):
            super().__init__("model")
            self.model = model

        def forward(self, tokens=None, *, size=None):
            with pyro.poutine.mask(mask=mask):
                return self.model(tokens, size=size)

    plain = Target(model, {"tokens": tokens})({"z": z})
    found = Target(Masked(), {"tokens": tokens})({"z": z})
    torch.testing.assert_close(found.log_likelihood, plain.log_likelihood * mask, **SMALLEST)
    torch.testing.assert_close(found.log_prior, plain.log_prior * mask, **SMALLEST)


def test_scores_keep_the_precision_of_the_model(pair, tokens, z):
    model, _ = pair
    exact = Target(model, {"tokens": tokens})({"z": z}).total
    target = Target(model.float(), {"tokens": tokens})
    scores = target({"z": z.float()})
    assert {value.dtype for value in scores} == {torch.float32}
    assert target.gradient({"z": z.float()})[1]["z"].dtype == torch.float32
    torch.testing.assert_close(scores.total.double(), exact, rtol=1e-5, atol=0)


def test_gradients_of_likelihood_and_prior_come_apart(two_latents):
    """Of some sites or of all; what a term does not depend on has a gradient of zero."""
    model, batch, latents, log_joint = two_latents
    for names in (("z_1", "z_2"), ("z_2",), ()):
        target = Target(model, batch, max_tokens=40)
        scores, *gradients = target.gradients(latents, names)
        leaves = {n: v.clone().requires_grad_(n in names) for n, v in latents.items()}
        for score, expected, gradient in zip(scores, log_joint(**leaves), gradients, strict=True):
            torch.testing.assert_close(score, expected.detach(), **SMALLEST)
            assert list(gradient) == list(names)
            for name in names:
                (slope,) = torch.autograd.grad(
                    expected.sum(), leaves[name], retain_graph=True, materialize_grads=True
                )
                torch.testing.assert_close(gradient[name], slope, **SMALLEST)
        assert target.costs.tolist() == [3 * len(latents["z_1"])] * target.num_sentences


def test_evaluations_of_a_part_are_counted_in_the_whole(pair, tokens, z):
    """Sentence by sentence, of a part of a part too; those of rows are not."""
    model, _ = pair
    whole = Target(model, {"tokens": tokens})
    part = whole.part(torch.tensor([3, 1, 0]))
    inner = part.part(torch.tensor([2, 1]))
    draws = len(z)
    part({"z": z[:, [3, 1, 0]]})
    inner.gradient({"z": z[:, [0, 1]]})
    whole.rows(torch.tensor([2]))({"z": z[:, [2]]})
    assert whole.costs.tolist() == [4 * draws, 4 * draws, 0, draws]
    assert part.costs.tolist() == [draws, 4 * draws, 4 * draws]
    assert whole.evaluations == 9 * draws
