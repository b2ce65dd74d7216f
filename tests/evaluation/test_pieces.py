# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pyro_textvae.evaluation.importance.pieces import alike_in_length
from pyro_textvae.infer.batches import Fields

TOKENS = torch.tensor([[4, 5, 6, 2], [2, 0, 0, 0], [6, 2, 0, 0], [5, 4, 2, 0], [2, 0, 0, 0]])
Z = {"z": torch.zeros(3, 5, 7)}


def test_sentences_of_like_length_are_together_and_none_is_lost():
    pieces = alike_in_length({"tokens": TOKENS}, Z, num_draws=3, max_tokens=18)
    assert [rows.tolist() for rows, _ in pieces] == [[1, 4, 2], [3], [0]]
    for rows, piece in pieces:
        tokens = piece["tokens"]
        assert 3 * tokens.numel() <= 18
        assert (tokens[:, -1] != 0).any()
        assert torch.equal(tokens, TOKENS[rows, : tokens.shape[1]])


def test_a_sentence_that_is_too_much_by_itself_is_a_piece():
    pieces = alike_in_length({"tokens": TOKENS}, Z, num_draws=3, max_tokens=2)
    assert [len(rows) for rows, _ in pieces] == [1] * 5


def test_what_fits_stays_as_it_came():
    ((rows, piece),) = alike_in_length({"tokens": TOKENS}, Z, num_draws=3, max_tokens=60)
    assert rows.tolist() == list(range(5))
    assert piece["tokens"] is TOKENS


def test_fields_go_with_their_sentences_and_text_alone_loses_padding():
    fields = {
        "tokens": TOKENS,
        "source": torch.tensor([[7, 0], [0, 0], [7, 8], [7, 0], [7, 0]]),
        "labels": torch.arange(5),
        "numbers": torch.zeros(5, 3),
    }
    batch = Fields(fields, ("tokens", "source"))
    pieces = alike_in_length(batch, Z, num_draws=3, max_tokens=12)
    for rows, piece in pieces:
        assert torch.equal(piece["labels"], rows)
        assert piece["numbers"].shape == (len(rows), 3)
        assert piece.text_fields == ("tokens", "source")
    # Padding alone still has a place.
    widths = {int(row): piece["source"].shape[1] for rows, piece in pieces for row in rows}
    assert widths == {0: 1, 1: 1, 2: 2, 3: 1, 4: 1}


@pytest.mark.parametrize("shape", [(3, 5, 4), (3, 5, 4, 2)])
def test_text_keeps_its_padding_where_a_latent_may_have_a_place_for_it(shape):
    pieces = alike_in_length({"tokens": TOKENS}, {"z": torch.zeros(shape)}, 3, max_tokens=12)
    assert {piece["tokens"].shape[1] for _, piece in pieces} == {4}


def test_numbers_in_place_of_tokens_are_not_cut():
    numbers = torch.zeros(5, 4)
    pieces = alike_in_length({"tokens": numbers}, Z, num_draws=3, max_tokens=12)
    assert [piece["tokens"].shape for _, piece in pieces] == [(1, 4)] * 5
