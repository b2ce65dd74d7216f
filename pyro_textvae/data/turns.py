# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What was said before, turn by turn, as one source."""

from __future__ import annotations

from collections.abc import Sequence

from pyro_textvae.errors import UserError

TURN = "|"
"""The token between two turns of a source."""
_BETWEEN = f" {TURN} "


def join_turns(turns: Sequence[object], place: str) -> str:
    """The turns as one text, oldest first.

    >>> join_turns(["hi", "how are you"], "line 1")
    'hi | how are you'

    :param place: where they stand, for messages.
    :raises UserError: for a turn that is no text, is empty, or holds what stands between turns.
    """
    texts = []
    for number, turn in enumerate(turns, 1):
        if not isinstance(turn, str):
            raise UserError(f"{place}: turn {number} of the source is {turn!r}, not a string")
        if not turn.strip():
            raise UserError(f"{place}: turn {number} of the source is empty; leave it out")
        if TURN in turn.split():
            raise UserError(
                f"{place}: turn {number} of the source holds {TURN!r}, which stands between turns; "
                "write it in another way"
            )
        texts.append(turn.strip())
    return _BETWEEN.join(texts)


def last_turns(source: str, most: int | None) -> str:
    """The last turns of a source, at most so many; all of it for None.

    >>> last_turns("hi | how are you | fine", 2)
    'how are you | fine'
    """
    return source if most is None else _BETWEEN.join(source.split(_BETWEEN)[-most:])
