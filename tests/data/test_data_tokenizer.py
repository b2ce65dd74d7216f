# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tokenizers: exact round trips, literal specials, one file that any Hugging Face user can open."""

import json
import unicodedata

import pytest
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st

from pyro_textvae import zoo
from pyro_textvae.data import BOS, EOS, PAD, UNK, Tokenizer
from pyro_textvae.data.vocabulary import train_tokenizer
from pyro_textvae.errors import UserError

TEXTS = ["the cat sat on the mat", "a dog didn't bark at the cat .", "café naïve"] * 3
KINDS = zoo.names("tokenizers")
TRAINED = {kind: train_tokenizer(TEXTS, kind, vocab_size=300) for kind in KINDS}
# Without lone surrogates, which no UTF-8 text holds.
UNICODE = st.text(st.characters(codec="utf-8"), max_size=40)


@pytest.mark.parametrize("kind", KINDS)
def test_special_ids_are_fixed(kind):
    assert (PAD, BOS, EOS, UNK) == (0, 1, 2, 3)
    assert TRAINED[kind].vocabulary[:4] == ["<pad>", "<bos>", "<eos>", "<unk>"]
    assert len(TRAINED[kind].vocabulary) == len(TRAINED[kind])
    assert TRAINED[kind].kind == kind


@given(st.lists(st.sampled_from("the cat sat on mat a dog bark at .".split())))
@example([])
def test_word_round_trip(words):
    text = " ".join(words)
    assert TRAINED["word"].decode(TRAINED["word"].encode(text)) == text


@given(st.lists(st.sampled_from("the cat sat on mat a dog bark at".split()), min_size=1))
def test_nltk_round_trip_of_its_own_words(words):
    text = " ".join(words)
    assert TRAINED["nltk"].decode(TRAINED["nltk"].encode(text)) == text


@given(UNICODE)
@example("<eos> <pad>\u2028 \x00\r\n")
def test_bpe_round_trip_of_any_text(text):
    tokenizer = TRAINED["bpe"]
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(index > UNK for index in ids)


@given(st.text(st.sampled_from(sorted(set("".join(TEXTS)))), max_size=40))
@example("cafe\u0301")
def test_character_round_trip_after_normalisation(text):
    tokenizer = TRAINED["character"]
    ids = tokenizer.encode(text)
    normalised = unicodedata.normalize("NFC", text)
    assert tokenizer.decode(ids) == normalised
    assert len(ids) == len(normalised)


@given(UNICODE)
def test_every_kind_encodes_any_text_without_pad_bos_or_eos(text):
    for tokenizer in TRAINED.values():
        assert all(UNK <= index < len(tokenizer) for index in tokenizer.encode(text))


@given(UNICODE)
def test_batch_encoding_equals_single_encoding(text):
    for tokenizer in TRAINED.values():
        (row,) = tokenizer.encode_batch([text])
        assert row.tolist() == tokenizer.encode(text)


def test_nltk_splits_raw_text():
    tokenizer = TRAINED["nltk"]
    assert {"did", "n't"} <= set(tokenizer.vocabulary)
    assert tokenizer.decode(tokenizer.encode("the cat didn't sat.")) == "the cat did n't sat ."


@pytest.mark.parametrize("kind", ["word", "nltk"])
def test_literal_specials_in_text_are_unknown_words(kind):
    tokenizer = train_tokenizer(["a <unk> <eos> b <pad> <bos> <unk>"] * 4, kind)
    assert tokenizer.vocabulary == ["<pad>", "<bos>", "<eos>", "<unk>", "a", "b"]
    assert tokenizer.encode("a <eos> <unk> <pad> <bos> b") == [4, 3, 3, 3, 3, 5]
    assert tokenizer.decode([4, 3, 5]) == "a <unk> b"


def test_literal_specials_inside_a_word_do_not_split_it():
    tokenizer = train_tokenizer(["x<eos>y <eos>"] * 2, "word")
    assert tokenizer.encode("x<eos>y") == [4]


@pytest.mark.parametrize("kind", ["character", "bpe"])
def test_literal_specials_are_plain_text_below_the_word(kind):
    tokenizer = train_tokenizer(["a<eos> <unk><pad> <bos>b"] * 40, kind)
    ids = tokenizer.encode("a<eos> <unk><pad>")
    assert min(ids) > UNK
    assert tokenizer.decode(ids) == "a<eos> <unk><pad>"


def test_decode_stops_at_eos_and_skips_pad_and_bos():
    tokenizer = TRAINED["word"]
    the, cat = tokenizer.encode("the cat")
    assert tokenizer.decode([BOS, the, PAD, cat, UNK, EOS, the, PAD]) == "the cat <unk>"
    assert tokenizer.decode([]) == ""


def test_decode_refuses_what_is_no_row_of_ids():
    with pytest.raises(UserError, match="id 99999 is outside the vocabulary"):
        TRAINED["word"].decode([99999])
    with pytest.raises(UserError, match="takes one row of ids"):
        TRAINED["word"].decode([[1, 2]])
    with pytest.raises(UserError, match="must be a string, not int"):
        TRAINED["word"].encode(3)
    with pytest.raises(UserError, match="surrogate pair at character 1"):
        TRAINED["bpe"].encode("a\ud800")


@pytest.mark.parametrize("kind", KINDS)
def test_saved_file_is_complete_and_opens_in_hugging_face(kind, tmp_path):
    tokenizer = TRAINED[kind]
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    loaded = Tokenizer.load(path)
    text = "the cat didn't <eos> bark <pad>é."
    assert loaded == tokenizer
    assert loaded.kind == kind
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.encode(text) == tokenizer.encode(text)
    if kind != "nltk":
        assert tokenizers.Tokenizer.from_file(str(path)).encode(text).ids == tokenizer.encode(text)
    assert tokenizers.Tokenizer.from_file(str(path)).get_vocab_size() == len(tokenizer)


@pytest.mark.parametrize("kind", KINDS)
def test_training_is_deterministic(kind):
    again = train_tokenizer(TEXTS, kind, vocab_size=300)
    assert again.fingerprint == TRAINED[kind].fingerprint


def test_fingerprints_differ_by_kind_and_vocabulary():
    others = [train_tokenizer(TEXTS, "word", min_count=4), train_tokenizer(["a b"], "word")]
    prints = {tokenizer.fingerprint for tokenizer in [*TRAINED.values(), *others]}
    assert len(prints) == len(TRAINED) + 2


def test_vocab_size_counts_the_specials():
    assert len(train_tokenizer(TEXTS, "character", vocab_size=9)) == 9
    assert len(train_tokenizer(TEXTS, "bpe", vocab_size=265)) == 265


def test_loading_what_is_not_ours(tmp_path):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(UserError, match="cannot read the tokenizer .*No such file"):
        Tokenizer.load(path)
    TRAINED["word"].save(path)
    path.write_text(path.read_text()[:200])
    with pytest.raises(UserError, match="is not a tokenizer.json or is cut short"):
        Tokenizer.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        Tokenizer.load(path)
    words = {"a": 0, "b": 1, "c": 2, "d": 3}
    tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="a")).save(str(path))
    with pytest.raises(UserError, match="was not written by pyro-textvae: its ids 0 to 3"):
        Tokenizer.load(path)
    TRAINED["word"].save(path)
    content = json.loads(path.read_text())
    content["pre_tokenizer"] = {"type": "BertPreTokenizer"}
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="its parts are of none of the kinds"):
        Tokenizer.load(path)
    with pytest.raises(UserError, match="cannot write the tokenizer"):
        TRAINED["word"].save(tmp_path / "nowhere" / "tokenizer.json")


def test_a_word_that_takes_bpe_too_long_is_refused():
    """The cost of learning merges grows with the square of a word: 300,000 letters took minutes."""
    texts = ["the cat sat", "w" * 10_001]
    with pytest.raises(
        UserError, match=r"a word has 10,001 characters .*at most 10,000; put spaces"
    ):
        train_tokenizer(texts, "bpe")
    assert train_tokenizer(["the " * 5000], "bpe").encode("the")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.encode_batch("the cat"), "takes a list of texts, got 'the cat'"),
        (lambda t: t.encode_batch(3), "takes a list of texts, got 3"),
        (lambda t: t.decode(3), "takes one row of ids, got 3"),
        (lambda t: t.save(3), "named by its path, got 3"),
        (lambda t: Tokenizer.load([]), r"named by its path, got \[\]"),
        (lambda t: Tokenizer.load("\ud800"), "cannot read the tokenizer"),
        (lambda t: t.save("a\0b"), "cannot write the tokenizer"),
    ],
)
def test_arguments_of_another_type(call, message):
    with pytest.raises(UserError, match=message):
        call(train_tokenizer(["the cat"], "word"))
