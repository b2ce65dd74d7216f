# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Users' programs of text with sites that are summed over, under every objective and decoder."""

import itertools

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import TraceEnum_ELBO

from pyro_textvae import zoo
from pyro_textvae.guides import GaussianGuide
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
    SemiAmortisedELBO,
    ThermodynamicELBO,
    WakeSleep,
)
from pyro_textvae.infer.enumeration.factor import DATA, PARTICLES
from pyro_textvae.nn import BagOfWordsEncoder, GRUDecoder
from tests.programs.summed_out import ComponentVAE, TwoClassGuide, TwoClassVAE

SIZES = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 4}
TOKENS = torch.tensor([[4, 5, 2, 0], [6, 4, 7, 2], [8, 2, 0, 0]])
ALL = {
    "BetaELBO": lambda: BetaELBO(num_particles=2),
    "IWAE": lambda: IWAE(2),
    "DReG": lambda: DReG(2),
    "STL": lambda: STL(2),
    "MIWAE": lambda: MIWAE(2, 2),
    "PIWAE": lambda: PIWAE(2, 2),
    "CIWAE": lambda: CIWAE(2),
    "RenyiIWAE": lambda: RenyiIWAE(2),
    "ThermodynamicELBO": lambda: ThermodynamicELBO(2),
    "WakeSleep": lambda: WakeSleep(2),
    "VIMCO": lambda: VIMCO(2),
}
OF_WEIGHTS = {"IWAE", "DReG", "STL", "MIWAE", "PIWAE", "VIMCO"}
"""Those with no q(y | x) in their bound."""


def decoder_and_encoder(kind=GRUDecoder):
    torch.manual_seed(0)
    decoder = kind(**SIZES, latent_dim=2, max_length=6)
    return decoder, BagOfWordsEncoder(**SIZES)


def component():
    decoder, encoder = decoder_and_encoder()
    return ComponentVAE(decoder, 2).double(), GaussianGuide(encoder, 2).double()


def two_classes(kind=GRUDecoder):
    decoder, encoder = decoder_and_encoder(kind)
    return TwoClassVAE(decoder, 2).double(), TwoClassGuide(encoder, 2).double()


def test_every_objective_of_the_catalogue_is_here():
    objectives = {zoo.load("objectives", name).__name__ for name in zoo.names("objectives")}
    assert objectives == {*ALL, "SemiAmortisedELBO"}


@pytest.mark.parametrize("name", [*ALL, "SemiAmortisedELBO"])
@pytest.mark.parametrize("make", [component, two_classes], ids=lambda make: make.__name__)
def test_users_program_trains(make, name):
    model, guide = make()
    objective = ALL[name]() if name in ALL else SemiAmortisedELBO(num_steps=2)
    if name not in ALL and make is two_classes:
        message = "'sentiment' is marked enumerate in the guide, and SemiAmortisedELBO cannot sum"
        with pytest.raises(ValueError, match=message):
            objective(model, guide)(tokens=TOKENS)
        return
    loss = objective(model, guide)
    optimizer = torch.optim.Adam(loss.parameters(), 0.05)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        value = loss(tokens=TOKENS)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert sum(losses[-3:]) < sum(losses[:3]) - 1
    untrained = {
        name
        for program in (model, guide)
        for name, parameter in program.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    }
    has_no_q = make is two_classes and name in OF_WEIGHTS
    assert objective.trains_enumerated_sites is (name not in OF_WEIGHTS)
    of_q = {f"{site}.{part}" for site in ("sentiment", "topic") for part in ("weight", "bias")}
    assert untrained == (of_q if has_no_q else set())


@pytest.mark.parametrize(
    "name", ["lstm", "gru", "dilated_cnn", "transformer", "inputless", "bag_of_words"]
)
def test_every_decoder_scores_all_classes_as_one_after_another(name):
    """Each pair of classes, against the model with the two given, at the same draws of z."""
    model, guide = (p.eval() for p in two_classes(zoo.load("decoders", name)))
    with torch.no_grad():
        terms = IWAE(2).terms(model, guide, tokens=TOKENS)
        (sums,) = terms.enumerated
        (draws,) = [site.draw for site in terms.passes[0] if site.name == "z"]
        both = ["sentiment", "topic"]
        table = sums.log_total(densities=0.0, besides=both).as_dims([*both, PARTICLES, DATA])
        for sentiment, topic in itertools.product(range(2), range(3)):
            classes = {"sentiment": torch.tensor(sentiment), "topic": torch.tensor(topic)}
            z = draws.reshape(3, 2, 3, 2)[topic]
            run = poutine.condition(model, {**classes, "z": z})
            with pyro.plate("num_particles_vectorized", 2, dim=-2):
                trace = poutine.trace(run).get_trace(TOKENS)
            trace.compute_log_prob()
            parts = [s["log_prob"] for s in trace.nodes.values() if s["type"] == "sample"]
            log_joint = sum(part for part in parts if part.shape == (2, 3))
            torch.testing.assert_close(table[sentiment, topic], log_joint, rtol=1e-9, atol=1e-11)


def test_kl_of_each_dimension_is_a_mean_over_values():
    model, guide = two_classes()
    terms = BetaELBO(num_particles=2).terms(model, guide, tokens=TOKENS)
    (site,) = [site for site in terms.passes[0] if site.name == "z"]
    of_dimensions = site.kl_per_dimension()
    assert of_dimensions.shape == (2, 3, 2)
    torch.testing.assert_close(of_dimensions.sum(-1), terms.kl["z"])


def test_text_is_decoded_once_where_the_decoder_does_not_depend_on_the_class():
    model, guide = component()
    rows = []
    score = model.decoder.token_log_prob

    def counted(tokens, mask, context):
        rows.append(tuple(context.batch_shape))
        return score(tokens, mask, context)

    model.decoder.token_log_prob = counted
    loss = BetaELBO(num_particles=2)(model, guide)
    loss(tokens=TOKENS)
    rows.clear()
    loss(tokens=TOKENS).backward()
    assert rows == [(2, 3)]


def test_component_is_integrated_out_of_the_prior():
    """Against the density of the mixture, and Pyro's own sum on the same draws."""
    model, guide = component()
    pyro.set_rng_seed(0)
    terms = BetaELBO(num_particles=2).terms(model, guide, tokens=TOKENS)
    assert set(terms.kl) == {"z"}
    (site,) = terms.passes[0]
    distance = (site.draw.unsqueeze(-2) - model.loc.weight).square().sum(-1)
    log_prior = (-0.5 * distance - torch.log(torch.tensor(2 * torch.pi))).logsumexp(-1)
    expected = log_prior - torch.log(torch.tensor(4.0))
    torch.testing.assert_close(site.log_prior, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(terms.kl["z"], site.log_posterior - site.log_prior)
    pyro.set_rng_seed(0)
    theirs = TraceEnum_ELBO(2, max_plate_nesting=1, vectorize_particles=True)
    found = BetaELBO(num_particles=2)
    pyro.set_rng_seed(0)
    loss = found.loss(model, guide, tokens=TOKENS)
    pyro.set_rng_seed(0)
    assert loss == pytest.approx(theirs.loss(model, guide, TOKENS), rel=1e-9)
