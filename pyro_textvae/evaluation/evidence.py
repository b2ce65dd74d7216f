# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the likelihood estimates of two models say of themselves, for their comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pyro_textvae.displayed import Displayed

FEWEST_SETTLED = 2
"""With fewer sentences settled in both, all are compared."""
USUAL_SHARE = 2 / 3
"""With a smaller share of the sentences settled in both, they may not be like the others."""


class ScoredSentences(Protocol):
    """What is compared: estimates in corpus order, nats, shapes ``(N,)``, as in `LogLikelihood`.

    It may also have what the estimates say of themselves; each is left out, or None, where that is
    not known:

    settled
        Whether a sentence's own evidence says that ``log_px`` is right, ``(N,)`` boolean; without
        it all are taken to be.
    bias
        By how much ``log_px`` may still be too low, ``(N,)``, at least 0 nats; without it 0.
    log_px_by_guide
        The estimate by the guide's weights, ``(N,)``, NaN for a sentence that was not scored so.
    """

    @property
    def log_px(self) -> Tensor:
        """Log-likelihood of each sentence."""

    @property
    def standard_error(self) -> Tensor:
        """Monte Carlo standard error of ``log_px``."""

    @property
    def num_tokens_per_sentence(self) -> Tensor:
        """Number of tokens of each sentence."""


@dataclass(frozen=True, repr=False)
class PairedEvidence(Displayed):
    """What the estimates of a and b say of themselves.

    compared
        Places of the sentences whose difference is told: those settled in both, or all.
    num_settled
        Number of sentences settled in both; None where neither says which are.
    biases
        By how much the nll of a and that of b may still be too high, mean over all sentences,
        settled or not; nats.
    by_guide
        nll of a minus nll of b by the guides' weights, of the sentences that have both, ``(M,)``;
        None where either has none.
    """

    compared: Tensor
    num_settled: int | None
    biases: tuple[float, float]
    by_guide: Tensor | None


def paired_evidence(a: ScoredSentences, b: ScoredSentences) -> PairedEvidence:
    """The evidence of two models on the same sentences.

    :raises ValueError: for a bias that is negative or not finite.
    """
    count = len(a.log_px)
    said = [getattr(scored, "settled", None) for scored in (a, b)]
    settled = torch.ones(count, dtype=torch.bool)
    for of_model in said:
        if of_model is not None:
            settled = settled & of_model.bool().cpu()
    places = settled.nonzero().squeeze(1)
    by_guide = None
    guides = [getattr(scored, "log_px_by_guide", None) for scored in (a, b)]
    if guides[0] is not None and guides[1] is not None:
        difference = guides[1].double() - guides[0].double()
        by_guide = difference[difference.isfinite()]
    return PairedEvidence(
        compared=places if len(places) >= FEWEST_SETTLED else torch.arange(count),
        num_settled=None if said == [None, None] else len(places),
        biases=(_mean_bias("a", a), _mean_bias("b", b)),
        by_guide=by_guide if by_guide is not None and len(by_guide) else None,
    )


def _mean_bias(name: str, scored: ScoredSentences) -> float:
    bias = getattr(scored, "bias", None)
    if bias is None:
        return 0.0
    wrong = (~(bias.isfinite() & (bias >= 0))).nonzero()
    if len(wrong):
        place = int(wrong[0])
        raise ValueError(
            f"sentence {place} has a bias of {float(bias[place])} in {name}, and it must be finite "
            "and not below 0: leave the sentence out of both, or score it with more draws"
        )
    return bias.double().mean().item()
