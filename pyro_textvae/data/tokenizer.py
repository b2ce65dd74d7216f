# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The tokenizer of a corpus: text to ids and back, in Hugging Face's `tokenizer.json`."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from pyro_textvae import zoo
from pyro_textvae.data.copied_words import CopiedWords, copied_from, copied_words_of
from pyro_textvae.data.tokenizer_kind import TokenizerKind
from pyro_textvae.data.unicode_form import UNICODE_FORMS, UnicodeForm, normalised, with_form
from pyro_textvae.data.whitespace_words import splits_at_whitespace, words_of
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.special_tokens import BOS, EOS, PAD, SPECIAL_TOKENS, UNK


class Tokenizer:
    """Text to ids and back; ``<pad>`` 0, ``<bos>`` 1, ``<eos>`` 2 and ``<unk>`` 3 in every kind.

    The specials are entries of the vocabulary and not Hugging Face's "added tokens": those are cut
    out of the middle of a text unless a flag is set that ``tokenizer.json`` does not keep. So a
    text can never produce pad, bos or eos, here or in ``tokenizers.Tokenizer.from_file``.

    >>> from pyro_textvae.data import train_tokenizer
    >>> tokenizer = train_tokenizer(["a cat sat", "a dog sat"])
    >>> tokenizer.encode("a dog")
    [4, 7]
    >>> tokenizer.decode([4, 7, 2, 0, 0])
    'a dog'
    >>> len(tokenizer), tokenizer.kind
    (8, 'word')

    :param backend: Hugging Face's tokenizer.
    :param kind: what prepares the text for it; by default the member of the catalogue that the
        components of ``backend`` belong to, as that format has no place for a name of ours.
    :raises UserError: for a vocabulary without the specials at 0 to 3, and for other components.
    """

    def __init__(self, backend: tokenizers.Tokenizer, kind: TokenizerKind | None = None) -> None:
        self._backend = backend
        _check_vocabulary(backend)
        self._kind = _kind_of(backend) if kind is None else _checked_kind(backend, kind)
        self.unicode_form: UnicodeForm = self._kind.unicode_form
        """The normal form of Unicode that text is taken into; ``none`` where it stays as it is."""
        self.kind = zoo.name_of("tokenizers", type(self._kind)) or type(self._kind).__name__
        """The kind's name in the catalogue, or the class of one of the user's own."""
        self.copies_unknown_words = False
        """Whether a source's words outside the vocabulary have ids of their own, beyond it."""

    @property
    def kind_class(self) -> type[TokenizerKind]:
        """The class of its kind."""
        return type(self._kind)

    @property
    def pretrained_path(self) -> str | None:
        """The folder of the pre-trained model that it is of; None for another kind."""
        return getattr(self._kind, "path", None) if self.kind == zoo.PRETRAINED else None

    @property
    def content_digest(self) -> str:
        """Of the files that its kind reads; empty for a kind that reads none."""
        return self._kind.content_digest

    @property
    def tokens_are_words(self) -> bool:
        """Whether a token is a whole word."""
        return self._kind.tokens_are_words

    def fewest_tokens(self, text: str) -> int:
        """A number of tokens that a text has at least, at the cost of a look at it."""
        return fewest_tokens(text, self._kind)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without ``<eos>``.

        :raises UserError: for what is not Unicode text.
        """
        return self._backend.encode(prepared(text, self._kind), add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of every text as int64 arrays, without ``<eos>``.

        :raises UserError: for what is not Unicode text, and for one text in place of a list.
        """
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            raise UserError(f"encode_batch takes a list of texts, got {texts!r}")
        return [np.array(ids, dtype=np.int64) for ids in self.encode_lists(texts)]

    def encode_lists(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of every text as lists, without ``<eos>``.

        :raises UserError: for what is not Unicode text.
        """
        texts = [prepared(text, self._kind) for text in texts]
        if self._id_of_word is None:
            encodings = self._backend.encode_batch_fast(texts, add_special_tokens=False)
            return [encoding.ids for encoding in encodings]
        id_of = self._id_of_word.get
        return [[id_of(word, UNK) for word in words_of(text)] for text in texts]

    @cached_property
    def splits_at_whitespace(self) -> bool:
        """Whether a text in its normal form, once prepared, is split at whitespace and no more."""
        return splits_at_whitespace(self._backend)

    @cached_property
    def _id_of_word(self) -> dict[str, int] | None:
        """The id of every word, where a text is only split at whitespace; None elsewhere."""
        if not self.splits_at_whitespace:
            return None
        return self._backend.get_vocab() | dict.fromkeys(SPECIAL_TOKENS, UNK)

    def encode_sources(self, texts: Sequence[str]) -> list[np.ndarray]:
        """As :meth:`encode_batch`; a word outside the vocabulary has an id beyond it if it is kept.

        >>> from pyro_textvae.data import train_tokenizer
        >>> tokenizer = train_tokenizer(["a cat sat", "a dog sat"])
        >>> tokenizer.copies_unknown_words = True
        >>> source = tokenizer.encode_sources(["a zorblax sat"])
        >>> source[0].tolist(), tokenizer.decode(source[0])
        ([4, 8, 5], 'a zorblax sat')
        >>> [row.tolist() for row in tokenizer.encode_given(["zorblax quibble"], source)]
        [[8, 3]]

        :raises UserError: as :meth:`encode_batch`.
        """
        rows = self.encode_batch(texts)
        if self.copies_unknown_words:
            rows = [
                self._with_copied(ids, text, add=True)
                for ids, text in zip(rows, texts, strict=False)
            ]
        return rows

    def encode_given(
        self, texts: Sequence[str], sources: Sequence[np.ndarray | Sequence[int]]
    ) -> list[np.ndarray]:
        """As :meth:`encode_batch`; a word outside the vocabulary has the id that its source has.

        :param sources: of :meth:`encode_sources`, one for each text.
        :raises UserError: as :meth:`encode_batch`.
        """
        rows = self.encode_batch(texts)
        if not self.copies_unknown_words:
            return rows
        given = zip(rows, texts, sources, strict=True)
        return [
            self.copied_from(self._with_copied(ids, text, add=False), source)
            for ids, text, source in given
        ]

    def copied_from(self, ids: np.ndarray, source: np.ndarray | Sequence[int]) -> np.ndarray:
        """The ids with ``<unk>`` for words outside the vocabulary that a source does not have."""
        return copied_from(ids, np.asarray(source), len(self), UNK)

    def _with_copied(self, ids: np.ndarray, text: str, *, add: bool) -> np.ndarray:
        if UNK not in ids:
            return ids
        text, ids = prepared(text, self._kind), ids.copy()
        normalizer = self._backend.normalizer
        offsets = self._backend.encode(text, add_special_tokens=False).offsets
        for place in np.flatnonzero(ids == UNK):
            word = text[slice(*offsets[place])]
            word = word if normalizer is None else normalizer.normalize_str(word)
            # A literal <unk> is no word that a source says.
            if word not in SPECIAL_TOKENS:
                copied = self.copied_words.place(word, add=add)
                ids[place] = UNK if copied is None else len(self) + copied
        return ids

    @cached_property
    def copied_words(self) -> CopiedWords:
        """Words outside the vocabulary that sources had in this process."""
        return copied_words_of(self.fingerprint)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids up to the first ``<eos>``; ``<pad>`` and ``<bos>`` are left out.

        An id beyond the vocabulary is a word that a source had.

        :param ids: one row.
        :raises UserError: for an id outside the vocabulary.
        """
        if not isinstance(ids, Iterable):
            raise UserError(f"decode takes one row of ids, got {ids!r}")
        kept: list[int] = []
        for value in ids:
            try:
                index = int(value)
            except (TypeError, ValueError, RuntimeError):
                raise UserError(f"decode takes one row of ids, and {value!r} is no id") from None
            if index == EOS:
                break
            if not 0 <= index < len(self) + self._num_copied:
                raise UserError(f"id {index} is outside the vocabulary of {len(self)} tokens")
            if index not in (PAD, BOS):
                kept.append(index)
        if any(index >= len(self) for index in kept):
            return self._decode_copied(kept)
        return self._backend.decode(kept, skip_special_tokens=False)

    @property
    def _num_copied(self) -> int:
        return len(self.copied_words) if self.copies_unknown_words else 0

    def _decode_copied(self, ids: Sequence[int]) -> str:
        size = len(self)
        words = [self.vocabulary[i] if i < size else self.copied_words[i - size] for i in ids]
        decoder = self._backend.decoder
        return " ".join(words) if decoder is None else decoder.decode(words)

    def decode_parts(self, row: Sequence[Any]) -> str:
        """The text of a row; of rows of rows, as a document has, the texts with bars between.

        Rows of padding alone are no texts.

        >>> from pyro_textvae.data import train_tokenizer
        >>> train_tokenizer(["a b", "a"]).decode_parts([[4, 2, 0], [5, 4, 2], [0, 0, 0]])
        'a | b a'

        :param row: ids, or rows of ids, or rows of those.
        :raises UserError: as :meth:`decode`.
        """
        if row and isinstance(row[0], list):
            there = (part for part in row if isinstance(part[0], list) or any(part))
            return " | ".join(self.decode_parts(part) for part in there)
        return self.decode(row)

    def decode_lines(self, row: Sequence[Any]) -> str:
        r"""The text of a row; of the rows of a document, one line a sentence.

        >>> from pyro_textvae.data import train_tokenizer
        >>> train_tokenizer(["a b", "a"]).decode_lines([[4, 2, 0], [5, 4, 2], [0, 0, 0]])
        'a\nb a'

        :param row: ids, or rows of ids, of which those of padding alone are no sentences.
        :raises UserError: as :meth:`decode`.
        """
        if not (row and isinstance(row[0], list)):
            return self.decode(row)
        return "\n".join(self.decode(ids) for ids in row if any(index != PAD for index in ids))

    def __len__(self) -> int:
        return self._backend.get_vocab_size()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"Tokenizer({self.kind}, {len(self)} tokens, {self.fingerprint})"

    @cached_property
    def vocabulary(self) -> list[str]:
        """The tokens in the order of their ids."""
        ids = self._backend.get_vocab()
        return sorted(ids, key=ids.__getitem__)

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of all that decides how text is encoded."""
        content = json.dumps(json.loads(self._backend.to_str()), sort_keys=True)
        digest = hashlib.sha256(content.encode("utf-8", "surrogatepass"))
        if zoo.name_of("tokenizers", type(self._kind)) is None:
            # What the user's own class does before the pipeline is in its file alone.
            digest.update(zoo.digest_of(type(self._kind)).encode())
        return digest.hexdigest()[:16]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tokenizer as one file that ``tokenizers.Tokenizer.from_file`` opens too.

        :raises UserError: where it cannot be written.
        """
        path = _path(path)
        try:
            path.write_text(self._backend.to_str(pretty=True), encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"cannot write the tokenizer to {str(path)!r}: {reason}") from None

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], kind: str | TokenizerKind | None = None
    ) -> Tokenizer:
        """Read what :meth:`save` wrote.

        :param path: a ``tokenizer.json``.
        :param kind: a kind of the user's own, or its ``file.py:Class``; those of the catalogue are
            told apart by the file.
        :raises UserError: for a missing, cut or foreign file.
        """
        path = _path(path)
        kind = load_kind(kind) if isinstance(kind, str) else kind
        if path.exists() and not path.is_file():
            raise UserError(f"cannot read the tokenizer {str(path)!r}: it is no file")
        try:
            content = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            if isinstance(error, UnicodeDecodeError):
                reason = "not UTF-8"
            raise UserError(f"cannot read the tokenizer {str(path)!r}: {reason}") from None
        try:
            backend = tokenizers.Tokenizer.from_str(content)
        except Exception as error:  # the Rust side raises plain Exception
            raise UserError(
                f"{str(path)!r} is not a tokenizer.json or is cut short: {error};"
                " put the one back that was saved with the model"
            ) from None
        try:
            return cls(backend, kind)
        except UserError as error:
            raise UserError(f"{str(path)!r} was not written by pyro-textvae: {error}") from None


def _path(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"a tokenizer.json is named by its path, got {path!r}")
    return Path(path)


def load_kind(spec: str) -> TokenizerKind:
    """The kind that a name of the catalogue, or ``file.py:Class``, stands for.

    :raises UserError: for an unknown name, with the nearest known one, and for a class that is no
        kind of tokenizer.
    """
    return zoo.build(zoo.load("tokenizers", spec), {})


def in_form(kind: TokenizerKind, form: UnicodeForm) -> TokenizerKind:
    """The kind with this normal form of Unicode in the place of its own.

    :raises UserError: for a form that there is not.
    """
    if form not in UNICODE_FORMS:
        raise UserError(f"unicode_form={form!r} must be one of {', '.join(UNICODE_FORMS)}")
    kind = copy.copy(kind)
    kind.unicode_form = form
    return kind


def fewest_tokens(text: str, kind: TokenizerKind) -> int:
    """A number of tokens that a text has at least, at the cost of a look at it."""
    return kind.fewest_tokens(normalised(text, kind.unicode_form))


def prepared(text: str, kind: TokenizerKind) -> str:
    """The text as the pipeline of a kind takes it.

    It is in the kind's normal form when the kind prepares it, and again after that.

    :raises UserError: for what is not Unicode text, and where a kind of the user's own fails.
    """
    if not isinstance(text, str):
        raise UserError(f"text to encode must be a string, not {type(text).__name__}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"text holds half of a surrogate pair at character {error.start}; it is not Unicode"
        ) from None
    try:
        result = kind.prepare(normalised(text, kind.unicode_form))
    except Exception as error:
        raise UserError(
            f"the tokenizer {type(kind).__name__} fails on {text[:60]!r}: {in_one_line(error)}"
        ) from error
    if not isinstance(result, str):
        raise UserError(
            f"{type(kind).__name__}.prepare must return a string, got {type(result).__name__}"
        )
    return normalised(result, kind.unicode_form)


def _check_vocabulary(backend: tokenizers.Tokenizer) -> None:
    ids = backend.get_vocab()
    if [ids.get(special) for special in SPECIAL_TOKENS] != [PAD, BOS, EOS, UNK]:
        raise UserError(f"its ids 0 to 3 are not {', '.join(SPECIAL_TOKENS)}")
    if sorted(ids.values()) != list(range(len(ids))):
        raise UserError("its ids leave gaps")


def _kind_of(backend: tokenizers.Tokenizer) -> TokenizerKind:
    names, components = zoo.names("tokenizers"), _components(backend)
    for kind in map(load_kind, names):
        form = _form_of(components, kind)
        if form is not None:
            return in_form(kind, form)
    raise UserError("its parts are of none of the kinds " + ", ".join(names))


def _checked_kind(backend: tokenizers.Tokenizer, kind: TokenizerKind) -> TokenizerKind:
    form = _form_of(_components(backend), kind)
    if form is None:
        raise UserError(f"its parts are not those of the kind {type(kind).__name__}")
    return in_form(kind, form)


def _form_of(components: Mapping[str, Any], kind: TokenizerKind) -> UnicodeForm | None:
    """The normal form in which a tokenizer of these parts is of this kind; None for none."""
    for form in UNICODE_FORMS:
        if components == _components(with_form(kind.pipeline(kind.empty_model()), form)):
            return form
    return None


def _components(backend: tokenizers.Tokenizer) -> dict[str, Any]:
    content = json.loads(backend.to_str())
    del content["version"]
    content["model"] = {
        key: value for key, value in content["model"].items() if key not in ("vocab", "merges")
    }
    return content
