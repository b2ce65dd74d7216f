# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Which sentences of a batch a pass is of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from torch import Tensor

from pyro_textvae.contract import TOKENS


@dataclass(frozen=True)
class Share:
    """The sentences ``start`` to ``stop`` of a batch of ``total``, which a pass is of.

    >>> Share(2, 5, total=8).size
    3

    :param fields: the whole batch, padded to its own width.
    :param num_particles: draws of the latents of each sentence, which stand left of the sentences.
    :param is_counted: False where the sentences are another share's, computed again to keep step.
    :param is_part: whether this process takes further shares of the batch one after another, so
        that nothing can be asked of the whole batch within a pass.
    """

    start: int
    stop: int
    total: int
    fields: Mapping[str, Tensor] = field(default_factory=dict)
    num_particles: int = 1
    is_counted: bool = True
    is_part: bool = False

    @property
    def size(self) -> int:
        """Sentences of the pass."""
        return self.stop - self.start

    @property
    def num_inner(self) -> int:
        """Sentences of a document of the batch; 1 where a datum is one sentence."""
        tokens = self.fields.get(TOKENS)
        return 1 if tokens is None or tokens.dim() < 3 else tokens.shape[1]

    def rows(self) -> dict[str, Tensor]:
        """The fields of the sentences of the pass."""
        return {name: value[self.start : self.stop] for name, value in self.fields.items()}


_PRESENT: ContextVar[Share | None] = ContextVar("present_share", default=None)


def present_share() -> Share | None:
    """What the present pass is of; None where it is of a whole batch."""
    return _PRESENT.get()


@contextmanager
def sharing(share: Share | None) -> Iterator[None]:
    """Let passes within the block be of ``share``; of a whole batch for None."""
    before = _PRESENT.set(share)
    try:
        yield
    finally:
        _PRESENT.reset(before)
