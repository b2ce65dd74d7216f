# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Poems: likelihood by quadrature, who is given what, and masks that keep them to their form."""

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from pyro_textvae.data import load_corpus, pad, train_tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.proposals import GuideProposal, SequentialProposal
from pyro_textvae.generation import Constraints, build_method, generate, sample
from pyro_textvae.guides import DocumentGuide
from pyro_textvae.models import PoemVAE
from pyro_textvae.nn import BagOfWordsEncoder, GRUDecoder
from pyro_textvae.nn.form_masks import FormMasks
from pyro_textvae.priors import StandardNormal
from pyro_textvae.special_tokens import EOS
from pyro_textvae.testing import check_guide, check_model

TOKENIZER = train_tokenizer(["月 雪 光 霜 ang 仄平 平"])


def ids(text):
    return [*TOKENIZER.encode(text), EOS]


POEMS = {
    "tokens": torch.stack([pad([ids("月 光"), ids("霜")]), pad([ids("霜 雪"), []])]),
    "source": pad([ids("ang 仄平 平"), ids("ang 仄平")]),
}


def pair_of(lines_before, latent_dim=1):
    torch.manual_seed(2)
    sizes = {"vocab_size": len(TOKENIZER), "embedding_dim": 4, "hidden_dim": 5}
    width = PoemVAE.decoder_latent_dim(latent_dim, 2, lines_before)
    model = PoemVAE(
        StandardNormal(latent_dim),
        GRUDecoder(**sizes, latent_dim=width, max_length=4),
        BagOfWordsEncoder(**sizes),
        latent_dim,
        2,
        TOKENIZER,
        plan_dim=2,
        lines_before=lines_before,
    )
    if lines_before:
        model.encoder.embedding.weight.data *= 20
    torch.nn.init.normal_(model.text.decoder.token_scores.weight)
    return model, DocumentGuide(BagOfWordsEncoder(**sizes), latent_dim)


def log_prob_given(model, d, z, rows, places):
    """log p(x, z | d, f) of one poem, line after line; d ``(G,)``, z ``(G, L)``."""
    total, d = torch.zeros_like(d), d.unsqueeze(-1)
    h = None if model.before is None else model.before.begin(d).tanh()
    for number in range(z.shape[1]):
        v = torch.cat([d, z[:, number : number + 1]] + ([] if h is None else [h]), -1)
        line = model.text(v, places[number : number + 1])
        total = total + Normal(0.0, 1.0).log_prob(z[:, number]) + line.log_prob(rows[number])
        if h is not None:
            read = model.encoder(rows[number : number + 1]).expand(len(d), -1)
            h = model.before.rnn(read.unsqueeze(1), h.unsqueeze(0))[0].squeeze(1)
    return total


@pytest.mark.parametrize("lines_before", [True, False])
def test_likelihood_by_quadrature(lines_before):
    model, guide = (program.double().eval() for program in pair_of(lines_before))
    points = torch.linspace(-4.5, 4.5, 15, dtype=torch.float64)
    exact = []
    with torch.no_grad():
        every = model.forms(POEMS["source"])
        for rows, places, number in zip(POEMS["tokens"], every, [2, 1], strict=True):
            grid = torch.cartesian_prod(*[points] * (number + 1))
            log_joint = log_prob_given(model, grid[:, 0], grid[:, 1:], rows, places)
            log_joint = log_joint + Normal(0.0, 1.0).log_prob(grid[:, 0])
            exact.append(log_joint.logsumexp(0) + (points[1] - points[0]).log() * (number + 1))
    for proposal in (GuideProposal(), SequentialProposal()):
        estimate = log_likelihood(model, guide, [POEMS], 600, seed=3, proposal=proposal)
        assert estimate.notes == ()
        error = (estimate.log_px - torch.stack(exact)) / estimate.standard_error
        assert error.abs().max() < 4.5
        assert estimate.standard_error.max() < 0.1


@pytest.mark.parametrize("lines_before", [True, False])
def test_programs_keep_the_contract(lines_before):
    model, guide = pair_of(lines_before, latent_dim=2)
    condition = {"source": pad([ids("ang 仄平 平"), ids("ang 仄平"), ids("ang 平 仄平")])}
    check_model(model, condition=condition)
    check_guide(guide, model, condition=condition)
    there = (sample(model, condition, seed=1) != 0).any(-1)
    assert there.tolist() == [[True, True], [True, False], [True, True]]


def test_a_place_is_told_what_it_asks_for_and_what_all_after_it_do():
    model, _ = pair_of(lines_before=False)
    v = torch.zeros(1, 2)
    first = model.text(v, torch.tensor([[1, 1, 1, 0]])).context.memory
    for changed in range(4):
        places = torch.tensor([[1, 1, 1, 0]])
        places[0, changed] = 2
        told = model.text(v, places).context.memory
        differs = (told.states != first.states).any(-1)[0]
        assert differs.tolist() == [place <= changed for place in range(4)]
    rows, mask = torch.tensor([ids("月 光")]), torch.ones(1, 3, dtype=torch.bool)
    by_places = [
        model.text.token_log_prob(rows, mask, model.text(v, torch.tensor([places])).context)
        for places in ([1, 1, 0, 0], [1, 2, 0, 0])
    ]
    assert (by_places[0] != by_places[1]).all()


def test_a_poem_of_another_number_of_lines_than_its_form_is_named():
    model, _ = pair_of(lines_before=True)
    wrong = {**POEMS, "source": POEMS["source"][[0, 0]]}
    with pytest.raises(UserError, match="poem 2 of the batch has 1 lines, and its form 2"):
        model(**wrong)


@pytest.fixture(scope="module")
def verse():
    return load_corpus("world:verse", num_sentences=60)


@pytest.mark.parametrize(
    ("method", "lines_before"),
    [
        ("ancestral", True),
        ("ancestral", False),
        ("nucleus", True),
        ("greedy", False),
        ("beam", True),
    ],
)
def test_with_masks_every_poem_of_an_untrained_model_keeps_to_its_form(verse, method, lines_before):
    torch.manual_seed(0)
    sizes = {"vocab_size": len(verse.tokenizer), "embedding_dim": 4, "hidden_dim": 5}
    width = PoemVAE.decoder_latent_dim(2, 3, lines_before)
    decoder = GRUDecoder(**sizes, latent_dim=width, max_length=verse.max_length)
    encoder = BagOfWordsEncoder(**sizes)
    model = PoemVAE(StandardNormal(2), decoder, encoder, 2, 4, verse.tokenizer, 3, lines_before)
    source = verse.train.batch(np.arange(16))["source"]
    masks = FormMasks(verse.tokenizer, verse.world.sign_classes)
    faults = {}
    for name, constraints in {"kept": Constraints(keep_form=masks), "free": Constraints()}.items():
        drawn = generate(
            model, {"source": source}, method=build_method(method), constraints=constraints
        )
        faults[name] = [
            verse.world.faults(verse.tokenizer.decode_lines(poem), verse.tokenizer.decode(form))
            for poem, form in zip(drawn.tokens.tolist(), source.tolist(), strict=True)
        ]
        if name == "kept" and method == "ancestral":
            assert (drawn.score > drawn.log_prob + 1).all()
    assert not any(faults["kept"])
    assert all(faults["free"])
