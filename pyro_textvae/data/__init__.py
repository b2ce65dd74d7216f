# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tokenizers, corpora, the packed store and length-bucketed batches."""

from pyro_textvae.data.batching import Batch, pad, plan_batches
from pyro_textvae.data.corpus import Corpus, Split
from pyro_textvae.data.grammar import Grammar
from pyro_textvae.data.load import load_corpus
from pyro_textvae.data.tokenizer import Tokenizer
from pyro_textvae.special_tokens import BOS, EOS, PAD, UNK

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "UNK",
    "Batch",
    "Corpus",
    "Grammar",
    "Split",
    "Tokenizer",
    "load_corpus",
    "pad",
    "plan_batches",
]
