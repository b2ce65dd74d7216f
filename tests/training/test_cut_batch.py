# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Batches cut by their tokens."""

import pytest
import torch

from pyro_textvae.training.cut_batch import cut_batch

N = 7
TOKENS = torch.tensor([[4, 5, 6, 7, 2]] * 3 + [[4, 2, 0, 0, 0]] * 3 + [[2, 0, 0, 0, 0]])


@pytest.mark.parametrize(("size", "parts"), [(1, 3), (2, 1), (2, 2), (3, 1), (9, 1), (4, 5)])
def test_shares_are_of_each_sentence_once(size, parts):
    counted, costs = [], []
    for rank in range(size):
        own = cut_batch({"tokens": TOKENS}, rank, size, parts)
        assert own
        counted += [
            row for share in own if share.is_counted for row in range(share.start, share.stop)
        ]
        costs.append(sum(int((share.rows()["tokens"] != 0).sum()) for share in own))
    assert counted == list(range(N))
    # No process has more than its part and the longest sentence.
    assert max(costs) <= 22 / size + 5


def test_no_share_has_as_many_sentences_as_there_are_particles():
    tokens = torch.full((32, 4), 5)
    for particles in (16, 15, 17):
        for rank in range(2):
            (share,) = cut_batch({"tokens": tokens}, rank, 2, num_particles=particles)
            assert share.size != particles
