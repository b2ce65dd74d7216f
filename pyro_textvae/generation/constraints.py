# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What every decoded sentence must keep, whatever the method; in Hugging Face's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from pyro_textvae.config.checks import POSITIVE, at_least, check_argument
from pyro_textvae.errors import UserError
from pyro_textvae.nn.form_masks import FormMasks
from pyro_textvae.special_tokens import EOS, FIRST_EMITTED

_SAID_BY_FORM = ("min_length", "max_length", "forced_bos_token_id", "forced_eos_token_id", "prefix")


@dataclass(frozen=True)
class Constraints:
    """What sentences must keep, however their tokens are chosen.

    Lengths are in tokens of a sentence, ``<eos>`` and the prefix counted, ``<bos>`` not.

    >>> Constraints(min_length=3, bad_words_ids=[[4, 5], [6]]).names
    ['min_length', 'bad_words_ids']

    :param min_length: the fewest tokens.
    :param max_length: the most tokens; by default, and at most, the model's own maximum.
    :param no_repeat_ngram_size: of n, no n tokens occur twice in a sentence; 0 for no such rule.
    :param repetition_penalty: the log-probability of a token that the sentence has already is
        multiplied by it: above 1 it becomes less likely. Keskar et al. (2019), CTRL,
        https://arxiv.org/abs/1909.05858, and Hugging Face outside of beams do so with the network's
        scores, whose zero is arbitrary, and which a model need not have.
    :param bad_words_ids: rows of ids that no sentence contains.
    :param forced_bos_token_id: the first token after the prefix.
    :param forced_eos_token_id: the token at the last place of a sentence of ``max_length``.
    :param prefix: ids that every sentence begins with.
    :param unknown: whether ``<unk>`` may be generated.
    :param keep_form: of poems, masks by which they keep to their form; it says how long lines are,
        and so excludes other lengths, a prefix, and tokens that are forced.
    :raises UserError: for a value out of range, by its name.
    """

    min_length: int = 0
    max_length: int | None = None
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0
    bad_words_ids: Sequence[Sequence[int]] = ()
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = None
    prefix: Sequence[int] = ()
    unknown: bool = True
    keep_form: FormMasks | None = None

    def __post_init__(self) -> None:
        check_argument("min_length", self.min_length, int, at_least(0))
        check_argument("max_length", self.max_length, int | None, at_least(1))
        check_argument("no_repeat_ngram_size", self.no_repeat_ngram_size, int, at_least(0))
        check_argument("repetition_penalty", self.repetition_penalty, float, POSITIVE)
        check_argument("unknown", self.unknown, bool)
        for word in self.bad_words_ids:
            if not isinstance(word, list | tuple) or not word:
                raise UserError(f"bad_words_ids must hold rows of ids, got {word!r}")
            _check_ids("bad_words_ids", word)
        for name in ("forced_bos_token_id", "forced_eos_token_id"):
            value = getattr(self, name)
            _check_ids(name, [] if value is None else [value])
        _check_ids("prefix", self.prefix)
        # The only way to set what is frozen.
        object.__setattr__(self, "prefix", tuple(self.prefix))
        object.__setattr__(self, "bad_words_ids", tuple(map(tuple, self.bad_words_ids)))
        if EOS in self.prefix:
            raise UserError("the prefix must not hold <eos>: a sentence that has ended has no more")
        for name in _SAID_BY_FORM if self.keep_form is not None else ():
            if name in self.names:
                raise UserError(
                    f"keep_form says what stands at each place of a line and where it ends, so "
                    f"{name} could only break the form: leave one of them out"
                )

    @property
    def names(self) -> list[str]:
        """Those that are not as by default."""
        return [each.name for each in fields(self) if getattr(self, each.name) != each.default]

    def most_tokens(self, max_length: int) -> int:
        """The most tokens of a sentence of a model with this ``max_length``.

        :raises UserError: for a ``max_length`` beyond the model's, and where ``min_length`` or the
            prefix leave no room for a sentence.
        """
        most = max_length if self.max_length is None else self.max_length
        if most > max_length:
            raise UserError(
                f"max_length={most} is beyond the model's {max_length} tokens: give at most that"
            )
        if self.min_length > most:
            raise UserError(f"min_length={self.min_length} is above max_length={most}")
        if len(self.prefix) >= most:
            raise UserError(
                f"the prefix has {len(self.prefix)} tokens and a sentence at most {most}, <eos> "
                "counted: give a shorter one"
            )
        return most

    def forced(self, position: int, most: int) -> int | None:
        """The token that must stand at a place of a sentence of at most ``most`` tokens."""
        if position < len(self.prefix):
            return self.prefix[position]
        if position == len(self.prefix) and self.forced_bos_token_id is not None:
            return self.forced_bos_token_id
        return self.forced_eos_token_id if position == most - 1 else None


def _check_ids(name: str, ids: Sequence[Any]) -> None:
    for index in ids:
        if isinstance(index, bool) or not isinstance(index, int) or index < FIRST_EMITTED:
            raise UserError(
                f"{name} must be ids of tokens that a sentence can contain, at least "
                f"{FIRST_EMITTED}, got {index!r}"
            )
