# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a kind of tokenizer says of itself: its pipeline, its preparation, its training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import tokenizers
from tokenizers.models import Model, WordLevel
from tokenizers.trainers import WordLevelTrainer

from pyro_textvae.data.unicode_form import UnicodeForm
from pyro_textvae.data.whitespace_words import splits_at_whitespace, words_of
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import SPECIAL_TOKENS, UNK

# The vocabulary is cut afterwards, where the specials can be counted too.
_UNBOUNDED = 2**31


class TokenizerKind:
    """Base of the kinds of tokenizer: how text is split, and how a vocabulary is made of it.

    A kind of your own derives from this class, or from a member of the catalogue, in a file that is
    given as ``--tokenizer path/to/file.py:Class``. What it does to the text before Hugging Face's
    pipeline goes into :meth:`prepare`; the pipeline is saved as ``tokenizer.json``, the class stays
    in its file, of which a run keeps a copy.

    >>> from pyro_textvae.data import train_tokenizer
    >>> from pyro_textvae.data.tokenizers import WordTokenizer
    >>> class LowerCase(WordTokenizer):
    ...     def prepare(self, text):
    ...         return super().prepare(text.lower())
    >>> tokenizer = train_tokenizer(["The cat", "the dog"], LowerCase())
    >>> tokenizer.decode(tokenizer.encode("THE Dog"))
    'the dog'
    """

    tokens_are_words: ClassVar[bool] = False
    """Whether a token is a whole word, so that words are counted in tokens."""

    encodes_any_text: ClassVar[bool] = False
    """Whether no text is ever encoded with ``<unk>``."""

    unicode_form: UnicodeForm = "none"
    """The normal form of Unicode that text is taken into, before and after :meth:`prepare`.

    Of the class, that of a tokenizer for which none is asked; of an object, that of this one.
    """

    content_digest: str = ""
    """Of the files that an object of the kind reads; empty for one that reads none."""

    smallest_vocabulary: ClassVar[int] = len(SPECIAL_TOKENS) + 1
    """The least ``vocab_size`` that the kind can work with, the four specials included."""

    def pipeline(self, model: Model) -> tokenizers.Tokenizer:
        """The Hugging Face tokenizer around ``model``, which holds the vocabulary.

        :param model: one of ``tokenizers.models``, as :meth:`empty_model` makes it or with entries.
        :returns: normalizer, pre-tokenizer, model and decoder, without added tokens; the normal
            form of Unicode is put before them.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define pipeline")

    def empty_model(self) -> Model:
        """A model without entries, of the class that the pipeline is saved with."""
        return WordLevel(unk_token=SPECIAL_TOKENS[UNK])

    def prepare(self, text: str) -> str:
        """The text as the pipeline takes it."""
        return text

    def fewest_tokens(self, text: str) -> int:
        """A number of tokens that a text has at least, at the cost of a look at it.

        By it a line of millions of tokens is refused before anything is made of them.

        :param text: in the kind's normal form, not yet prepared.
        :returns: 0 where nothing is known.
        """
        return 0

    def train(
        self, texts: Iterable[list[str]], min_count: int, vocab_size: int | None
    ) -> tokenizers.Tokenizer:
        """The pipeline with a vocabulary: the specials, then tokens from frequent to rare.

        Ties in frequency go by spelling, so that the same texts give the same vocabulary.

        :param texts: prepared texts in the kind's normal form, in lists, which are read once.
        :param min_count: the least frequency of a token.
        :param vocab_size: most entries, the four specials included; None for all.
        :raises UserError: where no token is frequent enough.
        """
        counter = self.pipeline(self.empty_model())
        if splits_at_whitespace(counter):
            counts: Counter[str] = Counter()
            for listed in texts:
                counts.update(word for text in listed for word in words_of(text))
            return self.from_counts(counts, min_count, vocab_size)
        trainer = WordLevelTrainer(
            vocab_size=_UNBOUNDED, min_frequency=min_count, special_tokens=[], show_progress=False
        )
        counter.train_from_iterator(texts, trainer)
        ids = counter.get_vocab()
        return self._with(sorted(ids, key=ids.__getitem__), min_count, vocab_size)

    def from_counts(
        self, counts: Mapping[str, int], min_count: int, vocab_size: int | None
    ) -> tokenizers.Tokenizer:
        """As :meth:`train`, of words between whitespace that were counted already.

        :raises UserError: where no token is frequent enough.
        """
        frequent = [word for word, count in counts.items() if count >= min_count]
        return self._with(
            sorted(frequent, key=lambda word: (-counts[word], word)), min_count, vocab_size
        )

    def _with(
        self, tokens: Sequence[str], min_count: int, vocab_size: int | None
    ) -> tokenizers.Tokenizer:
        """The pipeline with the specials and then these, as many as there may be."""
        # A special that also occurs in the text would have a second, later id.
        tokens = [token for token in tokens if token not in SPECIAL_TOKENS]
        tokens = [*SPECIAL_TOKENS, *tokens][:vocab_size]
        if len(tokens) == len(SPECIAL_TOKENS) and min_count > 1:
            raise UserError(
                f"no token of the train split occurs {min_count} times; lower min_count"
            )
        vocabulary = {token: index for index, token in enumerate(tokens)}
        return self.pipeline(WordLevel(vocabulary, unk_token=SPECIAL_TOKENS[UNK]))
