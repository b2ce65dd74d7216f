# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""One table of word vectors for source and text."""

import pytest
import torch

from pyro_textvae.conditional_priors import ConditionalGaussian
from pyro_textvae.errors import UserError
from pyro_textvae.models import ConditionalLanguageModel, ConditionalVAE
from pyro_textvae.nn import GRUDecoder, GRUEncoder
from pyro_textvae.testing import check_model

SIZES = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 8}
SOURCE = torch.tensor([[4, 5, 2], [6, 2, 0], [7, 2, 0]])


def make(latent_dim, encoder_dim=4):
    torch.manual_seed(0)
    encoder = GRUEncoder(**SIZES | {"embedding_dim": encoder_dim})
    decoder = GRUDecoder(**SIZES, latent_dim=latent_dim, max_length=9, memory_dim=8, copying=True)
    if latent_dim == 0:
        return ConditionalLanguageModel(encoder, decoder, shared_embedding=True)
    prior = ConditionalGaussian(8, latent_dim)
    return ConditionalVAE(encoder, prior, decoder, shared_embedding=True)


@pytest.mark.parametrize("latent_dim", [0, 2])
def test_both_read_words_by_one_table_and_the_contract_is_kept(latent_dim):
    model = make(latent_dim)
    table = model.decoder.embedding.weight
    assert model.source_encoder.embedding.weight is table
    assert sum(each is table for each in model.parameters()) == 1
    # About as long as training makes them, not the tenth that they are alone.
    assert 0.7 < table.norm(dim=1).mean() < 1.3
    before = model.source_encoder(SOURCE)
    with torch.no_grad():
        table[6] += 1
    moved = (model.source_encoder(SOURCE) - before).abs().sum(1) > 0
    assert moved.tolist() == [False, True, False]
    check_model(model, condition={"source": SOURCE})


def test_tables_that_are_no_match_are_refused():
    with pytest.raises(UserError, match=r"those of encoder and decoder are \(9, 3\) and \(9, 4\)"):
        make(0, encoder_dim=3)
    model = make(0)
    model.source_encoder.embedding = torch.nn.Identity()
    with pytest.raises(UserError, match="GRUEncoder and GRUDecoder do not both have one"):
        ConditionalLanguageModel(model.source_encoder, model.decoder, shared_embedding=True)
