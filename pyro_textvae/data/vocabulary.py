# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Making a vocabulary from text, the same on every run: ties in frequency go by spelling."""

import json
from collections.abc import Iterable, Iterator

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from pyro_textvae.data.tokenizer import Tokenizer, TokenizerKind, backend_for, prepared
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import SPECIAL_TOKENS

DEFAULT_BPE_SIZE = 8000
_UNBOUNDED = 2**31


def smallest_vocabulary(kind: TokenizerKind) -> int:
    """Return the least `vocab_size` a kind can work with: for bpe the specials and 256 bytes."""
    return len(SPECIAL_TOKENS) + (256 if kind == "bpe" else 1)


def train_tokenizer(
    texts: Iterable[str], kind: TokenizerKind, *, min_count: int = 1, vocab_size: int | None = None
) -> Tokenizer:
    """Make a tokenizer of the most frequent tokens of the texts, which are read once, streaming.

    `vocab_size` counts the four specials; `min_count` is the least frequency of a token, for bpe of
    a merge. Raises `UserError` where no token is that frequent.
    """
    stream = _batched(prepared(text, kind) for text in texts)
    if kind == "bpe":
        return Tokenizer(_byte_level(stream, min_count, vocab_size or DEFAULT_BPE_SIZE))
    counter = backend_for(kind, models.WordLevel(unk_token="<unk>"))
    trainer = trainers.WordLevelTrainer(
        vocab_size=_UNBOUNDED, min_frequency=min_count, special_tokens=[], show_progress=False
    )
    counter.train_from_iterator(stream, trainer)
    ids = counter.get_vocab()
    # The trainer would give a special that also occurs in the text a second, later id.
    tokens = [token for token in sorted(ids, key=ids.__getitem__) if token not in SPECIAL_TOKENS]
    tokens = [*SPECIAL_TOKENS, *tokens][:vocab_size]
    if len(tokens) == len(SPECIAL_TOKENS) and min_count > 1:
        raise UserError(f"no token of the train split occurs {min_count} times; lower min_count")
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return Tokenizer(backend_for(kind, models.WordLevel(vocabulary, unk_token="<unk>")))


def _byte_level(
    stream: Iterable[list[str]], min_count: int, vocab_size: int
) -> tokenizers.Tokenizer:
    trained = backend_for("bpe", models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_count,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    trained.train_from_iterator(stream, trainer)
    # The trainer makes the specials "added tokens", which are matched inside text: take that off.
    content = json.loads(trained.to_str())
    content["added_tokens"] = []
    return tokenizers.Tokenizer.from_str(json.dumps(content))


def _batched(texts: Iterable[str], size: int = 1000) -> Iterator[list[str]]:
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
