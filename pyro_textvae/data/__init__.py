# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sources, tokenizers, corpora, the packed store and batches of similar cost."""

from pyro_textvae.data.batching import Batch, pad, plan_batches
from pyro_textvae.data.corpus import Corpus, Split
from pyro_textvae.data.languages.grammar import Grammar
from pyro_textvae.data.load import load_corpus
from pyro_textvae.data.records import Record
from pyro_textvae.data.source import Source
from pyro_textvae.data.tokenizer import Tokenizer
from pyro_textvae.data.tokenizer_kind import TokenizerKind
from pyro_textvae.data.vocabulary import train_tokenizer
from pyro_textvae.special_tokens import BOS, EOS, PAD, UNK

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "UNK",
    "Batch",
    "Corpus",
    "Grammar",
    "Record",
    "Source",
    "Split",
    "Tokenizer",
    "TokenizerKind",
    "load_corpus",
    "pad",
    "plan_batches",
    "train_tokenizer",
]
