# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A large number of sentences, drawn in parts."""

import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.generation import sample, sample_in_parts, sampling
from pyro_textvae.infer.batches import Fields
from tests.conftest import VOCAB_SIZE
from tests.generation.programs import ConditionalModel, Conversation


@pytest.fixture
def rows_at_once(pair):
    """The numbers of sentences that the decoder of ``pair`` is called for."""
    rows = []
    pair[0].decoder.register_forward_pre_hook(lambda _, given: rows.append(given[0].shape[:-1]))
    return rows


@pytest.fixture
def parts_of_four(monkeypatch):
    monkeypatch.setattr(sampling, "SENTENCES_AT_ONCE", 4)


def test_no_more_than_a_thousand_are_drawn_at_once(pair, rows_at_once):
    rows = sample(pair[0], 2100, seed=3)
    assert rows.shape == (2100, 6)
    # One first, to see what the model draws that all of them share.
    assert [shape.numel() for shape in rows_at_once] == [1, 1000, 1000, 100]


def test_the_first_are_the_same_however_many_are_asked_for(pair):
    model, _ = pair
    rows = sample(model, 2100, seed=3)
    assert torch.equal(rows[:1000], sample(model, 1000, seed=3))
    assert torch.equal(rows[:2000], sample(model, 2000, seed=3))
    assert torch.equal(rows, torch.cat(list(sample_in_parts(model, 2100, seed=3))))
    assert not torch.equal(rows[:1000], rows[1000:2000])
    later = sample(model, 2000, seed=4)[1000:]
    assert not torch.equal(rows[1000:2000], later)


def test_every_part_is_on_its_own_sources(pair, parts_of_four):
    model = ConditionalModel(pair[0].decoder, VOCAB_SIZE)
    source = torch.arange(10).remainder(VOCAB_SIZE).unsqueeze(1)
    z = torch.zeros(10, 2).double()
    batch = Fields({"source": source, "tokens": source}, ("tokens", "source"))
    rows = sample(model, batch, method="greedy", latents={"z": z})
    assert torch.equal(rows, model.decoder(model.shift(source[:, 0])).greedy())


@pytest.mark.parametrize("data_dim", [-1, -2])
def test_every_part_is_at_its_own_latents(pair, parts_of_four, data_dim):
    """Also where the plate of the turns stands before that of the data."""
    z = 2 * torch.randn(10, 3, 2).double()
    given = z if data_dim == -2 else z.transpose(0, 1)
    model = Conversation(pair[0].decoder, 3, data_dim)
    rows = sample(model, 10, method="greedy", latents={"z": given})
    assert torch.equal(rows, model.decoder(z).greedy())
    one = sample(
        model, 10, method="greedy", latents={"z": given[:1] if data_dim == -2 else given[:, :1]}
    )
    assert torch.equal(one, model.decoder(z[:1].expand(10, 3, 2)).greedy())


def test_a_latent_that_no_site_has_is_refused(pair, parts_of_four):
    with pytest.raises(UserError, match="no site 'y'"):
        sample(pair[0], 10, latents={"y": torch.zeros(10)})
