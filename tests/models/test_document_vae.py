# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Documents: densities written out, likelihood by quadrature over all latents at once."""

import math

import pytest
import torch
from pyro import poutine

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.proposals import SequentialProposal
from pyro_textvae.generation import interpolate, reconstruct, sample
from pyro_textvae.guides import DocumentGuide
from pyro_textvae.infer import BetaELBO
from pyro_textvae.models import DocumentVAE
from pyro_textvae.nn import BagOfWordsEncoder, GRUDecoder
from pyro_textvae.priors import StandardNormal
from pyro_textvae.testing import check_guide, check_model
from tests.quadrature import TinyTextModel

# Two documents of two sentences and one of one.
DOCUMENTS = torch.tensor([[[5, 9, 2], [3, 7, 2]], [[17, 6, 2], [5, 2, 0]], [[8, 14, 2], [0, 0, 0]]])


BEFORE = {"sentence_before": True, "vocab_size": 20, "embedding_dim": 4, "hidden_dim": 3}


def pair_of(plan=True, **options):
    torch.manual_seed(2)
    width = DocumentVAE.decoder_latent_dim(2, "sentence_before" in options)
    decoder = TinyTextModel(width)
    model = DocumentVAE(StandardNormal(1), decoder, 1, 2, plan_dim=2, plan=plan, **options)
    model = model.double()
    guide = DocumentGuide(BagOfWordsEncoder(20, 4, 6), 1).double()
    guide.document.bias.data[1] = guide.sentence.bias.data[1] = 0.2
    return model, guide


def log_prob_given(model, d, z, document):
    """log p(S, x | d, z) of one document, sentence by sentence; d ``(G,)``, z ``(G, S)``."""
    number = int((document != 0).any(-1).sum())
    total = model.number(d.unsqueeze(-1)).log_softmax(-1)[:, number - 1]
    v = model.plan.begin(d.unsqueeze(-1)).tanh() if model.has_plan else None
    for s in range(number):
        if model.has_plan:
            inputs = torch.stack([d, z[:, s]], -1).unsqueeze(1)
            v = model.plan.rnn(inputs, v.unsqueeze(0))[0].squeeze(1)
        else:
            v = model.plan(z[:, s : s + 1])
        latent = v
        if model.before is not None:
            before = model.before.none
            if s:
                before = model.before.vector(model.before.encoder(document[s - 1 : s])[0])
            latent = torch.cat([v, before.tanh().expand_as(v)], -1)
        total = total + model.decoder(latent).log_prob(document[s])
    return total


@torch.no_grad()
def exact_log_px(model, document):
    """By the trapezoid rule over d and the z of the sentences there are."""
    points = torch.linspace(-4.5, 4.5, 21, dtype=torch.float64)
    number = int((document != 0).any(-1).sum())
    grid = torch.cartesian_prod(*[points] * (number + 1))
    log_prior = torch.distributions.Normal(0.0, 1.0).log_prob(grid).sum(-1)
    step = (points[1] - points[0]).log() * (number + 1)
    return (log_prior + log_prob_given(model, grid[:, 0], grid[:, 1:], document)).logsumexp(
        0
    ) + step


@pytest.mark.parametrize(
    "options", [{"plan": True}, {"plan": False}, {"plan": True, **BEFORE}], ids=str
)
def test_likelihood_of_documents_by_quadrature(options):
    model, guide = pair_of(**options)
    exact = torch.stack([exact_log_px(model, document) for document in DOCUMENTS])
    estimate = log_likelihood(model, guide, [{"tokens": DOCUMENTS}], 2000, seed=3)
    error = (estimate.log_px - exact) / estimate.standard_error
    assert error.abs().max() < 4.5
    assert estimate.standard_error.max() < 0.07
    # The number of sentences is a part of the text, not beside it.
    assert not estimate.beside_text
    assert math.isfinite(estimate.nll)


@pytest.mark.parametrize(
    "options", [{"plan": True}, {"plan": False}, {"plan": True, **BEFORE}], ids=str
)
def test_likelihood_by_particles_from_sentence_to_sentence_is_that_of_quadrature(options):
    """|z| < 4.5; steps and whole are compared by the estimator itself. A document has as many."""
    model, guide = pair_of(**options)
    exact = torch.stack([exact_log_px(model, document) for document in DOCUMENTS])
    found = log_likelihood(
        model, guide, [{"tokens": DOCUMENTS}], 1000, seed=3, proposal=SequentialProposal()
    )
    assert found.notes == ()
    assert ((found.log_px - exact).abs() < 4.5 * found.standard_error).all()
    assert found.standard_error.max() < 0.1


def test_one_draw_of_the_bound_by_hand():
    model, guide = pair_of()
    torch.manual_seed(7)
    bound = BetaELBO()
    state = torch.get_rng_state()
    loss = bound.loss(model, guide, tokens=DOCUMENTS)
    torch.set_rng_state(state)
    trace = poutine.trace(guide).get_trace(DOCUMENTS)
    d, z = (trace.nodes[name]["value"].squeeze(-1) for name in ("z_whole", "z"))
    total = 0.0
    with torch.no_grad():
        for row, document in enumerate(DOCUMENTS):
            number = int((document != 0).any(-1).sum())
            total += log_prob_given(model, d[row], z[row : row + 1], document).sum()
            for name, places in (("z_whole", 1), ("z", number)):
                q = trace.nodes[name]["fn"]
                while not hasattr(q, "base_dist") or not hasattr(q.base_dist, "loc"):
                    q = q.base_dist
                loc, scale = (
                    each.expand(3, -1, 1)[row, :places, 0]
                    for each in (q.base_dist.loc, q.base_dist.scale)
                )
                total -= (0.5 * (scale**2 + loc**2 - 1) - scale.log()).sum()
    assert loss == pytest.approx(-total.item())


def test_programs_keep_the_contract():
    torch.manual_seed(0)
    decoder = GRUDecoder(9, 4, 5, 6, 5)
    model = DocumentVAE(StandardNormal(3), decoder, 3, 3, plan_dim=6)
    check_model(model)
    check_guide(DocumentGuide(BagOfWordsEncoder(9, 4, 5), 3), model)


def test_a_document_is_drawn_with_its_number_of_sentences_and_reconstructed_with_its_own():
    torch.manual_seed(0)
    model = DocumentVAE(StandardNormal(3), GRUDecoder(20, 4, 5, 6, 5), 3, 4, plan_dim=6)
    guide = DocumentGuide(BagOfWordsEncoder(20, 4, 5), 3)
    drawn = sample(model, 200, seed=1)
    there = (drawn != 0).any(-1)
    assert drawn.shape == (200, 4, 5)
    assert set(there.sum(1).tolist()) == {1, 2, 3, 4}
    # Those that there are come first.
    assert (there[:, :-1] >= there[:, 1:]).all()
    again = reconstruct(model, guide, {"tokens": DOCUMENTS})
    assert (again != 0).any(-1).sum(1).tolist() == [2, 2, 1]
    between = interpolate(model, guide, {"tokens": DOCUMENTS[:2]}, steps=3)
    assert between.shape == (3, 4, 5)


def test_what_is_drawn_one_by_one_has_the_density_of_all_together():
    """Greedy choice one by one is what scoring says is likeliest given the sentence before."""
    torch.manual_seed(1)
    sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 8}
    decoder = GRUDecoder(**sizes, latent_dim=2 * 4, max_length=5)
    model = DocumentVAE(StandardNormal(2), decoder, 2, 3, plan_dim=4, sentence_before=True, **sizes)
    model.before.encoder.embedding.weight.data *= 20
    model.before.vector.weight.data *= 5
    model.before.none.data += 2.0
    model.eval()
    latents = {
        "z_whole": torch.randn(6, 1, 2),
        "z": torch.randn(6, 3, 2),
        "num_sentences": torch.full((6, 1), 2),
    }
    said = sample(model, 6, method="greedy", latents=latents)
    with torch.no_grad():
        v = model.plan(latents["z_whole"], latents["z"])
        together = model.decoder(model.before.beside(v, model.before.of_each(said))).greedy()
    assert torch.equal(said, together)
    assert len(said[:, 1:].flatten(0, 1).unique(dim=0)) > 1
    check_model(model)
    assert (sample(model, 60, seed=1) != 0).any(-1).sum(1).unique().tolist() == [1, 2, 3]


def test_a_sentence_before_needs_what_it_is_read_with():
    with pytest.raises(UserError, match="give all three"):
        DocumentVAE(StandardNormal(1), TinyTextModel(4), 1, 2, plan_dim=2, sentence_before=True)


@pytest.mark.parametrize("plan", [True, False])
def test_the_plan_goes_forward_and_the_baseline_has_none(plan):
    """What is new in a sentence changes those after it with a plan, and itself alone without."""
    model, _ = pair_of(plan)
    d, z = torch.zeros(1, 1, 1).double(), torch.zeros(1, 3, 1).double()

    def vectors(z):
        return model.plan(d, z) if plan else model.plan(z)

    for place in range(3):
        moved = z.clone()
        moved[0, place] = 1.0
        differs = (vectors(moved) != vectors(z)).any(-1)[0].tolist()
        assert differs == [s >= place if plan else s == place for s in range(3)]
