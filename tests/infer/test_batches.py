# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What is no batch is refused in one line, wherever batches are taken."""

import pytest
import torch

from pyro_textvae.evaluation import information, log_likelihood
from pyro_textvae.evaluation.sentences import sentences_in_corpus_order
from pyro_textvae.generation import encode, reconstruct, sample
from pyro_textvae.infer import log_weights

IDS = torch.tensor([[4, 5, 2]])


def one_by_one(model, guide, batches):
    return sentences_in_corpus_order(batches)


@pytest.mark.parametrize("score", [log_likelihood, information, one_by_one])
@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (IDS, "batches must be a list, .*{'tokens': ids}, ids int64 .N, T., got a Tensor"),
        ({"tokens": IDS}, r"batches is one batch: give a list of them, \[batch\]"),
        (3, "batches must be a list, .* got a int"),
        ("train", "batches must be a list, .* got a str"),
        ([IDS], "a batch is a dict of tensors such as {'tokens': ids}.* got a Tensor"),
        ([[4, 5, 2]], "a batch is a dict of tensors .* got a list"),
        ([{"tokens": [[4, 5, 2]]}], "field 'tokens' of a batch must be a tensor, got a list"),
        ([{"text": IDS}], "the batch has no field 'tokens': it has text"),
        ([{}], "the batch has no field 'tokens': it has none"),
    ],
)
def test_what_is_no_list_of_batches(pair, score, batches, message):
    with pytest.raises(ValueError, match=message):
        score(*pair, batches)


@pytest.mark.parametrize("batch", [IDS, [[4, 5, 2]], {"tokens": [[4, 5, 2]]}])
def test_what_is_no_batch(pair, batch):
    model, guide = pair
    for call in (
        lambda: log_weights(model, guide, batch),
        lambda: encode(guide, batch),
        lambda: reconstruct(model, guide, batch),
        lambda: sample(model, batch),
    ):
        with pytest.raises(ValueError, match=r"a batch is a dict|field 'tokens' of a batch must"):
            call()
