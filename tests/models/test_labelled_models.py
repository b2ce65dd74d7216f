# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Models with a label, and their guide: densities by hand, the bound by quadrature."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import TraceEnum_ELBO

from pyro_textvae.errors import UserError
from pyro_textvae.generation import reconstruct
from pyro_textvae.guides import GaussianGuide, LabelledGuide
from pyro_textvae.infer import BetaELBO
from pyro_textvae.models import LabelledMixtureVAE, LabelledVAE
from pyro_textvae.nn import BagOfWordsEncoder, GRUDecoder
from pyro_textvae.priors import StandardNormal
from tests.quadrature import SENTENCES, TinyTextModel

NUM_LABELS = 2
LABELS = torch.tensor([1, -1, 0, -1])
KINDS = ("labelled_vae", "labelled_mixture_vae")
GRID = torch.linspace(-8.0, 8.0, 2001, dtype=torch.float64)


def model_of(kind):
    """One whose classes differ in every part."""
    torch.manual_seed(3)
    if kind == "labelled_vae":
        model = LabelledVAE(StandardNormal(1), TinyTextModel(1 + NUM_LABELS), NUM_LABELS)
    else:
        model = LabelledMixtureVAE(TinyTextModel(1), 1, NUM_LABELS)
        model.log_scale.data = torch.tensor([[-0.7], [0.7]])
    model.label_logits.data = torch.tensor([0.3, -0.5])
    return model.double()


def guide_of_words():
    torch.manual_seed(4)
    encoder = BagOfWordsEncoder(vocab_size=20, embedding_dim=4, hidden_dim=6)
    guide = LabelledGuide(encoder, latent_dim=1, num_labels=NUM_LABELS).double()
    # So that the labels' posteriors are far apart.
    guide.loc.bias.data = torch.tensor([-1.5, 1.5], dtype=torch.float64)
    return guide


def log_prior_of_z(model, z, y):
    if isinstance(model, LabelledVAE):
        return dist.Normal(0.0, 1.0).log_prob(z)
    return dist.Normal(model.loc[y, 0], model.log_scale[y, 0].exp()).log_prob(z)


def log_joint(model, tokens, z, y):
    """log p(x, y, z) of each sentence, written out; z ``(S, N)``."""
    both = z.unsqueeze(-1)
    if isinstance(model, LabelledVAE):
        one_hot = torch.eye(NUM_LABELS, dtype=torch.float64)[y].expand(*z.shape, NUM_LABELS)
        both = torch.cat([both, one_hot], -1)
    log_p_y = model.label_logits.log_softmax(-1)[y]
    return log_p_y + log_prior_of_z(model, z, y) + model.decoder(both).log_prob(tokens)


def bound_of_label(model, guide, y):
    """E under q(z | x, y) of log p(x, y, z) - log q(z | x, y), by the trapezoid rule; ``(N,)``."""
    features = guide.encoder(SENTENCES)
    loc, scale = (each[:, y, 0] for each in guide._of_labels(features))
    z = GRID[:, None].expand(-1, len(SENTENCES))
    log_q = dist.Normal(loc, scale).log_prob(z)
    inside = log_joint(model, SENTENCES, z, y) - log_q
    return (log_q.exp() * inside).sum(0) * (GRID[1] - GRID[0])


@torch.no_grad()
def exact_bounds(model, guide):
    """Of text and label where it is given, of the text where it is not; ``(N,)``."""
    by_label = torch.stack([bound_of_label(model, guide, y) for y in range(NUM_LABELS)], -1)
    log_q = guide.label_logits(guide.encoder(SENTENCES)).log_softmax(-1)
    of_text = (log_q.exp() * (by_label - log_q)).sum(-1)
    given = by_label.gather(-1, LABELS.clamp(min=0)[:, None]).squeeze(-1)
    return torch.where(LABELS >= 0, given, of_text)


@pytest.mark.parametrize("kind", KINDS)
def test_density_is_that_of_the_story(kind):
    model, z = model_of(kind), torch.randn(4, dtype=torch.float64)
    drawn = torch.tensor([0, 1, 1, 0])
    with poutine.condition(data={"y_unobserved": drawn, "z": z.unsqueeze(-1)}):
        trace = poutine.trace(model).get_trace(tokens=SENTENCES, labels=LABELS)
    trace.compute_log_prob()
    total = sum(trace.nodes[name]["log_prob"] for name in ("y_observed", "y_unobserved", "z", "x"))
    used = torch.where(LABELS >= 0, LABELS, drawn).tolist()
    by_hand = [
        log_joint(model, SENTENCES[i : i + 1], z[i : i + 1, None], y)[0, 0]
        for i, y in enumerate(used)
    ]
    torch.testing.assert_close(total, torch.stack(by_hand))


@pytest.mark.parametrize("kind", KINDS)
def test_bound_by_pyro_is_that_by_quadrature(kind):
    """The label summed over where it is not given, and in no term of the guide where it is."""
    model, guide = model_of(kind), guide_of_words()
    exact = exact_bounds(model, guide)
    # In double precision Pyro would multiply its own ones, of single precision, by the costs.
    model, guide = model.float(), guide.float()
    model.decoder.bias = model.decoder.bias.float()
    pyro.set_rng_seed(0)
    bound = TraceEnum_ELBO(num_particles=250, vectorize_particles=True, max_plate_nesting=1)
    with torch.no_grad():
        values = [-bound.loss(model, guide, SENTENCES, LABELS) for _ in range(16)]
    values = torch.tensor(values, dtype=torch.float64)
    error = values.std() / math.sqrt(len(values))
    assert abs(values.mean() - exact.sum()) < 4 * error
    assert error < 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_bound_by_ours_is_that_by_quadrature(kind):
    """Under the guide of labels, and under one without them: then the sum is in the model."""
    model, guide = model_of(kind), guide_of_words()
    torch.manual_seed(5)
    plain = GaussianGuide(guide.encoder, latent_dim=1).double()
    for each, exact in ((guide, exact_bounds(model, guide)), (plain, bounds_inside(model, plain))):
        pyro.set_rng_seed(0)
        bound = BetaELBO(num_particles=250)
        values = [-bound.loss(model, each, tokens=SENTENCES, labels=LABELS) for _ in range(16)]
        values = torch.tensor(values, dtype=torch.float64)
        error = values.std() / math.sqrt(len(values))
        assert abs(values.mean() - exact.sum()) < 4 * error
        assert error < 0.3


@torch.no_grad()
def bounds_inside(model, guide):
    """E under q(z | x) of log sum_y p(x, y, z) - log q(z | x), with y where it is given."""
    posterior = guide.posterior(guide.encoder(SENTENCES)).base_dist
    z = GRID[:, None].expand(-1, len(SENTENCES))
    log_q = dist.Normal(posterior.loc[:, 0], posterior.scale[:, 0]).log_prob(z)
    by_label = torch.stack([log_joint(model, SENTENCES, z, y) for y in range(NUM_LABELS)], -1)
    given = by_label.gather(-1, LABELS.clamp(min=0).expand(len(z), -1)[..., None]).squeeze(-1)
    log_p = torch.where(LABELS >= 0, given, by_label.logsumexp(-1))
    return (log_q.exp() * (log_p - log_q)).sum(0) * (GRID[1] - GRID[0])


@pytest.mark.parametrize("kind", KINDS)
def test_sentences_of_a_label(kind):
    """The label that is given is the one that is said, and none is drawn from p(y)."""
    model = model_of(kind)
    pyro.set_rng_seed(0)
    tokens = SENTENCES[:1].expand(4000, -1)
    for labels in (torch.zeros(400, dtype=torch.long), torch.ones(400, dtype=torch.long)):
        trace = poutine.trace(model).get_trace(tokens=tokens[:400], labels=labels)
        assert torch.equal(trace.nodes["y"]["value"], labels)
        if kind == "labelled_mixture_vae":
            y = int(labels[0])
            z, scale = trace.nodes["z"]["value"].mean(), model.log_scale[y, 0].exp()
            assert abs(z - model.loc[y, 0]) < 4 * scale / 20
    drawn = poutine.trace(model).get_trace(tokens=tokens).nodes["y"]["value"].double().mean()
    share = model.label_logits.softmax(-1)[1]
    assert abs(drawn - share) < 4 * (share * (1 - share) / 4000).sqrt()


def test_guide_takes_the_posterior_of_the_label_that_is_given():
    guide = guide_of_words()
    features = guide.encoder(SENTENCES)
    loc, scale = guide._of_labels(features)
    with poutine.condition(data={"y_unobserved": torch.tensor([0, 1, 1, 0])}):
        site = poutine.trace(guide).get_trace(SENTENCES, LABELS).nodes["z"]["fn"]
    rows, used = torch.arange(4), torch.tensor([1, 1, 0, 0])
    torch.testing.assert_close(site.base_dist.loc, loc[rows, used])
    torch.testing.assert_close(site.base_dist.scale, scale[rows, used])


def test_posterior_without_the_label_is_the_mixture():
    guide = guide_of_words()
    features = guide.encoder(SENTENCES)
    z = torch.randn(4, 1, dtype=torch.float64)
    log_q = guide.label_posterior(features).logits
    parts = [
        log_q[:, y] + guide.posterior_given_label(features, torch.tensor(y)).log_prob(z)
        for y in range(NUM_LABELS)
    ]
    by_hand = torch.stack(parts, -1).logsumexp(-1)
    torch.testing.assert_close(guide.posterior(features).log_prob(z), by_hand)


@pytest.mark.parametrize("kind", KINDS)
def test_neither_text_nor_labels_nor_size(kind):
    with pytest.raises(UserError, match="needs tokens, labels or size: give one"):
        model_of(kind)()


def test_reconstruction_with_another_label_is_of_the_same_z():
    sizes = {"vocab_size": 20, "embedding_dim": 4, "hidden_dim": 5}
    decoder = GRUDecoder(**sizes, latent_dim=1 + NUM_LABELS, max_length=12)
    model = LabelledVAE(StandardNormal(1), decoder, NUM_LABELS).double()
    given = []
    decoder.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0].detach()))
    batch = {"tokens": SENTENCES, "labels": torch.tensor([1, 1, 0, 1])}
    for changed in (None, {"labels": torch.tensor([0, 0, 0, 0])}):
        reconstruct(model, guide_of_words(), batch, changed=changed)
    own, other = given
    assert torch.equal(own[:, 0], other[:, 0])
    assert own[:, 1:].argmax(1).tolist() == [1, 1, 0, 1]
    assert other[:, 1:].argmax(1).tolist() == [0, 0, 0, 0]
