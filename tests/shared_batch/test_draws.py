# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A share of a batch has the random numbers that the batch has at its sentences."""

import pyro
import pyro.distributions as dist
import pytest
import torch
import torch.nn.functional as F
from pyro import poutine

from pyro_textvae.distributions import AutoregressiveCategorical
from pyro_textvae.distributions.mixture import Mixture
from pyro_textvae.nn import TransformerDecoder
from pyro_textvae.shared_batch import (
    Share,
    SharedDraws,
    SiteLayouts,
    can_be_picked,
    of_sentences,
    rows_of_mask,
    sharing,
    text_scored,
)

N, K, T = 7, 3, 5
TOKENS = torch.tensor([[4, 5, 6, 7, 2]] * 3 + [[4, 2, 0, 0, 0]] * 3 + [[2, 0, 0, 0, 0]])


def shares(**options):
    fields = {"tokens": TOKENS}
    return [Share(first, last, N, fields, **options) for first, last in ((0, 2), (2, 6), (6, 7))]


def state_after(draw):
    torch.manual_seed(5)
    return draw(), torch.get_rng_state()


def check(draw, dim=0, **options):
    """``draw(n)`` of each share is that of the batch, and leaves the same state behind."""
    whole, state = state_after(lambda: draw(slice(0, N)))
    for share in shares(**options):
        with sharing(share), SharedDraws(), SiteLayouts():
            part, of_share = state_after(lambda share=share: draw(slice(share.start, share.stop)))
        assert torch.equal(part, whole.narrow(dim, share.start, share.size))
        assert torch.equal(of_share, state)
    assert len(whole.unique()) > 1


def size(rows):
    return rows.stop - rows.start


LOC = torch.linspace(0.1, 0.9, N * 4).reshape(N, 4)
NETWORK_DRAWS = {
    "rand": lambda rows: torch.rand(size(rows), 4),
    "randn": lambda rows: torch.randn(size(rows), 40),
    "randint": lambda rows: torch.randint(9, (size(rows), 4)),
    "rand_like": lambda rows: torch.rand_like(LOC[rows]),
    "normal_": lambda rows: torch.empty(size(rows), 40).normal_(),
    "uniform_": lambda rows: torch.empty(size(rows), 4).uniform_(-1, 1),
    "exponential_": lambda rows: torch.empty(size(rows), 4).exponential_(),
    "normal of tensors": lambda rows: torch.normal(LOC[rows], LOC[rows]),
    "bernoulli": lambda rows: torch.bernoulli(LOC[rows]),
    "bernoulli_": lambda rows: torch.empty(size(rows), 4).bernoulli_(LOC[rows]),
    "multinomial": lambda rows: torch.multinomial(LOC[rows], 1),
    "several of multinomial": lambda rows: torch.multinomial(LOC[rows], 6, replacement=True),
    "dropout": lambda rows: F.dropout(LOC[rows], 0.5),
    "dropout of other strides": lambda rows: F.dropout(LOC.repeat(1, 9)[rows].T, 0.5).T,
}


@pytest.mark.parametrize("name", NETWORK_DRAWS)
def test_draw_of_a_network(name):
    check(NETWORK_DRAWS[name])


def test_dropout_of_particles():
    check(lambda rows: F.dropout(torch.ones(K, size(rows), 6), 0.5), 1, num_particles=K)


SITES = {
    "normal": lambda rows: dist.Normal(LOC[rows], 1.0).to_event(1),
    "categorical": lambda rows: dist.Categorical(LOC[rows]),
    "one hot": lambda rows: dist.OneHotCategorical(LOC[rows]),
    "mixture": lambda rows: Mixture(torch.zeros(3), dist.Normal(torch.eye(3), 1.0).to_event(1)),
    "low rank": lambda rows: dist.LowRankMultivariateNormal(
        LOC[rows], LOC[rows].unsqueeze(-1), LOC[rows]
    ),
    "uniform": lambda rows: dist.Uniform(0 * LOC[rows], 1.0).to_event(1),
    "gumbel": lambda rows: dist.Gumbel(LOC[rows], 1.0).to_event(1),
}


@pytest.mark.parametrize("num_particles", [1, K])
@pytest.mark.parametrize("name", SITES)
def test_draw_of_a_site(name, num_particles):
    def draw(rows):
        with (
            pyro.plate("particles", num_particles, dim=-2),
            pyro.plate("data", size(rows), dim=-1),
        ):
            return pyro.sample("z", SITES[name](rows))

    check(draw, 1, num_particles=num_particles)


def test_site_with_a_plate_inside():
    def draw(rows):
        with pyro.plate("data", size(rows), dim=-2), pyro.plate("sentences", 2, dim=-1):
            return pyro.sample("y", dist.Categorical(LOC[rows].unsqueeze(1)))

    check(draw)


def test_site_of_the_whole_corpus_is_one_for_all():
    def draw():
        with poutine.trace():
            return pyro.sample("topics", dist.Normal(torch.zeros(4), 1.0).to_event(1))

    whole, _ = state_after(draw)
    for share in shares():
        with sharing(share), SharedDraws(), SiteLayouts():
            assert torch.equal(state_after(draw)[0], whole)


def test_words_that_a_mask_picks():
    def draw(rows):
        mask = (TOKENS[rows] != 0).expand(K, -1, -1)
        with rows_of_mask(mask):
            picked = F.dropout(torch.ones(int(mask.sum()), 2), 0.5)
        return torch.zeros(K, size(rows), T, 2).masked_scatter(mask.unsqueeze(-1), picked)

    check(draw, 1, num_particles=K)


SOURCE = torch.tensor([[4, 5, 6, 7, 2]] * 2 + [[4, 5, 2, 0, 0]] * 5)
"""As long as the text in the first share, and not in the others."""


@pytest.mark.parametrize("field", ["tokens", "source"])
def test_words_of_a_text_that_is_as_long_as_another(field):
    fields = {"tokens": TOKENS, "source": SOURCE}

    def draw(rows):
        text = fields[field][rows]
        with text_scored(text), rows_of_mask(text != 0):
            picked = F.dropout(torch.ones(int((text != 0).sum())), 0.5)
        return torch.zeros(size(rows), T).masked_scatter(text != 0, picked)

    whole, state = state_after(lambda: draw(slice(0, N)))
    for first, last in ((0, 2), (2, 6), (6, 7)):
        with sharing(Share(first, last, N, fields)), SharedDraws():
            part, of_share = state_after(lambda: draw(slice(first, last)))  # noqa: B023
        assert torch.equal(part, whole[first:last])
        assert torch.equal(of_share, state)


def test_words_of_a_copy_of_texts_that_are_as_long_are_refused():
    share = Share(0, 2, N, {"tokens": TOKENS, "source": SOURCE})
    mask = TOKENS[:2] != 0
    with sharing(share), text_scored(TOKENS[:2].clone()):
        with pytest.raises(ValueError, match="may be that of several fields of text"):
            with rows_of_mask(mask):
                pass
    # In words that are as many in all of the batch, one is as good as the other.
    with sharing(Share(0, 2, N, {"tokens": TOKENS, "source": TOKENS.clone()})), rows_of_mask(mask):
        pass


def test_mask_of_no_text_of_the_batch_is_refused():
    with sharing(shares()[0]), pytest.raises(ValueError, match="is that of no field of text"):
        with rows_of_mask(torch.ones(2, 3, dtype=torch.bool)):
            pass


def test_numbers_that_cannot_be_told_apart_are_refused():
    with sharing(shares()[1]), SharedDraws(), pytest.raises(ValueError, match="cannot be told"):
        torch.rand(11, 3)


def test_scores_of_a_decoder_in_training():
    torch.manual_seed(0)
    decoder = TransformerDecoder(
        vocab_size=9,
        embedding_dim=4,
        hidden_dim=8,
        latent_dim=2,
        max_length=T,
        num_heads=2,
        layer_dropout=0.3,
        embedding_dropout=0.3,
        output_dropout=0.3,
        word_dropout=0.3,
    )
    z = torch.randn(K, N, 2)

    def draw(rows):
        text = AutoregressiveCategorical(decoder, z[:, rows], max_length=T)
        return text.log_prob(TOKENS[rows]).detach()

    torch.manual_seed(5)
    whole = draw(slice(0, N))
    for share in shares(num_particles=K):
        with sharing(share), SharedDraws():
            torch.manual_seed(5)
            part = draw(slice(share.start, share.stop))
        torch.testing.assert_close(part, whole[:, share.start : share.stop])


@pytest.mark.parametrize("there", ["of the batch", "of no batch"])
def test_sentences_that_a_mask_picks(there):
    """Of documents of three, one and two sentences; a share of full documents picks them too."""
    documents = torch.zeros(3, 3, 2, dtype=torch.long)
    every = torch.tensor([[True, True, True], [True, False, False], [True, True, False]])
    documents[every] = torch.tensor([4, 2])
    fields = {"tokens": documents}
    ends = [Share(first, first + 1, 3, fields, num_particles=K) for first in range(3)]
    if there == "of no batch":
        with sharing(ends[1]):
            assert can_be_picked(every[1:2])
            assert not can_be_picked(~every[1:2])
        return

    def draw(rows):
        mask = every[rows]
        assert can_be_picked(mask)
        with of_sentences(mask):
            parts = torch.rand(int(mask.sum()), 2), torch.rand(K, int(mask.sum()), 2)
            words = (documents[rows][mask] != 0).expand(K, -1, -1)
            with rows_of_mask(words):
                parts += (F.dropout(torch.ones(int(words.sum()), 2), 0.5).view(K, -1, 2),)
        return parts

    whole, state = state_after(lambda: draw(slice(0, 3)))
    found = []
    for share in ends:
        with sharing(share), SharedDraws():
            part, of_share = state_after(lambda share=share: draw(slice(share.start, share.stop)))
        assert torch.equal(of_share, state)
        found.append(part)
    for number, of_whole in enumerate(whole):
        joined = torch.cat([part[number] for part in found], dim=0 if number == 0 else 1)
        assert torch.equal(joined, of_whole)
