# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The ids that every tokenizer, decoder and encoder agrees on."""

PAD = 0
BOS = 1
EOS = 2
UNK = 3

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>")

FIRST_EMITTED = EOS
"""The lowest id that a sentence can contain: <pad> and <bos> are never scored nor sampled."""
