# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Normal forms of Unicode: one word in composed and in decomposed code points, kept in the file."""

import json
import unicodedata
from typing import get_args, get_type_hints

import pytest

from pyro_textvae import zoo
from pyro_textvae.config.train import ProgramConfig
from pyro_textvae.data import UNK, Tokenizer, load_corpus, train_tokenizer
from pyro_textvae.data.tokenizers import CharacterTokenizer, WordTokenizer
from pyro_textvae.data.unicode_form import UNICODE_FORMS, normalised
from pyro_textvae.errors import UserError

KINDS = zoo.names("tokenizers")
COMPOSED = "das Caf\u00e9 h\u00f6rt na\u00efve T\u00f6ne"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


@pytest.fixture
def mixed(tmp_path):
    """Text that is composed in one split and decomposed in another."""
    path = tmp_path / "mixed"
    path.mkdir()
    for split, text in (("train", COMPOSED), ("valid", DECOMPOSED), ("test", DECOMPOSED)):
        (path / f"{split}.txt").write_text(f"{text}\n", encoding="utf-8")
    return path


def test_the_setting_has_the_forms_that_there_are():
    hint = get_type_hints(ProgramConfig)["unicode_form"]
    assert set(get_args(get_args(hint)[0])) == set(UNICODE_FORMS)


@pytest.mark.parametrize("form", UNICODE_FORMS)
@pytest.mark.parametrize(
    "text", ["plain", COMPOSED, DECOMPOSED, "\ufb01x \u1e9b\u0323 \u0958 \uff21"]
)
def test_forms_are_those_of_unicode(form, text):
    expected = text if form == "none" else unicodedata.normalize(form.upper(), text)
    assert normalised(text, form) == expected


@pytest.mark.parametrize("kind", ["word", "nltk", "character"])
def test_a_word_is_one_word_in_whatever_code_points(mixed, kind):
    corpus = load_corpus(mixed, tokenizer=kind)
    assert corpus.train[0].tolist() == corpus.test[0].tolist()
    assert UNK not in corpus.test[0].tolist()
    assert corpus.summary()["unicode_form"] == corpus.tokenizer.unicode_form == "nfc"
    assert corpus.num_in_other_splits("train") == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", UNICODE_FORMS)
def test_every_kind_takes_every_form_and_keeps_it_in_its_file(kind, form, tmp_path):
    texts = [COMPOSED, DECOMPOSED, "\ufb01x \u2460"]
    tokenizer = train_tokenizer(texts, kind, unicode_form=form, vocab_size=400)
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert (loaded.kind, loaded.unicode_form) == (kind, form)
    assert loaded.fingerprint == tokenizer.fingerprint
    for text in texts:
        ids = loaded.encode(text)
        assert UNK not in ids
        assert loaded.decode(ids) == normalised(text, form)
        assert loaded.fewest_tokens(text) <= len(ids)
    assert (loaded.encode(COMPOSED) == loaded.encode(DECOMPOSED)) == (form != "none")


def test_bpe_gives_text_back_as_it_was_by_default(mixed):
    corpus = load_corpus(mixed, tokenizer="bpe")
    assert corpus.tokenizer.unicode_form == "none"
    assert corpus.tokenizer.decode(corpus.test[0]) == DECOMPOSED
    assert corpus.num_in_other_splits("train") == 0


def test_compatibility_forms_come_before_a_kind_prepares_its_text():
    tokenizer = train_tokenizer(["wait..."], "nltk", unicode_form="nfkc")
    assert tokenizer.decode(tokenizer.encode("wait\u2026")) == "wait ..."


def test_what_a_kind_of_the_users_own_makes_is_in_its_form_too():
    class Decomposing(WordTokenizer):
        def prepare(self, text):
            return unicodedata.normalize("NFD", super().prepare(text))

    class Bare(WordTokenizer):
        unicode_form = "none"

    tokenizer = train_tokenizer([COMPOSED], Decomposing())
    assert tokenizer.decode(tokenizer.encode(DECOMPOSED)) == COMPOSED
    assert train_tokenizer([COMPOSED], Bare()).encode(DECOMPOSED).count(UNK) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_words_and_characters_are_those_of_the_raw_text_in_every_kind(mixed, kind):
    for form in (None, "nfc", "nfkd"):
        corpus = load_corpus(mixed, tokenizer=kind, unicode_form=form)
        assert corpus.raw_counts("train") == (5, len(COMPOSED))
        assert corpus.raw_counts("test") == (5, len(DECOMPOSED))
    assert len(DECOMPOSED) == len(COMPOSED) + 4


def test_the_cache_keeps_forms_apart(mixed):
    shapes = set()
    for kind in KINDS:
        for form in (None, *UNICODE_FORMS):
            corpus = load_corpus(mixed, tokenizer=kind, unicode_form=form)
            expected = form or {"bpe": "none"}.get(kind, "nfc")
            assert corpus.tokenizer.unicode_form == expected
            shapes.add((kind, expected, corpus.fingerprint))
    assert len(shapes) == len(KINDS) * len(UNICODE_FORMS)


WORD_BEFORE = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": {
        "type": "Replace",
        "pattern": {"Regex": "(?<!\\S)<(?:pad|bos|eos)>(?!\\S)"},
        "content": "<unk>",
    },
    "pre_tokenizer": {"type": "WhitespaceSplit"},
    "post_processor": None,
    "decoder": None,
    "model": {
        "type": "WordLevel",
        "vocab": {"<pad>": 0, "<bos>": 1, "<eos>": 2, "<unk>": 3, "caf\u00e9": 4},
        "unk_token": "<unk>",
    },
}
CHARACTER_BEFORE = {
    **WORD_BEFORE,
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {
        "type": "Split",
        "pattern": {"String": ""},
        "behavior": "Isolated",
        "invert": False,
    },
    "decoder": {"type": "Fuse"},
    "model": {
        "type": "WordLevel",
        "vocab": {"<pad>": 0, "<bos>": 1, "<eos>": 2, "<unk>": 3, "\u00e9": 4},
        "unk_token": "<unk>",
    },
}


@pytest.mark.parametrize(
    ("content", "kind", "form", "fingerprint", "ids"),
    [
        (WORD_BEFORE, "word", "none", "1833c4180a65b286", {"caf\u00e9": [4], "cafe\u0301": [3]}),
        (CHARACTER_BEFORE, "character", "nfc", "8e56b8084b410dd8", {"\u00e9": [4], "e\u0301": [4]}),
    ],
)
def test_a_file_of_before_means_what_it_meant(tmp_path, content, kind, form, fingerprint, ids):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    tokenizer = Tokenizer.load(path)
    assert (tokenizer.kind, tokenizer.unicode_form) == (kind, form)
    assert tokenizer.fingerprint == fingerprint
    assert {text: tokenizer.encode(text) for text in ids} == ids


def test_an_own_kind_of_before_means_what_it_meant(tmp_path):
    class Letters(CharacterTokenizer):
        pass

    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(CHARACTER_BEFORE))
    assert Tokenizer.load(path, Letters()).unicode_form == "nfc"
    path.write_text(json.dumps({**CHARACTER_BEFORE, "normalizer": None}))
    assert Tokenizer.load(path, Letters()).unicode_form == "none"


def test_forms_that_are_refused(mixed):
    with pytest.raises(UserError, match="unicode_form='NFC' must be one of none, nfc, nfd"):
        load_corpus(mixed, unicode_form="NFC")
    tokenizer = train_tokenizer([COMPOSED])
    with pytest.raises(UserError, match="unicode_form='nfd' has no effect on a given Tokenizer"):
        load_corpus(mixed, tokenizer=tokenizer, unicode_form="nfd")
