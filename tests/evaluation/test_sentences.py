# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from pyro_textvae.evaluation.sentences import (
    batch_of,
    num_tokens_of,
    seed_of,
    sentence_key,
    sentences_in_corpus_order,
    single_sentences,
)
from pyro_textvae.infer.running import to_device


def keys(**fields):
    return [sentence_key(sentence) for sentence in single_sentences(fields)]


@pytest.fixture
def source():
    """What the sentences of the fixture ``tokens`` are written for, of other lengths."""
    return torch.tensor([[4, 2, 0], [5, 5, 2], [2, 0, 0], [3, 2, 0]])


def test_key_is_that_of_the_sentence_in_any_batch_and_padding(tokens):
    whole = keys(tokens=tokens)
    order = torch.tensor([2, 0, 3, 1])
    assert keys(tokens=tokens[order]) == [whole[row] for row in order]
    assert keys(tokens=torch.cat([tokens, torch.zeros(4, 7, dtype=torch.long)], 1)) == whole
    assert keys(tokens=tokens[1:2, :1]) == whole[1:2]
    # A column of a wider tensor: the same numbers, laid out otherwise.
    assert keys(tokens=tokens.T.contiguous().T) == whole


def test_fields_lose_their_own_padding_alone(tokens, source):
    wider = torch.cat([source, torch.zeros(4, 2, dtype=torch.long)], 1)
    assert keys(tokens=tokens, source=source) == keys(tokens=tokens, source=wider)
    assert keys(tokens=tokens, source=source)[::2] == keys(tokens=tokens[::2], source=source[::2])


def test_keys_differ_wherever_sentences_do(tokens, source):
    """Also where the same ids stand in other fields, or are cut otherwise between two fields."""
    labels = torch.arange(4)
    found = [
        *keys(tokens=tokens),
        *keys(tokens=source),
        *keys(tokens=tokens, source=source),
        *keys(tokens=source, source=tokens),
        *keys(tokens=tokens, labels=labels),
        *keys(tokens=tokens, labels=labels + 4),
        *keys(tokens=torch.tensor([[4, 5, 2]]), source=torch.tensor([[6, 2]])),
        *keys(tokens=torch.tensor([[5, 2]]), source=torch.tensor([[6, 2, 4]])),
        *keys(tokens=tokens, question=source),
        *keys(tokens=torch.tensor([[4, 0, 2]])),
        *keys(tokens=torch.tensor([[0, 4, 2]])),
    ]
    # The sentence of <eos> alone stands in tokens and in source, each time under "tokens".
    assert len(set(found)) == len(found) - 1
    assert keys(tokens=tokens)[1] == keys(tokens=source)[2]


def test_key_does_not_depend_on_the_order_of_the_fields(tokens, source):
    assert keys(tokens=tokens, source=source) == keys(source=source, tokens=tokens)


def test_keys_and_seeds_are_the_same_in_every_release():
    """Another value would silently give every published estimate other random numbers."""
    key = sentence_key({"tokens": torch.tensor([[4, 5, 2]])})
    assert f"{key:016x}" == "391c030c7eadd7f5"
    both = {"tokens": torch.tensor([[4, 5, 2]]), "source": torch.tensor([[6, 2]])}
    assert f"{sentence_key(both):016x}" == "04879abba1289d74"
    assert f"{seed_of(0, key, 'refine', 3):016x}" == "599e9d7c158b6d2e"


def test_seeds_are_of_63_bits_and_differ_in_every_part():
    """Uniform over all that a generator takes: 1000 of them miss either end 4 times in 100,000."""
    seeds = [
        seed_of(seed, key, "mixture", block)
        for seed in range(10)
        for key in range(10)
        for block in range(10)
    ]
    assert len(set(seeds)) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 0.99 * 2**63
    assert min(seeds) < 0.01 * 2**63
    assert seed_of(1, 23) != seed_of(12, 3)


def test_single_sentences_are_batches_of_one_without_padding(tokens, source):
    labels, weights = torch.arange(4), torch.zeros(4, 3)
    found = single_sentences(
        {"tokens": tokens, "source": source, "labels": labels, "weights": weights}
    )
    assert [one["tokens"].tolist() for one in found] == [
        [[4, 5, 3, 2]],
        [[2]],
        [[6, 3, 4, 5, 2]],
        [[5, 6, 2]],
    ]
    assert [one["source"].tolist() for one in found] == [[[4, 2]], [[5, 5, 2]], [[2]], [[3, 2]]]
    assert [one["labels"].tolist() for one in found] == [[0], [1], [2], [3]]
    # What is no token has no padding.
    assert all(one["weights"].shape == (1, 3) for one in found)


def test_row_of_padding_alone_keeps_a_column():
    (found,) = single_sentences({"tokens": torch.zeros(1, 4, dtype=torch.long)})
    assert found["tokens"].tolist() == [[0]]


def test_numbers_keep_their_zeros_in_any_batch():
    """A matrix of labels is no text: its last column may be 0 for all, and still it is there."""
    labels = torch.tensor([[3, 0], [1, 0], [0, 0]])
    tokens = torch.tensor([[4, 2], [4, 2], [4, 2]])
    sentences = single_sentences({"tokens": tokens, "labels": labels})
    assert [one["labels"].tolist() for one in sentences] == [[[3, 0]], [[1, 0]], [[0, 0]]]
    assert torch.equal(batch_of(sentences)["labels"], labels)
    assert len({*keys(tokens=tokens, labels=labels)}) == 3
    narrower = keys(tokens=tokens, labels=labels[:, :1])
    assert not {*narrower} & {*keys(tokens=tokens, labels=labels)}


CONVERSATIONS = torch.tensor(
    [
        [[5, 2, 0, 0], [3, 7, 2, 0], [2, 0, 0, 0]],
        [[6, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[0, 0, 0, 0], [4, 2, 0, 0], [0, 0, 0, 0]],
    ]
)


def test_text_of_several_rows_loses_its_padding_in_every_dimension():
    """A datum's key, and so its random numbers, are the same beside any others."""
    found = single_sentences({"tokens": CONVERSATIONS})
    assert [one["tokens"].tolist() for one in found] == [
        [[[5, 2, 0], [3, 7, 2], [2, 0, 0]]],
        [[[6, 2]]],
        [[[0, 0], [4, 2]]],
    ]
    assert torch.equal(batch_of(found)["tokens"], CONVERSATIONS[..., :3])
    whole = keys(tokens=CONVERSATIONS)
    assert keys(tokens=CONVERSATIONS[1:2]) == whole[1:2]
    wider = torch.nn.functional.pad(CONVERSATIONS, (0, 3, 0, 2))
    assert keys(tokens=wider) == whole
    assert keys(tokens=CONVERSATIONS[1:, :2, :2]) == whole[1:]
    # One row of one turn is another datum than a row of text.
    assert keys(tokens=CONVERSATIONS[1:2, 0]) != whole[1:2]


def test_tokens_are_counted_over_all_rows_and_padding_is_none():
    assert num_tokens_of(CONVERSATIONS).tolist() == [6, 2, 2]
    tokens = torch.tensor([[4, 5, 2, 0], [2, 0, 0, 0], [4, 5, 6, 7], [0, 0, 0, 0]])
    assert num_tokens_of(tokens).tolist() == [3, 1, 4, 0]


def test_batch_says_which_of_its_fields_are_text():
    """What it says goes along to single sentences, to a batch of them, and to a device."""

    class Batch(dict):
        text_fields = ("tokens", "question")

    question = torch.tensor([[7, 2, 0], [2, 0, 0]])
    batch = Batch(tokens=torch.tensor([[4, 2], [2, 0]]), question=question, source=question)
    sentences = single_sentences(batch)
    assert [one["question"].tolist() for one in sentences] == [[[7, 2]], [[2]]]
    assert [one["source"].tolist() for one in sentences] == [[[7, 2, 0]], [[2, 0, 0]]]
    again = to_device(batch_of(sentences), torch.nn.Linear(1, 1))
    assert torch.equal(again["question"], question[:, :2])
    assert [one["question"].tolist() for one in single_sentences(again)] == [[[7, 2]], [[2]]]
    (one, _) = sentences_in_corpus_order([batch])
    assert one.text_fields == ("tokens", "question")


def test_keywords_of_another_kind_than_ids_keep_their_shape():
    batch = {
        "tokens": torch.tensor([[4, 2, 0], [5, 6, 2]]),
        "weights": torch.zeros(2, 3),
        "tags": torch.zeros(2, 3, 4, dtype=torch.long),
        "labels": torch.tensor([1, 0]),
    }
    first, second = single_sentences(batch)
    assert first["tokens"].tolist() == [[4, 2]]
    assert first["weights"].shape == (1, 3)
    assert first["tags"].shape == (1, 3, 4)
    assert first["labels"].tolist() == [1]
    again = batch_of([first, second])
    for name, value in batch.items():
        assert torch.equal(again[name], value)
