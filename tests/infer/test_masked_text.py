# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences that a program masks are padding in what it generates."""

import pytest
import torch

from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.sentences import single_sentences
from pyro_textvae.generation import sample
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.testing import ContractError, check_guide, check_model
from tests.programs.documents import DocumentGuide, DocumentVAE

SIZES = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}


@pytest.fixture
def pair():
    torch.manual_seed(0)
    decoder = LSTMDecoder(**SIZES, latent_dim=2, max_length=6)
    model = DocumentVAE(decoder, latent_dim=2, max_sentences=3)
    return model, DocumentGuide(LSTMEncoder(**SIZES), latent_dim=2)


def test_documents_keep_the_contract(pair):
    model, guide = pair
    check_model(model)
    check_guide(guide, model)


def test_a_program_that_scores_padding_is_found_out(pair):
    class Unmasked(DocumentVAE):
        def given(self, length, num_sentences):
            return length.new_ones(len(length), num_sentences).bool()

    with pytest.raises(ContractError, match="padding changes scores of the model"):
        check_model(Unmasked(pair[0].decoder, latent_dim=2, max_sentences=3))


def test_generated_documents_end_where_their_number_of_sentences_says(pair):
    """Three lengths, as often as the model has them, and no sentence after a row of padding."""
    model, guide = pair
    with torch.no_grad():
        model.length_logits.copy_(torch.tensor([0.2, 0.5, 0.3]).log())
    texts = sample(model, 2000)
    there = (texts != 0).any(-1)
    assert (there[:, :-1] >= there[:, 1:]).all()
    shares = torch.bincount(there.sum(1), minlength=4)[1:] / 2000
    error = (torch.tensor([0.16, 0.25, 0.21]) / 2000).sqrt()
    assert ((shares - torch.tensor([0.2, 0.5, 0.3])).abs() < 4.5 * error).all()
    some = {"tokens": texts[:4]}
    together = log_likelihood(model, guide, [some], num_samples=5, seed=1).log_px
    alone = [
        log_likelihood(model, guide, [x], num_samples=5, seed=1) for x in single_sentences(some)
    ]
    assert together.tolist() == pytest.approx([float(x.log_px) for x in alone], rel=1e-5)
