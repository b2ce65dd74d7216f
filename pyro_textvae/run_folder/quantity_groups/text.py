# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What was evaluated: sentences, tokens, and what was left out of them."""

from __future__ import annotations

from pyro_textvae.run_folder.quantity import Quantity

QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "num_sentences",
        "text",
        label="sentences",
        line="sentences",
        kind="count",
        needs_latent=False,
    ),
    Quantity(
        "num_document_sentences",
        "text",
        label="of documents, their sentences",
        line="  each is a document",
        text="{num_document_sentences} sentences in all; a number per sentence is per document",
        line_when="known",
        kind="count",
        needs_latent=False,
    ),
    Quantity(
        "num_given",
        "text",
        line="  of the text given",
        text="{num_sentences} of {num_given}",
        line_when="known",
        kind="count",
        needs_latent=False,
    ),
    Quantity(
        "num_tokens",
        "text",
        label="tokens, <eos> counted",
        line="tokens, <eos> counted",
        kind="count",
        needs_latent=False,
    ),
    Quantity(
        "unicode_form",
        "text",
        label="normal form of Unicode",
        line="normal form of Unicode",
        line_when="known",
        kind="words",
        needs_latent=False,
    ),
    Quantity(
        "num_left_out",
        "text",
        label="sentences left out as too long",
        line="left out as too long",
        line_when="nonzero",
        kind="count",
        needs_latent=False,
    ),
    Quantity(
        "pairs.empty_dropped",
        "text",
        label="rows without text or source left out",
        line="left out for want of text or source",
        line_when="nonzero",
        kind="count",
        needs_latent=False,
    ),
    Quantity(
        "num_cut",
        "text",
        label="sentences cut short",
        line="of them cut short",
        line_when="nonzero",
        kind="count",
        needs_latent=False,
    ),
)
