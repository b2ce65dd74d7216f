# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The ids that every tokenizer, decoder and encoder agrees on."""

PAD = 0
"""Fills the rows of a batch on the right; never scored."""

BOS = 1
"""What a decoder is given before the first token; in no row of a batch."""

EOS = 2
"""Ends every sentence, and is scored as a token."""

UNK = 3
"""Stands for each word outside of the vocabulary."""

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>")

FIRST_EMITTED = EOS
"""The lowest id that a sentence can contain: <pad> and <bos> are never scored nor sampled."""
