# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Documents that go on after a beginning, against quadrature over all latents."""

import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.generation.completion import continue_documents
from pyro_textvae.guides import DocumentGuide
from pyro_textvae.models import DocumentVAE, SentenceVAE
from pyro_textvae.nn import BagOfWordsEncoder, GRUDecoder
from pyro_textvae.priors import StandardNormal

SIZES = {"vocab_size": 6, "embedding_dim": 4, "hidden_dim": 8}
# Every sentence that a decoder of two tokens writes, <unk> among its words.
SENTENCES = torch.tensor([[2, 0], *([a, b] for a in (3, 4, 5) for b in (2, 3, 4, 5))])
BEGINNING = torch.tensor([[[4, 2]]])


def pair_of(sentence_before):
    torch.manual_seed(5)
    width = DocumentVAE.decoder_latent_dim(4, sentence_before)
    decoder = GRUDecoder(**SIZES, latent_dim=width, max_length=2)
    model = DocumentVAE(
        StandardNormal(1), decoder, 1, 3, 4, sentence_before=sentence_before, **SIZES
    )
    # So that number and sentences depend on the latents, and on the sentence before.
    for name, value in model.named_parameters():
        value.data *= 12.0 if "before.vector" in name else 5.0
    model.number.weight.data = torch.tensor([[4.0], [0.0], [-2.0]])
    guide = DocumentGuide(BagOfWordsEncoder(**SIZES), 1)
    guide.document.bias.data[0] = guide.sentence.bias.data[0] = 0.7
    return model, guide


@torch.no_grad()
def exact(model):
    """p(S, x_2 | x_1, S > 1), ``(2, 13)``, of S = 2, 3 and each sentence."""
    points = torch.linspace(-4.5, 4.5, 25)
    d, z1, z2 = torch.cartesian_prod(points, points, points).T[..., None, None]
    log_prior = torch.distributions.Normal(0.0, 1.0).log_prob(torch.stack([d, z1, z2])).sum(0)
    v = model.plan(d, torch.cat([z1, z2], 1))
    latents = v
    if model.before is not None:
        before = torch.cat([model.before.of_none(), model.before.of(BEGINNING)], 1)
        latents = model.before.beside(v, before)
    first = model.decoder(latents[:, 0]).log_prob(BEGINNING[0, 0])
    second = model.decoder(latents[:, 1:2]).log_prob(SENTENCES)
    numbers = model.number(d)[:, 0].log_softmax(-1)[:, 1:]
    log_joint = (log_prior[:, 0] + first[:, None] + numbers)[..., None] + second[:, None]
    joint = log_joint.logsumexp(0).exp()
    return joint / joint.sum()


@pytest.mark.parametrize("sentence_before", [False, True])
def test_what_comes_after_a_beginning_has_its_probability(sentence_before):
    """|z| < 4.5 of 6,000 draws, some of the same latent, but for a draw of what is rare."""
    model, guide = pair_of(sentence_before)
    truth = exact(model.eval())
    drawn = continue_documents(model, guide, BEGINNING, size=6000, num_particles=6000, seed=1)
    number = (drawn.tokens != 0).any(-1).sum(1)
    assert (drawn.tokens[:, 0] == BEGINNING[0, 0]).all()
    assert number.min() == 2
    second = (drawn.tokens[:, 1, None] == SENTENCES).all(-1).int().argmax(-1)
    shares = torch.zeros(2, 13).index_put((number - 2, second), torch.tensor(1 / 6000), True)
    error = (truth * (1 - truth) * (1 / 6000 + 1 / drawn.effective_particles)).sqrt()
    assert ((shares - truth).abs() < 4.5 * error + 1 / 6000).all()


def test_what_cannot_go_on_is_one_line():
    model, guide = pair_of(False)
    with pytest.raises(UserError, match="has 3 sentences and a document of the model 3 at the"):
        continue_documents(model, guide, BEGINNING.expand(-1, 3, -1))
    of_one = SentenceVAE(StandardNormal(1), GRUDecoder(**SIZES, latent_dim=1, max_length=2))
    with pytest.raises(UserError, match="writes no documents"):
        continue_documents(of_one, guide, BEGINNING)
