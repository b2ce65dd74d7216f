# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The units that results are reported in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

UNITS = "nats per sentence, summed over its tokens; <eos> counted, <bos> and <pad> not"
"""What every result file says of its numbers."""


def nats_per_text(result: Mapping[str, Any]) -> str:
    """The unit of an evaluation, or of a comparison of some: of documents, not of sentences.

    >>> nats_per_text({"num_document_sentences": 1000}), nats_per_text({})
    ('nats per document', 'nats per sentence')
    """
    of_documents = result.get("num_document_sentences") is not None
    return "nats per document" if of_documents else "nats per sentence"


def perplexity(total_nll: float, count: int) -> float:
    """exp(nats / count); with count = words + one ``<eos>`` a sentence, the usual perplexity."""
    exponent = total_nll / count
    return math.inf if exponent >= 700 else math.exp(exponent)


def bits(total_nll: float, count: int) -> float:
    """Bits for each of ``count`` units, from a total in nats."""
    return total_nll / count / math.log(2.0)
