# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Conversations and groups of reviews: likelihood by quadrature, and who hears whom."""

import pytest
import torch
from torch.distributions import Normal

from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.proposals import GuideProposal, SequentialProposal
from pyro_textvae.generation import sample
from pyro_textvae.guides import DocumentGuide
from pyro_textvae.models import ConversationVAE, DocumentVAE, ReviewGroupVAE
from pyro_textvae.nn import BagOfWordsEncoder, GRUDecoder
from pyro_textvae.priors import StandardNormal
from pyro_textvae.testing import check_guide, check_model
from tests.quadrature import TinyTextModel

TALKS = torch.tensor([[[5, 9, 2], [3, 7, 2]], [[8, 14, 2], [0, 0, 0]]])


def conversation_pair():
    torch.manual_seed(2)
    encoder = BagOfWordsEncoder(20, 4, 6)
    model = ConversationVAE(StandardNormal(1), TinyTextModel(4), encoder, 1, 2, plan_dim=2)
    encoder.embedding.weight.data *= 20
    return model.double(), DocumentGuide(BagOfWordsEncoder(20, 4, 6), 1).double()


def review_pair():
    torch.manual_seed(2)
    model = ReviewGroupVAE(StandardNormal(1), TinyTextModel(1), 1, 2)
    guide = DocumentGuide(BagOfWordsEncoder(20, 4, 6), 1, ordered=False)
    return model.double(), guide.double()


def log_prob_given(model, d, z, talk):
    """log p(x, z | d) of one conversation or group, one after another; d ``(G,)``, z ``(G, U)``."""
    number = int((talk != 0).any(-1).sum())
    d = d.unsqueeze(-1)
    total = model.number(d).log_softmax(-1)[:, number - 1]
    if isinstance(model, ReviewGroupVAE):
        loc, log_scale = model.review(d).unbind(-1)
        for u in range(number):
            total = total + Normal(loc, log_scale.exp()).log_prob(z[:, u])
            total = total + model.decoder(z[:, u : u + 1]).log_prob(talk[u])
        return total
    h = model.before.begin(d).tanh()
    for u in range(number):
        loc, log_scale = model.utterance(torch.cat([h, d], -1)).chunk(2, -1)
        v = torch.cat([loc + log_scale.exp() * z[:, u : u + 1], h, d], -1)
        total = total + Normal(0.0, 1.0).log_prob(z[:, u]) + model.decoder(v).log_prob(talk[u])
        heard = model.encoder(talk[u : u + 1]).expand(len(d), -1)
        h = model.before.rnn(heard.unsqueeze(1), h.unsqueeze(0))[0].squeeze(1)
    return total


@pytest.mark.parametrize("pair_of", [conversation_pair, review_pair])
def test_likelihood_by_quadrature(pair_of):
    model, guide = pair_of()
    model.eval()
    points = torch.linspace(-4.5, 4.5, 21, dtype=torch.float64)
    exact = []
    with torch.no_grad():
        for talk in TALKS:
            number = int((talk != 0).any(-1).sum())
            grid = torch.cartesian_prod(*[points] * (number + 1))
            log_joint = log_prob_given(model, grid[:, 0], grid[:, 1:], talk)
            log_joint = log_joint + Normal(0.0, 1.0).log_prob(grid[:, 0])
            step = (points[1] - points[0]).log() * (number + 1)
            exact.append(log_joint.logsumexp(0) + step)
    for proposal in (GuideProposal(), SequentialProposal()):
        estimate = log_likelihood(
            model, guide, [{"tokens": TALKS}], 3000, seed=3, proposal=proposal
        )
        assert estimate.notes == ()
        error = (estimate.log_px - torch.stack(exact)) / estimate.standard_error
        assert error.abs().max() < 4.5
        assert estimate.standard_error.max() < 0.1
    assert not estimate.beside_text


@pytest.mark.parametrize("kind", [ConversationVAE, ReviewGroupVAE])
def test_programs_keep_the_contract(kind):
    torch.manual_seed(0)
    is_talk = kind is ConversationVAE
    decoder = GRUDecoder(9, 4, 5, 3 + 3 + 4 if is_talk else 3, 5)
    parts = (BagOfWordsEncoder(9, 4, 5),) if is_talk else ()
    sizes = {"plan_dim": 4} if is_talk else {}
    model = kind(StandardNormal(3), decoder, *parts, 3, 3, **sizes)
    check_model(model)
    check_guide(DocumentGuide(BagOfWordsEncoder(9, 4, 5), 3), model)
    for method in ("ancestral", "greedy"):
        there = (sample(model, 60, seed=1, method=method) != 0).any(-1)
        assert set(there.sum(1).tolist()) == {1, 2, 3}
        assert (there[:, :-1] >= there[:, 1:]).all()


def test_what_is_drawn_one_by_one_has_the_density_of_all_together():
    """Greedy choice one by one is what scoring says is likeliest given what was said before."""
    torch.manual_seed(1)
    model = ConversationVAE(
        StandardNormal(2), GRUDecoder(9, 4, 8, 2 + 2 + 4, 5), BagOfWordsEncoder(9, 4, 5), 2, 3, 4
    )
    model.encoder.embedding.weight.data *= 20
    model.eval()
    latents = {
        "z_whole": torch.randn(6, 1, 2),
        "z": torch.randn(6, 3, 2),
        "num_sentences": torch.full((6, 1), 2),
    }
    said = sample(model, 6, method="greedy", latents=latents)
    with torch.no_grad():
        features = model.encoder(said.flatten(0, 1)).unflatten(0, said.shape[:2])
        h = model.before(features, latents["z_whole"])
        together = model.text(latents["z"], h, latents["z_whole"]).greedy()
    assert torch.equal(said, together)
    assert len(said[:, 1:].flatten(0, 1).unique(dim=0)) > 1


def test_an_utterance_hears_those_before_it_and_not_itself():
    model, _ = conversation_pair()
    model.eval()
    features = torch.zeros(1, 3, 6).double()
    d = torch.zeros(1, 1, 1).double()
    for place in range(3):
        changed = features.clone()
        changed[0, place] = 1.0
        differs = (model.before(changed, d) != model.before(features, d)).any(-1)[0]
        assert differs.tolist() == [u > place for u in range(3)]


def test_utterances_are_dropped_in_training_alone_and_one_by_one():
    torch.manual_seed(0)
    model, _ = conversation_pair()
    features = torch.ones(500, 3, 6).double()
    d = torch.zeros(500, 1, 1).double()
    model.before.dropout = 0.5
    states = model.train().before(features, d)
    # Of the utterance after the first: about half heard it.
    assert 200 < (states[:, 1] == states[0, 1]).all(-1).sum() < 300
    assert len(states[:, 2].unique(dim=0)) == 4
    assert len(model.eval().before(features, d)[:, 2].unique(dim=0)) == 1


def test_order_of_reviews_says_nothing_to_their_guide():
    _, guide = review_pair()
    talk = TALKS[:1]
    given = (talk != 0).any(-1)
    features = guide.encoder(talk.flatten(0, 1)).unflatten(0, given.shape)
    states = guide.over_sentences(features).tanh()
    torch.testing.assert_close(guide._of_all(states, given), guide._of_all(states.flip(1), given))


@pytest.mark.parametrize("kind", [ConversationVAE, ReviewGroupVAE, DocumentVAE])
def test_what_has_one_part_alone_is_scored_and_drawn(kind):
    """A conversation of one speaker who is not answered, a document of one sentence."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    width = {ConversationVAE: 3 + 3 + 4, ReviewGroupVAE: 3, DocumentVAE: 2 * 4}[kind]
    decoder = GRUDecoder(**sizes, latent_dim=width, max_length=5)
    parts = (BagOfWordsEncoder(9, 4, 5),) if kind is ConversationVAE else ()
    options = {} if kind is ReviewGroupVAE else {"plan_dim": 4}
    if kind is DocumentVAE:
        options |= {"sentence_before": True, **sizes}
    model = kind(StandardNormal(3), decoder, *parts, 3, 1, **options)
    guide = DocumentGuide(BagOfWordsEncoder(9, 4, 5), 3)
    said = torch.tensor([[[5, 6, 2]], [[8, 2, 0]]])
    found = log_likelihood(model, guide, [{"tokens": said}], 20, proposal=GuideProposal())
    assert torch.isfinite(found.log_px).all()
    assert sample(model, 3).shape == (3, 1, 5)
