# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Built-in sources and NLTK: the text they yield, and the refusals."""

import inspect
import re
import sys
from functools import cache
from importlib.metadata import version

import pytest

import pyro_textvae.data.sources.stdlib as stdlib_module
from pyro_textvae.data import UNK, load_corpus
from pyro_textvae.data.english_sentences import paragraphs, sentences, tokenised
from pyro_textvae.errors import UserError


@pytest.fixture(scope="module")
def read_once():
    """Python's own files are parsed once for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch:
        plain = stdlib_module._docstrings
        patch.setattr(stdlib_module, "_docstrings", cache(lambda path: tuple(plain(path))))
        patch.setattr(stdlib_module, "tokenised", cache(tokenised))
        yield


@pytest.fixture(scope="module")
def stdlib(tmp_path_factory, read_once):
    return load_corpus(cache_dir=tmp_path_factory.mktemp("cache"))


def texts(split, tokenizer):
    return [tokenizer.decode(row) for row in split]


def test_stdlib_size_and_splits(stdlib):
    sizes = [len(stdlib.split(name)) for name in ("train", "valid", "test")]
    assert 10_000 <= sum(sizes) <= 15_000
    # Shares of 10,000 or more draws: 0.9 and 0.05 within 4.5 standard deviations of 0.003, 0.0022.
    assert abs(sizes[0] / sum(sizes) - 0.90) < 0.0135
    assert abs(sizes[1] / sum(sizes) - 0.05) < 0.0099
    assert stdlib.summary()["train"]["duplicates_removed"] > 0
    assert stdlib.max_length <= 80


def test_stdlib_is_english_without_duplicates(stdlib):
    everything = [
        text
        for name in ("train", "valid", "test")
        for text in texts(stdlib.split(name), stdlib.tokenizer)
        if "<unk>" not in text
    ]
    assert len(set(everything)) == len(everything)
    assert all(re.fullmatch(r"[a-z][a-z0-9'.,;:!?() -]* [.!?]", text) for text in everything)
    words = " ".join(everything).split()
    assert 0.03 < words.count("the") / len(words) < 0.12
    assert stdlib.summary()["valid"]["unknown_token_share"] < 0.05


def test_stdlib_limited_in_hash_order(stdlib, tmp_path):
    few = load_corpus("stdlib", num_sentences=300, cache_dir=tmp_path)
    assert sum(len(few.split(name)) for name in ("train", "valid", "test")) == 300
    kept = set(texts(few.train, few.tokenizer))
    assert kept <= set(texts(stdlib.train, stdlib.tokenizer))


def prose(docstring):
    found = [s for p in paragraphs(inspect.cleandoc(docstring)) for s in sentences(p)]
    return [text for text in map(tokenised, found) if text]


def test_docstring_prose_is_joined_and_split():
    docstring = """Return the sum of all the
    numbers in the list. If it is empty, then 0 is returned.

    >>> total([1, 2])
    3
    ==== ====
    x: the first of the numbers
      * The ``key`` must not be in the `mapping`.
    """
    assert prose(docstring) == [
        "return the sum of all the numbers in the list .",
        "if it is empty , then 0 is returned .",
        "the key must not be in the mapping .",
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "Too short.",
        "x = foo(y) is the result of the call.",
        "Alpha beta gamma delta epsilon zeta.",
        "See <https://example.org/a> for the details of it.",
        "The value is returned from the.",
        "the first of them without an end",
        " ".join(["the"] * 41) + ".",
    ],
)
def test_what_is_not_english_is_dropped(sentence):
    assert tokenised(sentence.strip()) is None


def test_grammar_corpus_is_independent_draws_with_no_unknown_word():
    corpus = load_corpus("grammar", num_sentences=1000, seed=1)
    assert [len(corpus.split(name)) for name in ("train", "valid", "test")] == [800, 100, 100]
    assert sorted(corpus.tokenizer.vocabulary[4:]) == corpus.grammar.lexicon
    for name in ("train", "valid", "test"):
        assert not any((row == UNK).any() for row in corpus.split(name))
        for text in texts(corpus.split(name), corpus.tokenizer)[:20]:
            assert corpus.grammar.log_prob(text.split()) > -100_000
    again = load_corpus("grammar", num_sentences=1000, seed=1)
    other = load_corpus("grammar", num_sentences=1000, seed=2)
    assert again.fingerprint == corpus.fingerprint != other.fingerprint


@pytest.mark.parametrize("tokenizer", ["nltk", "character", "bpe"])
def test_grammar_corpus_with_other_tokenizers_loses_nothing(tokenizer):
    plain = load_corpus("grammar", num_sentences=200)
    corpus = load_corpus("grammar", num_sentences=200, tokenizer=tokenizer, vocab_size=400)
    assert texts(corpus.test, corpus.tokenizer) == texts(plain.test, plain.tokenizer)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"min_count": 2}, "would lump words of the language"),
        ({"vocab_size": 50}, "would lump words of the language"),
        ({"max_length": 10}, "would change the distribution of the language"),
        ({"num_sentences": 9}, "num_sentences=9 leaves a split"),
        ({"num_sentences": 0}, "num_sentences=0 must be"),
        ({"text_column": "text"}, "text_column='text' applies to"),
    ],
)
def test_grammar_corpus_refuses_what_would_change_the_language(options, match):
    with pytest.raises(UserError, match=match):
        load_corpus("grammar", **options)


@pytest.fixture
def nltk_data(tmp_path, monkeypatch):
    import nltk

    folder = tmp_path / "nltk_data" / "corpora" / "brown"
    folder.mkdir(parents=True)
    for number in range(3):
        lines = [f"Sentence/nn {i}/cd of/in part/nn {number}/cd ./.\n\n" for i in range(40)]
        (folder / f"ca0{number + 1}").write_text("".join(lines))
    (folder / "cats.txt").write_text("".join(f"ca0{n + 1} news\n" for n in range(3)))
    for path in [tmp_path / "nltk_data", *(tmp_path / "nltk_data").rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nltk_data")])
    # NLTK keeps a corpus that it once opened, wherever its data were.
    loader = nltk.corpus.util.LazyCorpusLoader(
        "brown",
        nltk.corpus.reader.CategorizedTaggedCorpusReader,
        r"c[a-z]\d\d",
        cat_file="cats.txt",
        tagset="brown",
        encoding="ascii",
    )
    monkeypatch.setitem(vars(sys.modules["nltk.corpus"]), "brown", loader)
    return folder


def test_nltk_corpus_keeps_every_sentence(nltk_data):
    corpus = load_corpus("nltk:brown")
    assert sum(len(corpus.split(name)) for name in ("train", "valid", "test")) == 120
    assert corpus.tokenizer.decode(corpus.train[0]) == "Sentence 0 of part 0 ."
    assert corpus.source == "nltk:brown"


@pytest.mark.skipif(version("nltk").startswith("3.9."), reason="NLTK takes them, before 3.10")
def test_nltk_data_that_others_can_write_are_refused_in_one_line(nltk_data):
    (nltk_data / "ca02").chmod(0o666)
    with pytest.raises(UserError, match="other accounts can write.*chmod -R go-w") as caught:
        load_corpus("nltk:brown")
    assert "\n" not in str(caught.value)


def test_nltk_corpus_that_is_absent_or_unknown(nltk_data):
    with pytest.raises(UserError, match="python -m nltk.downloader treebank"):
        load_corpus("nltk:treebank")
    for name in ("nosuch", "CorpusReader"):
        with pytest.raises(UserError, match="no corpus reader named .*try brown, treebank"):
            load_corpus(f"nltk:{name}")


@pytest.mark.parametrize("tokenizer", [3, None, b"word", object])
def test_what_is_no_tokenizer_is_refused_by_name(tokenizer):
    with pytest.raises(UserError, match="is no tokenizer: give a name such as 'word'"):
        load_corpus("grammar", tokenizer=tokenizer, num_sentences=50)
