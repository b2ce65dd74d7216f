# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The stack of bits that sentences are pushed onto."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pyro_textvae.compression.arithmetic import libraries

_WORD_BITS = 32
_SPARE_WORDS = 2
"""The stack keeps up to two words to itself."""


def first_stack(bits_of_latent: int, seed: int) -> Any:
    """A stack that holds the bits of the latent of one sentence; without a latent, an empty one."""
    constriction, _ = libraries()
    coder = constriction.stream.stack.AnsCoder
    words = _first_words(bits_of_latent, seed)
    return coder(words, True) if len(words) else coder()


def stack_of(words: np.ndarray) -> Any:
    """The stack that an archive holds."""
    constriction, _ = libraries()
    return constriction.stream.stack.AnsCoder(words)


def is_first(stack: Any, bits_of_latent: int, seed: int) -> bool:
    """Whether a stack is again what :func:`first_stack` made."""
    first = first_stack(bits_of_latent, seed)
    return np.array_equal(stack.get_compressed(), first.get_compressed())


def _first_words(bits_of_latent: int, seed: int) -> np.ndarray:
    if not bits_of_latent:
        return np.empty(0, np.uint32)
    count = _SPARE_WORDS + math.ceil(bits_of_latent / _WORD_BITS)
    return np.random.default_rng(seed).integers(0, 2**_WORD_BITS, count, dtype=np.uint32)
