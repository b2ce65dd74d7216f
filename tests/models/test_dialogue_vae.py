# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The dialogue VAE against integrals over z and sums over acts."""

import pytest
import torch
from pyro import poutine

from pyro_textvae.conditional_priors import ConditionalGaussian
from pyro_textvae.generation import sample
from pyro_textvae.guides import DialogueGuide
from pyro_textvae.infer import BetaELBO, PerDatumELBO
from pyro_textvae.models import DialogueVAE
from pyro_textvae.nn import BagOfWordsEncoder, GRUDecoder
from pyro_textvae.special_tokens import EOS
from tests.nn.test_source import all_rows

BATCH = {
    "tokens": torch.tensor([[3, 4, EOS], [EOS, 0, 0], [5, 3, EOS], [4, EOS, 0]]),
    "source": torch.tensor([[4, 4, 5, EOS], [3, EOS, 0, 0], [5, EOS, 0, 0], [3, 5, EOS, 0]]),
    "labels": torch.tensor([1, -1, 0, -1]),
}
POINTS = torch.linspace(-9.0, 9.0, 201, dtype=torch.float64)
ACTS = 3


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    sizes = {"vocab_size": 6, "embedding_dim": 3, "hidden_dim": 5}
    encoders = [BagOfWordsEncoder(**sizes) for _ in range(3)]
    memory_dim = encoders[0].memory_dim
    decoder = GRUDecoder(**sizes, latent_dim=3, max_length=3, memory_dim=memory_dim)
    prior = ConditionalGaussian(5, 1)
    model = DialogueVAE(encoders[0], prior, decoder, 1, num_labels=ACTS, label_dim=2)
    guide = DialogueGuide(*encoders[1:], latent_dim=1, num_labels=ACTS, label_dim=2)
    for program, spread in ((model, 0.8), (guide, 0.3)):
        for parameter in program.parameters():
            torch.nn.init.normal_(parameter, std=spread)
    return model.double().eval(), guide.double().eval()


@torch.no_grad()
def log_joint(model, rows, source):
    """log p(row, y | source) of each act ``(ACTS, N)``, by the trapezoid rule."""
    memory, features = model.source_encoder.read(source)
    z = POINTS.view(-1, 1, 1).expand(-1, len(source), 1)
    log_prior = model.conditional_prior(features).log_prob(z)
    of_acts = model.act(torch.cat([z, features.expand(len(POINTS), -1, -1)], -1)).log_softmax(-1)
    scores = []
    for act in range(ACTS):
        vector = model.act_vector.weight[act].expand(*z.shape[:-1], -1)
        log_p = model.decoder(torch.cat([z, vector], -1), memory).log_prob(rows)
        log_p = log_p + log_prior + of_acts[..., act]
        scores.append(log_p.logsumexp(0) + (POINTS[1] - POINTS[0]).log())
    return torch.stack(scores)


def exact(model, batch):
    """log p(x, y | s) where the act is given, log p(x | s) where it is not."""
    of_acts = log_joint(model, batch["tokens"], batch["source"])
    given = of_acts.gather(0, batch["labels"].clamp(min=0).unsqueeze(0)).squeeze(0)
    return torch.where(batch["labels"] < 0, of_acts.logsumexp(0), given)


@pytest.mark.parametrize("labels", [BATCH["labels"], torch.tensor([2, 0, 1, 1]), None])
def test_weights_have_the_mean_that_quadrature_finds(pair, labels):
    """Acts given, partly given, and not at all; |z| < 4.5 for each of four replies."""
    given = {} if labels is None else {"labels": labels}
    batch = {name: value for name, value in BATCH.items() if name != "labels"} | given
    torch.manual_seed(1)
    with torch.no_grad():
        weights = PerDatumELBO(num_particles=4000).terms(*pair, **batch).log_weights
    truth = exact(pair[0], batch | {"labels": torch.full((4,), -1) if labels is None else labels})
    ratios = (weights - truth).exp()
    errors = (ratios.mean(0) - 1) / (ratios.std(0) / 4000**0.5)
    assert errors.abs().max() < 4.5
    assert (ratios.std(0) / 4000**0.5).max() < 0.1
    with torch.no_grad():
        bound = -BetaELBO(num_particles=400)(*pair)(**batch)
    assert bound < truth.sum()
    if labels is not None and (labels >= 0).all():
        # Nothing of q(y | x) is in the bound of acts that are given.
        total = weights.sum(1)
        assert abs(bound - total.mean()) < 4.5 * total.std() / 400**0.5


def test_density_of_a_reply_its_act_and_its_latent_is_the_product_of_its_parts(pair):
    model, labels = pair[0], torch.tensor([2, 0, 1, 1])
    z = torch.tensor([[0.3], [-1.2], [2.0], [0.1]]).double()
    program = poutine.condition(model, data={"z": z})
    trace = poutine.trace(program).get_trace(**BATCH | {"labels": labels})
    memory, features = model.source_encoder.read(BATCH["source"])
    log_p = model.conditional_prior(features).log_prob(z)
    scores = torch.cat([z, features], 1) @ model.act.weight.T + model.act.bias
    log_p = log_p + scores.log_softmax(-1)[range(4), labels]
    given = torch.cat([z, model.act_vector.weight[labels]], 1)
    log_p = log_p + model.decoder(given, memory).log_prob(BATCH["tokens"])
    assert trace.log_prob_sum().item() == pytest.approx(log_p.sum().item(), abs=1e-10)


def test_probabilities_of_all_replies_and_acts_sum_to_one(pair):
    rows = all_rows(6, 3)
    for source in BATCH["source"]:
        sources = source.expand(len(rows), -1)
        total = log_joint(pair[0], rows, sources).logsumexp((0, 1))
        assert total.abs() < 1e-10


def test_replies_of_an_act_are_those_of_it(pair):
    """First words of 3,000 replies differ from act to act; without one they are of p(x | s)."""
    model, _ = pair
    source, rows = BATCH["source"][:1], all_rows(6, 3)
    of_acts = log_joint(model, rows, source.expand(len(rows), -1))
    shares = []
    for act in range(ACTS):
        drawn = sample(
            model,
            {"source": source.expand(3000, -1), "labels": torch.full((3000,), act)},
            seed=act,
        )
        shares.append([(drawn[:, 0] == word).double().mean().item() for word in range(2, 6)])
    free = sample(model, {"source": source.expand(3000, -1)}, seed=3)
    p_x = of_acts.logsumexp(0).exp()
    for word in range(2, 6):
        share = p_x[rows[:, 0] == word].sum().item()
        found = (free[:, 0] == word).double().mean().item()
        assert abs(found - share) < 4.5 * (share * (1 - share) / 3000) ** 0.5
    spread = torch.tensor(shares).std(0)
    assert spread.max() > 0.03
