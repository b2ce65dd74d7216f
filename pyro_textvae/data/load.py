# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""`load_corpus`: from a source's name and options to an encoded corpus."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pyro_textvae import zoo
from pyro_textvae.contract import SOURCE
from pyro_textvae.data.cache import open_or_build
from pyro_textvae.data.corpus import Corpus
from pyro_textvae.data.encoding import encode_source
from pyro_textvae.data.encoding_options import EncodingOptions
from pyro_textvae.data.given_texts import as_texts, keep_texts
from pyro_textvae.data.records import SPLITS, SplitName, content_digest
from pyro_textvae.data.source import Source, open_source
from pyro_textvae.data.sources.text_files import EmptyPairs
from pyro_textvae.data.standard_input import STANDARD_INPUT, kept_standard_input
from pyro_textvae.data.store import TOKENIZER
from pyro_textvae.data.tokenizer import Tokenizer, in_form, load_kind
from pyro_textvae.data.tokenizer_kind import TokenizerKind
from pyro_textvae.data.tsv import Quotes
from pyro_textvae.data.unicode_form import UnicodeForm
from pyro_textvae.data.vocabulary import train_tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import SPECIAL_TOKENS


def load_corpus(
    source: str | os.PathLike[str] | Iterable[str] = "stdlib",
    *,
    tokenizer: str | Tokenizer = "word",
    max_length: int | None = None,
    max_source_length: int | None = None,
    max_sentences: int | None = None,
    min_count: int = 1,
    vocab_size: int | None = None,
    unicode_form: UnicodeForm | None = None,
    truncate: bool = False,
    text_column: str | None = None,
    source_column: str | None = None,
    label_column: str | None = None,
    document_column: str | None = None,
    label_names: Sequence[str] | None = None,
    labelled_share: float | None = None,
    labelled_seed: int = 0,
    unlabelled: Literal["keep", "drop"] = "keep",
    file_split: SplitName | None = None,
    quotes: Quotes | None = None,
    empty_pairs: EmptyPairs | None = None,
    source_turns: int | None = None,
    copy_unknown_words: bool = False,
    seed: int = 0,
    num_sentences: int | None = None,
    data_options: Mapping[str, Any] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Corpus:
    r"""Read, tokenise and encode a corpus, or open it from the cache.

    >>> corpus = load_corpus("grammar", num_sentences=100)
    >>> len(corpus.train), len(corpus.valid), len(corpus.test)
    (80, 10, 10)
    >>> batch = next(corpus.batches("test", batch_size=10, shuffle=False))
    >>> batch["tokens"].shape == (10, corpus.test.lengths.max())
    True

    A text with what it answers and a label, in columns:

    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> for split in ("train", "valid", "test"):
    ...     rows = "question\tanswer\tmood\nhow are you\tfine\tgood\nand he\tso so\t\n"
    ...     _ = (folder / f"{split}.tsv").write_text(rows)
    >>> corpus = load_corpus(
    ...     folder, text_column="answer", source_column="question", label_column="mood"
    ... )
    >>> corpus.label_names
    ('good',)
    >>> batch = next(corpus.batches("train", shuffle=False))
    >>> {name: tuple(field.shape) for name, field in batch.items()}
    {'tokens': (2, 3), 'source': (2, 4), 'labels': (2,)}
    >>> batch["labels"].tolist()
    [0, -1]

    Documents, as lists of sentences, are ``(N, S, T)``, with rows of padding where a document has
    no further sentence:

    >>> for split in ("train", "valid", "test"):
    ...     rows = '{"text": ["he came .", "he went ."]}\n{"text": ["he came ."]}\n'
    ...     _ = (folder / f"{split}.jsonl").write_text(rows)
    ...     (folder / f"{split}.tsv").unlink()
    >>> corpus = load_corpus(folder)
    >>> next(corpus.batches("train", shuffle=False))["tokens"].shape, corpus.max_sentences
    (torch.Size([2, 2, 4]), 2)
    >>> print(corpus.tokenizer.decode_lines(corpus.train[0].tolist()))
    he came .
    he went .

    :param source: "stdlib", English sentences from Python's own docstrings; "grammar", a synthetic
        language of known entropy; "world:NAME", others, some with sources or labels; "nltk:NAME";
        a folder with train, valid and test as .txt, .tsv, .csv, .jsonl, .parquet or .arrow, also
        compressed as .gz, .zst or .xz; one such file, a folder without splits, or a pattern of
        files, split 90/5/5 by the hash of the sentence; "hf:NAME" of Hugging Face's datasets; "-",
        standard input; "file.py:Class", a source of your own; or texts themselves: a list of
        strings, a column of a data frame, a data frame or ``datasets.Dataset`` with a column
        ``text``.
    :param tokenizer: "word" (split at whitespace), "nltk" (NLTK's word tokeniser), "character",
        "bpe" (byte-level), "hf:PATH" (of a pre-trained model), "file.py:Class", or a
        :class:`Tokenizer`, which is used as it is.
    :param max_length: longest row in tokens, ``<eos>`` included; longer sentences are dropped. A
        sentence with a source is dropped where either is longer, so that both keep to it.
    :param max_source_length: longest source in tokens, ``<eos>`` included, in the place of
        ``max_length``; a sentence whose source is longer is dropped, or the source cut, and counted
        apart.
    :param max_sentences: most sentences of a document; longer ones are dropped, and counted apart.
        Without it, a document of over 1,000 is refused.
    :param min_count: least frequency of a token in text and sources of the train split; rarer ones
        become ``<unk>``.
    :param vocab_size: most entries of the vocabulary, the four specials included.
    :param unicode_form: the normal form of Unicode that text is taken into before it is encoded:
        nfc, nfd, nfkc, nfkd or none; by default nfc, so that a word in composed and in decomposed
        code points is one word, and none for "bpe", which gives every text back as it was.
    :param truncate: cut text and source to ``max_length``, and documents to ``max_sentences``,
        instead of dropping them.
    :param text_column: the column of .tsv or .jsonl that holds the text (default text or sentence).
        The columns of a .tsv without a header are column_0, column_1, ...
    :param source_column: the column of the text that each text is conditioned on, encoded with the
        same tokenizer: the field ``source`` of a batch.
    :param label_column: the column of the label, whose index in ``corpus.label_names`` is the field
        ``labels`` of a batch; -1 where the cell is empty, or the key is missing or null.
    :param document_column: the column that says which document a sentence is of, in a file with one
        sentence a row: neighbouring rows with the same cell are one document. In .jsonl a list of
        strings as the text is a document without it.
    :param label_names: the labels in the order of their indices, for other text for a trained
        model; by default those of the train split, sorted.
    :param labelled_share: hide all labels of the train split but this share of them, above 0 and at
        most 1: what would be learned from so few.
    :param labelled_seed: says which stay; those of a smaller share are among those of a larger one.
    :param unlabelled: "drop" leaves out the sentences of the train split without a label, once
        those are hidden. The vocabulary stays that of all of them.
    :param file_split: the split that all of a single file goes into, to be scored as a whole: the
        other two are empty then. By default one file is split 90/5/5.
    :param quotes: what a quote is in .tsv: "csv", around a cell whose own quotes are doubled, as
        pandas writes it; "literal", a character like others. By default csv for a file whose quotes
        are all of that kind, with a warning, and literal for others.
    :param empty_pairs: what to do with a row that lacks its text or its source: ``refuse`` it, the
        default; ``drop`` and count it; or ``keep`` a source without a word.
    :param source_turns: how many of the last turns of a source to take, those between ``|``, or in
        .jsonl the strings of a list; by default all.
    :param copy_unknown_words: keep the words of sources that are outside the vocabulary, with ids
        beyond it, and take such a word of a text for the one that its source has, for a decoder
        that copies; other words outside the vocabulary are ``<unk>``. Of a tokenizer of words.
    :param seed: seed of the draws from a grammar or a world; nothing else is random.
    :param num_sentences: how many sentences of "stdlib" (at most), "grammar" or a world (default
        20000).
    :param data_options: options of a world, or of a source of your own that takes them.
    :param cache_dir: where encoded corpora are kept; default ``$PYRO_TEXTVAE_CACHE``, else
        ``pyro-textvae`` in the user's cache folder.
    :raises UserError: for input that cannot be read and options that make no sense, in one line.
    """
    _check_sizes(
        {
            "max_length": (max_length, 2),
            "max_source_length": (max_source_length, 2),
            "source_turns": (source_turns, 1),
            "max_sentences": (max_sentences, 1),
            "min_count": (min_count, 1),
            "vocab_size": (vocab_size, len(SPECIAL_TOKENS) + 1),
            "seed": (seed, 0),
            "num_sentences": (num_sentences, 1),
        }
    )
    if not isinstance(truncate, bool):
        raise UserError(f"truncate={truncate!r} must be True or False")
    if truncate and max_length is None and max_source_length is None and max_sentences is None:
        raise UserError("truncate=True needs a max_length to cut at; set max_length")
    encoder: TokenizerKind | Tokenizer
    encoder = load_kind(tokenizer) if isinstance(tokenizer, str) else tokenizer
    if not isinstance(encoder, TokenizerKind | Tokenizer):
        raise UserError(
            f"tokenizer={tokenizer!r} is no tokenizer: give a name such as 'word', a TokenizerKind "
            "or a Tokenizer"
        )
    _check_vocabulary_size(encoder, min_count, vocab_size)
    if unicode_form is not None:
        if isinstance(encoder, Tokenizer):
            raise UserError(
                f"unicode_form={unicode_form!r} has no effect on a given Tokenizer, which has its "
                "own; leave it out"
            )
        encoder = in_form(encoder, unicode_form)
    if copy_unknown_words and not encoder.tokens_are_words:
        kind = getattr(encoder, "kind", None) or tokenizer
        raise UserError(
            f"copy_unknown_words copies whole words, and the tokens of the {kind} tokenizer are "
            "parts of words, by which any word can be copied: leave it out, or take word"
        )
    if file_split is not None and file_split not in SPLITS:
        raise UserError(f"file_split={file_split!r} must be one of {', '.join(SPLITS)}")
    if file_split is not None and not isinstance(encoder, Tokenizer):
        raise UserError(
            f"file_split={file_split!r} leaves no text to make a vocabulary of; give a Tokenizer"
        )
    if label_names is not None and label_column is None:
        raise UserError("label_names without label_column would do nothing; give both or neither")
    _check_fewer_labels(labelled_share, labelled_seed, unlabelled)
    if isinstance(source, str) and source == STANDARD_INPUT:
        source = kept_standard_input()
    elif isinstance(source, Iterable) and not isinstance(source, str | bytes | os.PathLike):
        source = keep_texts(as_texts(source))
    if not isinstance(source, str | os.PathLike) or not os.fspath(source):
        raise UserError(f"source {source!r} is not a name or a path; try stdlib")
    if not isinstance(cache_dir, str | os.PathLike | None):
        raise UserError(f"cache_dir {cache_dir!r} is not a path; leave it out for the default")
    opened = open_source(
        os.fspath(source),
        {
            "text_column": text_column,
            "source_column": source_column,
            "label_column": label_column,
            "num_sentences": num_sentences,
            "data_options": data_options or None,
            "file_split": file_split,
            "quotes": quotes,
            "empty_pairs": empty_pairs,
            "source_turns": source_turns,
            "document_column": document_column,
        },
        seed,
    )
    options = EncodingOptions(
        encoder,
        max_length,
        truncate,
        min_count,
        vocab_size,
        label_column,
        None if label_names is None else tuple(label_names),
        max_source_length,
        max_sentences,
        copy_unknown_words,
    )
    vocabulary = _closed_vocabulary(getattr(opened, "lexicon", None), options)
    versions = [version("tokenizers"), version("nltk")]
    key = content_digest(opened.digest(), *options.key_parts(), *versions)[:32]
    folder, meta = open_or_build(
        key,
        None if cache_dir is None else Path(cache_dir).expanduser(),
        lambda working: encode_source(opened, options, vocabulary, working, key),
    )
    if not isinstance(encoder, Tokenizer):
        encoder = Tokenizer.load(folder / TOKENIZER, encoder)
    if encoder.copies_unknown_words != copy_unknown_words:
        encoder = copy.copy(encoder)
        encoder.copies_unknown_words = copy_unknown_words
    if copy_unknown_words:
        _check_copies(opened, meta)
    if max_source_length is not None and SOURCE not in meta["fields"]:
        raise UserError(
            f"max_source_length={max_source_length} would do nothing, for {opened.name} has no "
            "sources: name their column by source_column, or leave it out"
        )
    if max_sentences is not None and not meta.get("documents"):
        raise UserError(
            f"max_sentences={max_sentences} would do nothing, for {opened.name} has no documents: "
            "give lists of sentences or a document_column, or leave it out"
        )
    settings: dict[str, Any] = {
        "data": os.fspath(source),
        "tokenizer": tokenizer,
        "max_length": max_length,
        "max_source_length": max_source_length,
        "min_count": min_count,
        "vocab_size": vocab_size,
        "truncate": truncate,
        "text_column": text_column,
        "source_column": source_column,
        "label_column": label_column,
        "empty_pairs": empty_pairs or "refuse",
        "source_turns": source_turns,
        "num_sentences": num_sentences,
        "data_options": dict(data_options or {}),
    }
    if document_column is not None:
        settings["document_column"] = document_column
    if max_sentences is not None:
        settings["max_sentences"] = max_sentences
    if labelled_share is not None:
        settings |= {"labelled_share": labelled_share, "labelled_seed": labelled_seed}
    if unlabelled != "keep":
        settings["unlabelled"] = unlabelled
    if copy_unknown_words:
        settings["copy_unknown_words"] = True
    world = getattr(opened, "world", None)
    corpus = Corpus(folder, meta, opened.name, encoder, settings, world)
    if labelled_share is not None or unlabelled != "keep":
        corpus.keep_fewer_labels(labelled_share, labelled_seed, unlabelled=unlabelled)
    return corpus


def _check_copies(source: Source, meta: Mapping[str, Any]) -> None:
    """Refuse a corpus without sources, and other words outside the vocabulary of a world's texts.

    :raises UserError: for either.
    """
    if SOURCE not in meta["fields"]:
        raise UserError(
            f"copy_unknown_words would do nothing, for {source.name} has no sources: name their "
            "column by source_column, or leave it out"
        )
    shares = [counts["unknown_token_share"] for counts in meta["counts"].values()]
    if getattr(source, "lexicon", None) is not None and any(shares):
        raise UserError(
            f"{100 * max(shares):.1f} % of the words of a split of {source.name} are outside the "
            "vocabulary and not in their source, and would be lumped, so that its entropy would "
            "not be that of the language: lower min_count, or leave vocab_size out"
        )


def _check_fewer_labels(share: Any, seed: Any, unlabelled: Any) -> None:
    is_number = isinstance(share, int | float) and not isinstance(share, bool)
    if share is not None and not (is_number and 0 < share <= 1):
        raise UserError(f"labelled_share={share!r} must be a number above 0 and at most 1")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"labelled_seed={seed!r} must be a whole number of at least 0")
    if unlabelled not in ("keep", "drop"):
        raise UserError(f"unlabelled={unlabelled!r} must be 'keep' or 'drop'")
    if share is None and seed != 0:
        raise UserError(
            f"labelled_seed={seed} says which labels stay, and without labelled_share all do: give "
            "both or neither"
        )


def _closed_vocabulary(lexicon: list[str] | None, options: EncodingOptions) -> list[str] | None:
    """Texts to take the vocabulary from where a source has all words of its language.

    :raises UserError: for options that would make another language of it.
    """
    if lexicon is None:
        return None
    texts = None
    if options.copy_unknown_words:
        # Of the train split: a word that is copied is the word itself, see _check_copies.
        return None
    kind, min_count, vocab_size = options.tokenizer, options.min_count, options.vocab_size
    if isinstance(kind, TokenizerKind) and not kind.encodes_any_text:
        # One text with all words, so that the space between words is a character of it too.
        texts = [" ".join(lexicon)]
        if min_count > 1 or vocab_size is not None:
            needed = len(train_tokenizer(texts, kind))
            if min_count > 1 or (vocab_size is not None and vocab_size < needed):
                raise UserError(
                    f"min_count={min_count} and vocab_size={vocab_size} would lump words of the"
                    f" language, whose entropy is known; leave them out ({needed} entries keep"
                    " every word)"
                )
    for name in ("max_length", "max_source_length", "max_sentences"):
        if (length := getattr(options, name)) is not None:
            raise UserError(
                f"{name}={length} would change the distribution of the language's sentences, whose"
                " entropy is known; leave it out"
            )
    return texts


def _check_sizes(least: Mapping[str, tuple[Any, int]]) -> None:
    """Refuse what is below the least of each setting."""
    for name, (value, lowest) in least.items():
        if value is None and name not in ("min_count", "seed"):
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
            raise UserError(f"{name}={value!r} must be a whole number of at least {lowest}")


def _check_vocabulary_size(
    encoder: TokenizerKind | Tokenizer, min_count: int, vocab_size: int | None
) -> None:
    if isinstance(encoder, Tokenizer):
        if min_count != 1 or vocab_size is not None:
            raise UserError(
                f"min_count={min_count} and vocab_size={vocab_size} have no effect on a given"
                " Tokenizer; leave them out"
            )
    elif vocab_size is not None and vocab_size < encoder.smallest_vocabulary:
        name = zoo.name_of("tokenizers", type(encoder)) or type(encoder).__name__
        raise UserError(
            f"vocab_size={vocab_size} is too small for {name}, which needs at least"
            f" {encoder.smallest_vocabulary}"
        )
