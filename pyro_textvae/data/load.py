# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""`load_corpus`: from a source's name and options to an encoded corpus."""

import os
from importlib.metadata import version
from pathlib import Path

from pyro_textvae.data.cache import open_or_build
from pyro_textvae.data.corpus import Corpus
from pyro_textvae.data.encoding import EncodingOptions, encode_source
from pyro_textvae.data.grammar_sentences import GrammarSentences
from pyro_textvae.data.nltk_corpora import NLTKCorpus
from pyro_textvae.data.records import Source, content_digest
from pyro_textvae.data.stdlib_docstrings import StdlibDocstrings
from pyro_textvae.data.text_files import TextFiles
from pyro_textvae.data.tokenizer import KINDS, Tokenizer, TokenizerKind
from pyro_textvae.data.vocabulary import smallest_vocabulary
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import SPECIAL_TOKENS


def load_corpus(
    source: str | os.PathLike[str] = "stdlib",
    *,
    tokenizer: TokenizerKind | Tokenizer = "word",
    max_length: int | None = None,
    min_count: int = 1,
    vocab_size: int | None = None,
    truncate: bool = False,
    text_column: str | None = None,
    seed: int = 0,
    num_sentences: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Corpus:
    """Read, tokenise and encode a corpus, or open it from the cache.

    Args:
        source: "stdlib", English sentences from Python's own docstrings; "grammar", a synthetic
            language of known entropy; "nltk:NAME"; a folder with train, valid and test as .txt,
            .tsv or .jsonl; or one such file, split 90/5/5 by the hash of the sentence.
        tokenizer: "word" (split at whitespace), "nltk" (NLTK's word tokeniser), "character",
            "bpe" (byte-level), or a `Tokenizer`, which is used as it is.
        max_length: longest row in tokens, `<eos>` included; longer sentences are dropped.
        min_count: least frequency of a token in the train split; rarer ones become `<unk>`.
        vocab_size: most entries of the vocabulary, the four specials included.
        truncate: cut sentences to `max_length` and do not drop them.
        text_column: the column of .tsv or .jsonl that holds the text (default text or sentence).
        seed: seed of the draws from the grammar; nothing else is random.
        num_sentences: how many sentences of "stdlib" (at most) or "grammar" (default 20000).
        cache_dir: where encoded corpora are kept; default `$PYRO_TEXTVAE_CACHE`, else
            `pyro-textvae` in the user's cache folder.

    Raises:
        UserError: for input that cannot be read and options that make no sense, in one line.

    """
    _check_sizes(max_length, min_count, vocab_size, truncate, seed, num_sentences)
    _check_tokenizer(tokenizer, min_count, vocab_size)
    chosen = _open_source(source, text_column, seed, num_sentences)
    vocabulary = None
    if isinstance(chosen, GrammarSentences) and not isinstance(tokenizer, Tokenizer):
        if tokenizer != "bpe":
            # One text with all words, so the space between words is a known character too.
            vocabulary = [" ".join(chosen.grammar.lexicon)]
            _keep_the_language_whole(vocabulary[0], tokenizer, min_count, vocab_size)
    if isinstance(chosen, GrammarSentences) and max_length is not None:
        raise UserError(
            f"max_length={max_length} would change the distribution of the grammar's sentences,"
            " whose entropy is known; leave it out"
        )
    options = EncodingOptions(tokenizer, max_length, truncate, min_count, vocab_size)
    versions = [version("tokenizers"), version("nltk")]
    key = content_digest(chosen.digest(), *options.key_parts(), *versions)[:32]
    folder, meta = open_or_build(
        key,
        None if cache_dir is None else Path(cache_dir).expanduser(),
        lambda working: encode_source(chosen, options, vocabulary, working, key),
    )
    return Corpus(folder, meta, chosen.name)


def _open_source(
    source: str | os.PathLike[str], text_column: str | None, seed: int, num_sentences: int | None
) -> Source:
    name = os.fspath(source) if isinstance(source, str | os.PathLike) else ""
    if not name:
        raise UserError(f"source {source!r} is not a name or a path; try stdlib")
    built_in = name in ("stdlib", "grammar")
    if num_sentences is not None and not built_in:
        raise UserError(
            f"num_sentences={num_sentences} applies to stdlib and grammar, not to {name!r};"
            " leave it out"
        )
    if text_column is not None and (built_in or name.startswith("nltk:")):
        raise UserError(
            f"text_column={text_column!r} applies to .tsv and .jsonl files, not to {name!r};"
            " leave it out"
        )
    if name == "stdlib":
        return StdlibDocstrings(num_sentences)
    if name == "grammar":
        return GrammarSentences(num_sentences, seed)
    if name.startswith("nltk:"):
        return NLTKCorpus(name.removeprefix("nltk:"))
    try:
        return TextFiles(Path(name).expanduser(), text_column)
    except OSError as error:
        raise UserError(f"cannot read {name[:200]!r}: {error.strerror}") from None


def _check_sizes(
    max_length: int | None,
    min_count: int,
    vocab_size: int | None,
    truncate: bool,
    seed: int,
    num_sentences: int | None,
) -> None:
    least = {
        "max_length": (max_length, 2),
        "min_count": (min_count, 1),
        "vocab_size": (vocab_size, len(SPECIAL_TOKENS) + 1),
        "seed": (seed, 0),
        "num_sentences": (num_sentences, 1),
    }
    for name, (value, lowest) in least.items():
        if value is None and name not in ("min_count", "seed"):
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
            raise UserError(f"{name}={value!r} must be a whole number of at least {lowest}")
    if truncate and max_length is None:
        raise UserError("truncate=True needs a max_length to cut at; set max_length")


def _check_tokenizer(
    tokenizer: TokenizerKind | Tokenizer, min_count: int, vocab_size: int | None
) -> None:
    if isinstance(tokenizer, Tokenizer):
        if min_count != 1 or vocab_size is not None:
            raise UserError(
                f"min_count={min_count} and vocab_size={vocab_size} have no effect on a given"
                " Tokenizer; leave them out"
            )
        return
    if tokenizer not in KINDS:
        raise UserError(
            f"unknown tokenizer {tokenizer!r}; it is one of {', '.join(KINDS)}, or a Tokenizer"
        )
    if vocab_size is not None and vocab_size < smallest_vocabulary(tokenizer):
        raise UserError(
            f"vocab_size={vocab_size} is too small for {tokenizer}, which needs at least"
            f" {smallest_vocabulary(tokenizer)}"
        )


def _keep_the_language_whole(
    lexicon: str, tokenizer: TokenizerKind, min_count: int, vocab_size: int | None
) -> None:
    needed = len(SPECIAL_TOKENS) + len(
        set(lexicon if tokenizer == "character" else lexicon.split())
    )
    if min_count > 1 or (vocab_size is not None and vocab_size < needed):
        raise UserError(
            f"min_count={min_count} and vocab_size={vocab_size} would lump words of the grammar,"
            f" whose entropy is known; leave them out ({needed} entries keep every word)"
        )
