# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The tokenizer of a corpus: text to ids and back, in Hugging Face's `tokenizer.json`."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import BOS, EOS, PAD, SPECIAL_TOKENS, UNK

TokenizerKind = Literal["word", "nltk", "character", "bpe"]
KINDS: tuple[TokenizerKind, ...] = get_args(TokenizerKind)

_SPECIAL_WORD = re.compile(r"(?<!\S)(<(?:pad|bos|eos|unk)>)(?!\S)")
_RESERVED_WORD = r"(?<!\S)<(?:pad|bos|eos)>(?!\S)"


class Tokenizer:
    """Text to ids and back; `<pad>` 0, `<bos>` 1, `<eos>` 2 and `<unk>` 3 in every kind.

    The specials are entries of the vocabulary and not Hugging Face's "added tokens": those are cut
    out of the middle of a text unless a flag is set that `tokenizer.json` does not keep. So a text
    can never produce pad, bos or eos, here or in `tokenizers.Tokenizer.from_file`. The kind is read
    off the components, because that format has no place for a field of ours.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._backend = backend
        self.kind = _kind_of(backend)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without `<eos>`."""
        return self._backend.encode(prepared(text, self.kind), add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of every text as int64 arrays, without `<eos>`."""
        encodings = self._backend.encode_batch_fast(
            [prepared(text, self.kind) for text in texts], add_special_tokens=False
        )
        return [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of the ids up to the first `<eos>`; `<pad>` and `<bos>` are left out."""
        kept: list[int] = []
        for given in ids:
            try:
                index = int(given)
            except (TypeError, ValueError, RuntimeError):
                raise UserError(f"decode takes one row of ids, and {given!r} is no id") from None
            if index == EOS:
                break
            if not 0 <= index < len(self):
                raise UserError(f"id {index} is outside the vocabulary of {len(self)} tokens")
            if index not in (PAD, BOS):
                kept.append(index)
        return self._backend.decode(kept, skip_special_tokens=False)

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
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tokenizer as one file that `tokenizers.Tokenizer.from_file` opens too."""
        try:
            Path(path).write_text(self._backend.to_str(pretty=True), encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"cannot write the tokenizer to {str(path)!r}: {error.strerror}"
            ) from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Tokenizer":
        """Read what `save` wrote; raises `UserError` for a missing, cut or foreign file."""
        try:
            content = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise UserError(f"cannot read the tokenizer {str(path)!r}: {reason}") from None
        try:
            backend = tokenizers.Tokenizer.from_str(content)
        except Exception as error:  # the Rust side raises plain Exception
            raise UserError(
                f"{str(path)!r} is not a tokenizer.json or is cut short: {error};"
                " put the one back that was saved with the model"
            ) from None
        try:
            return cls(backend)
        except UserError as error:
            raise UserError(f"{str(path)!r} was not written by pyro-textvae: {error}") from None


def backend_for(kind: TokenizerKind, model: tokenizers.models.Model) -> tokenizers.Tokenizer:
    """Return the Hugging Face pipeline of a kind around a model that holds the vocabulary."""
    backend = tokenizers.Tokenizer(model)
    if kind == "bpe":
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
    elif kind == "character":
        backend.normalizer = normalizers.NFC()
        backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
        backend.decoder = decoders.Fuse()
    else:
        backend.normalizer = normalizers.Replace(Regex(_RESERVED_WORD), "<unk>")
        whitespace = pre_tokenizers.WhitespaceSplit()
        # A sequence of one step works like the step itself: it marks text that NLTK prepares.
        backend.pre_tokenizer = (
            pre_tokenizers.Sequence([whitespace]) if kind == "nltk" else whitespace
        )
    return backend


def prepared(text: str, kind: TokenizerKind) -> str:
    """Return the text as the Hugging Face pipeline of this kind takes it.

    NLTK's word tokeniser runs here, as that pipeline has no such step. Raises `UserError` for what
    is not Unicode text.
    """
    if not isinstance(text, str):
        raise UserError(f"text to encode must be a string, not {type(text).__name__}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"text holds half of a surrogate pair at character {error.start}; it is not Unicode"
        ) from None
    if kind != "nltk":
        return text
    # Set apart first: the word tokeniser would take the brackets off and leave `unk` as a word.
    words: list[str] = []
    for piece in _SPECIAL_WORD.split(text):
        words += [piece] if piece in SPECIAL_TOKENS else _treebank().tokenize(piece)
    return " ".join(words)


@cache
def _treebank() -> Any:
    from nltk.tokenize.treebank import TreebankWordTokenizer

    return TreebankWordTokenizer()


def _kind_of(backend: tokenizers.Tokenizer) -> TokenizerKind:
    ids = backend.get_vocab()
    if [ids.get(special) for special in SPECIAL_TOKENS] != [PAD, BOS, EOS, UNK]:
        raise UserError(f"its ids 0 to 3 are not {', '.join(SPECIAL_TOKENS)}")
    if sorted(ids.values()) != list(range(len(ids))):
        raise UserError("its ids leave gaps")
    components = _components(backend)
    for kind in KINDS:
        model = models.BPE() if kind == "bpe" else models.WordLevel(unk_token="<unk>")
        if components == _components(backend_for(kind, model)):
            return kind
    raise UserError("its parts are of none of the kinds " + ", ".join(KINDS))


def _components(backend: tokenizers.Tokenizer) -> dict[str, Any]:
    content = json.loads(backend.to_str())
    del content["version"]
    content["model"] = {
        key: value for key, value in content["model"].items() if key not in ("vocab", "merges")
    }
    return content
