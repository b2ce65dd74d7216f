# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""All sentences of a small vocabulary, and what decoders of every kind make of them."""

import itertools

import torch

from pyro_textvae import zoo
from pyro_textvae.distributions import Memory
from pyro_textvae.special_tokens import EOS, FIRST_EMITTED, PAD

VOCAB_SIZE = 6
LENGTH = 3
"""The longest sentence: 2 ** 6 prefixes of 4 classes, 85 sentences."""


def all_rows(vocab_size=VOCAB_SIZE, length=LENGTH, *, width=None):
    """Every outcome, (M, width)."""
    rows = set()
    for row in itertools.product(range(FIRST_EMITTED, vocab_size), repeat=length):
        end = row.index(EOS) + 1 if EOS in row else length
        rows.add(row[:end] + (PAD,) * ((width or length) - end))
    return torch.tensor(sorted(rows))


def decoder_of(name, *, memory=False, length=LENGTH, vocab_size=VOCAB_SIZE, scale=0.8):
    """A decoder of the catalogue whose scores depend on z and on every word before."""
    sizes = {"vocab_size": vocab_size, "embedding_dim": 4, "hidden_dim": 8, "latent_dim": 2}
    source = {"memory_dim": 5, "copying": True} if memory else {}
    torch.manual_seed(3)
    decoder = zoo.build(zoo.load("decoders", name), sizes | {"max_length": length} | source)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return decoder.double().eval()


def text_of(name, rows=3, *, memory=False, **options):
    """Its distribution at ``rows`` draws of z, and sources where it has a memory."""
    decoder = decoder_of(name, memory=memory, **options)
    z = torch.randn(rows, 2, generator=torch.Generator().manual_seed(5)).double()
    if not memory:
        return decoder(z)
    ids = torch.tensor([[4, 5, 4, EOS], [5, EOS, 0, 0], [3, 4, EOS, 0]])[:rows]
    states = torch.randn(*ids.shape, 5, generator=torch.Generator().manual_seed(6)).double()
    return decoder(z, Memory(states, ids > 0, ids))


def lengths_of(rows):
    """The number of tokens of each row."""
    return (rows != PAD).sum(-1)
