# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Making a tokenizer from text, the same on every run: ties in frequency go by spelling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from pyro_textvae.data.tokenizer import Tokenizer, in_form, load_kind, prepared
from pyro_textvae.data.tokenizer_kind import TokenizerKind
from pyro_textvae.data.unicode_form import UnicodeForm, with_form
from pyro_textvae.data.whitespace_words import splits_at_whitespace, words_of
from pyro_textvae.errors import UserError, in_one_line


def train_tokenizer(
    texts: Iterable[str],
    kind: str | TokenizerKind = "word",
    *,
    min_count: int = 1,
    vocab_size: int | None = None,
    unicode_form: UnicodeForm | None = None,
) -> Tokenizer:
    """Make a tokenizer of the most frequent tokens of the texts, which are read once, streaming.

    >>> tokenizer = train_tokenizer(["the cat", "the dog"], "word", vocab_size=6)
    >>> tokenizer.vocabulary
    ['<pad>', '<bos>', '<eos>', '<unk>', 'the', 'cat']

    :param texts: raw texts.
    :param kind: a name of the catalogue, ``file.py:Class``, or a kind.
    :param min_count: the least frequency of a token; for bpe, of a merge.
    :param vocab_size: most entries, the four specials included; None for all, for bpe 8000.
    :param unicode_form: the normal form of Unicode that text is taken into: nfc, nfd, nfkc, nfkd or
        none; by default that of the kind.
    :raises UserError: for an unknown kind or form, or where no token is that frequent.
    """
    kind = load_kind(kind) if isinstance(kind, str) else kind
    kind = kind if unicode_form is None else in_form(kind, unicode_form)
    stream = in_lists(prepared(text, kind) for text in texts)
    try:
        backend = kind.train(stream, min_count, vocab_size)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"the tokenizer {type(kind).__name__} cannot be trained: {in_one_line(error)}"
        ) from error
    return Tokenizer(with_form(backend, kind.unicode_form), kind)


def counts_at_whitespace(kind: TokenizerKind) -> bool:
    """Whether a kind makes its vocabulary by counting words between whitespace."""
    trains = type(kind).train is TokenizerKind.train
    return trains and splits_at_whitespace(kind.pipeline(kind.empty_model()))


def word_counts(texts: Iterable[str], kind: TokenizerKind) -> Counter[str]:
    """How often each word stands in the texts, as the kind prepares them.

    >>> from pyro_textvae.data.tokenizers import WordTokenizer
    >>> word_counts(["a b", "a"], WordTokenizer())["a"]
    2
    """
    return Counter(word for text in texts for word in words_of(prepared(text, kind)))


def tokenizer_of_counts(
    counts: Iterable[Mapping[str, int]],
    kind: TokenizerKind,
    *,
    min_count: int = 1,
    vocab_size: int | None = None,
) -> Tokenizer:
    """As :func:`train_tokenizer`, of words that were counted already, part by part.

    :raises UserError: where no word is that frequent.
    """
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    backend = kind.from_counts(total, min_count, vocab_size)
    return Tokenizer(with_form(backend, kind.unicode_form), kind)


def in_lists(texts: Iterable[str], size: int = 1000) -> Iterator[list[str]]:
    """The texts, so many at once."""
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
