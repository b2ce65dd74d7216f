# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Words of sources outside the vocabulary, in a corpus and back."""

import numpy as np
import pytest
import torch

from pyro_textvae.data import EOS, load_corpus, train_tokenizer
from pyro_textvae.data.copied_words import CopiedWords, RenamedIds
from pyro_textvae.errors import UserError

ROWS = [
    ("anna wins", "news : anna won the game"),
    ("the game : bert", "news : bert won the game"),
    ("carl wins", "news : dora won the game"),
    ("<unk> wins", "news : <unk> won the game"),
]
OPTIONS = {"source_column": "source", "min_count": 3}


def write(folder, rows=ROWS):
    folder.mkdir()
    for split in ("train", "valid", "test"):
        lines = [f"{text}\t{source}\n" for text, source in rows]
        (folder / f"{split}.tsv").write_text("text\tsource\n" + "".join(lines))
    return folder


@pytest.fixture
def pairs(tmp_path):
    return write(tmp_path / "pairs")


def texts_of(corpus, field, decode=None):
    batch = corpus.test.batch(np.arange(len(corpus.test)))
    return [(decode or corpus.tokenizer).decode(row) for row in batch[field]]


def test_unknown_words_of_sources_come_back_and_those_of_a_text_if_its_source_has_them(pairs):
    corpus = load_corpus(pairs, **OPTIONS, copy_unknown_words=True)
    assert texts_of(corpus, "source") == [source for _, source in ROWS]
    # carl is in no source of its own, and a literal <unk> is no word.
    given = [text for text, _ in ROWS]
    assert texts_of(corpus, "tokens") == [*given[:2], "<unk> wins", "<unk> wins"]
    assert corpus.tokenizer.decode(corpus.test[1]) == given[1]
    assert "anna" not in corpus.tokenizer.vocabulary
    counts = corpus.summary()["test"]
    assert counts["copied_unknown_tokens"] == 2
    assert counts["unknown_token_share"] == 2 / 10
    assert counts["unknown_source_token_share"] == 4 / 24


def test_without_the_option_all_is_as_it_was(pairs):
    corpus = load_corpus(pairs, **OPTIONS)
    assert texts_of(corpus, "tokens")[:2] == ["<unk> wins", "the game : <unk>"]
    assert "copied_unknown_tokens" not in corpus.summary()["test"]
    assert "copy_unknown_words" not in corpus.settings
    assert not corpus.tokenizer.copies_unknown_words
    other = load_corpus(pairs, **OPTIONS, copy_unknown_words=True)
    assert other.fingerprint != corpus.fingerprint


def test_the_words_are_in_the_fingerprint_which_no_other_corpus_changes(pairs, tmp_path):
    """Of two texts that are one but for such a word; the second is encoded after the first."""
    renamed = [(text.replace("bert", "emil"), s.replace("bert", "emil")) for text, s in ROWS]
    renamed = write(tmp_path / "renamed", renamed)
    options = {**OPTIONS, "copy_unknown_words": True}
    corpus = load_corpus(pairs, **options)
    other = load_corpus(renamed, **options, cache_dir=tmp_path / "one")
    assert corpus.tokenizer == other.tokenizer
    assert corpus.fingerprint != other.fingerprint
    # The other order, and another process, which has heard none of these words.
    other.tokenizer.copied_words.__init__()
    assert load_corpus(renamed, **options, cache_dir=tmp_path / "two").fingerprint == (
        other.fingerprint
    )
    again = load_corpus(pairs, **options)
    assert again.fingerprint == corpus.fingerprint
    # What one tokenizer has encoded another of the same vocabulary decodes.
    assert texts_of(again, "source", other.tokenizer) == [source for _, source in ROWS]


def test_a_source_that_is_cut_has_no_more_words_than_are_left(pairs):
    corpus = load_corpus(
        pairs, **OPTIONS, copy_unknown_words=True, max_source_length=3, truncate=True
    )
    assert texts_of(corpus, "source")[0] == "news :"
    assert texts_of(corpus, "tokens")[0] == "<unk> wins"


def test_ids_of_a_store_are_renamed_to_those_of_the_process():
    words = CopiedWords(["heard"])
    rename = RenamedIds(["anna", "heard"], words, vocab_size=9)
    ids = np.array([4, 9, 10, EOS, 0])
    assert rename(torch.from_numpy(ids)).tolist() == [4, 10, 9, EOS, 0]
    assert list(words) == ["heard", "anna"]


def test_encoding_a_text_given_its_source():
    tokenizer = train_tokenizer(["the game"])
    tokenizer.copies_unknown_words = True
    # The second is of another text, whose words are not the first one's to copy.
    source = tokenizer.encode_sources(["Anna the anna Anna", "bert"])
    first, the, second, third = source[0].tolist()
    assert first == third != second
    given = tokenizer.encode_given(["anna Anna game bert"], source[:1])[0].tolist()
    assert given == [second, first, tokenizer.encode("game")[0], 3]
    assert tokenizer.decode([*given, EOS, 0]) == "anna Anna game <unk>"
    assert tokenizer.encode("anna the") == [3, the]
    with pytest.raises(UserError, match="is outside the vocabulary"):
        tokenizer.decode([len(tokenizer) + len(tokenizer.copied_words)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokenizer": "bpe", "source_column": "source"}, "copies whole words, and the tokens of"),
        ({}, "would do nothing, for pairs has no sources"),
    ],
)
def test_what_copying_of_unknown_words_needs(pairs, options, message):
    with pytest.raises(UserError, match=message):
        load_corpus(pairs, **options, copy_unknown_words=True)


def test_a_world_keeps_its_entropy_where_all_unknown_words_can_be_copied():
    """Names are copied and words of events are not."""
    options = {"num_sentences": 1000, "copy_unknown_words": True}
    corpus = load_corpus("world:headlines", **options, min_count=80)
    names = set(corpus.world.seen_names) | set(corpus.world.unseen_names)
    assert not names & set(corpus.tokenizer.vocabulary)
    for text, source in zip(*(texts_of(corpus, f) for f in ("tokens", "source")), strict=True):
        assert corpus.world.log_prob(text, source=source) > -np.inf
    with pytest.raises(UserError, match="not in their source, and would be lumped"):
        load_corpus("world:headlines", **options, min_count=300)
