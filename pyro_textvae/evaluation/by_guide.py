# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The likelihood by the guide's own weights, as published numbers are made, on some sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.displayed import Displayed
from pyro_textvae.evaluation.importance.result import LogLikelihood
from pyro_textvae.evaluation.likelihood import log_likelihood
from pyro_textvae.evaluation.proposals import GuideProposal
from pyro_textvae.evaluation.sentences import batch_of, sentences_in_corpus_order

NUM_SAMPLES = 1000
"""Draws of the guide, the number that most papers give."""
NUM_SENTENCES = 100
_SENTENCES_AT_ONCE = 25


@dataclass(frozen=True, repr=False)
class ByGuide(Displayed):
    """Estimates by ``NUM_SAMPLES`` draws of the guide, on sentences at random.

    indices
        Their places in the split, ascending, ``(M,)``.
    likelihood
        The estimates, in that order.
    """

    indices: Tensor
    likelihood: LogLikelihood

    @classmethod
    def of(
        cls,
        model: nn.Module,
        guide: nn.Module,
        batches: Iterable[Mapping[str, Tensor]],
        *,
        seed: int,
        num_global_draws: int | None,
        max_tokens: int | None,
    ) -> ByGuide:
        """Score ``NUM_SENTENCES`` of the sentences, or all where there are fewer."""
        sentences = sentences_in_corpus_order(batches)
        generator = torch.Generator().manual_seed(seed)
        places = torch.randperm(len(sentences), generator=generator)[:NUM_SENTENCES].sort().values
        parts = [
            batch_of([sentences[place] for place in part.tolist()])
            for part in places.split(_SENTENCES_AT_ONCE)
        ]
        scored = log_likelihood(
            model,
            guide,
            parts,
            NUM_SAMPLES,
            seed,
            proposal=GuideProposal(),
            num_global_draws=num_global_draws,
            max_tokens=max_tokens,
        )
        return cls(places, scored)

    def column(self, num_sentences: int) -> Tensor:
        """log p(x) of each sentence of the split; NaN for those that were not scored."""
        column = torch.full((num_sentences,), math.nan, dtype=torch.float64)
        column[self.indices] = self.likelihood.log_px
        return column

    def nll_of_these(self, likelihood: LogLikelihood) -> float:
        """Mean nll of the same sentences by other estimates of the split."""
        return -likelihood.log_px[self.indices].mean().item()

    def compared_with(self, likelihood: LogLikelihood) -> dict[str, Any]:
        """Plain values for ``evaluation.json``: both nlls of these sentences."""
        return {
            "by_guide": {
                "num_sentences": len(self.indices),
                "num_samples": NUM_SAMPLES,
                "nll": self.likelihood.nll,
                "nll_standard_error": self.likelihood.nll_standard_error,
                "nll_of_these": self.nll_of_these(likelihood),
            }
        }
