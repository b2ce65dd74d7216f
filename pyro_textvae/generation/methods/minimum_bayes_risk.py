# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Of many drawn sentences, the one that is most like all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from pyro_textvae.config.checks import at_least, check_argument
from pyro_textvae.data import Tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.generation.generated import Generated
from pyro_textvae.generation.token_sampling import TokenSampling

Utility = Literal["chrf", "bleu", "exact"]


class MinimumBayesRisk(TokenSampling):
    r"""Draws ``num_samples`` texts, each at a z of its own, and takes that of the highest utility.

    .. math::
        \hat x = \arg\max_{h \in \{x_1, \dots, x_S\}} \frac{1}{S} \sum_{s=1}^S u(h, x_s),
        \qquad z_s, x_s \sim p(z, x)

    where u is sacrebleu's chrF or sentence BLEU of h with x_s for its reference, 0 to 100, or, with
    ``exact``, 100 where they are the same text and 0 elsewhere: the text that was drawn most often,
    which is the likeliest as S grows. The score of a sentence is that mean, its own share in it
    too; its log-probability is given the z that it was drawn at.

    >>> from pyro_textvae.data import train_tokenizer
    >>> MinimumBayesRisk(8, tokenizer=train_tokenizer(["a cat", "a dog"])).num_draws
    8

    Source: Eikema and Aziz (2020), Is MAP Decoding All You Need?,
    https://aclanthology.org/2020.coling-main.398/.

    :param num_samples: draws, at least 2.
    :param utility: ``chrf``, ``bleu`` or ``exact``.
    :param temperature: of the draws of text.
    :param tokenizer: what makes text of ids; on the command line that of the run.
    :raises UserError: for a value out of range, without a tokenizer, and without sacrebleu, which
        ``exact`` does not need.
    """

    def __init__(
        self,
        num_samples: int = 32,
        utility: Utility = "chrf",
        temperature: float = 1.0,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        super().__init__(temperature)
        self.is_the_models_own = self.temperature == 1.0
        self.num_draws = check_argument("num_samples", num_samples, int, at_least(2))
        self.utility = check_argument("utility", utility, Utility)
        if tokenizer is None:
            raise UserError(
                "minimum_bayes_risk compares texts: give it the tokenizer that makes them of ids, "
                "MinimumBayesRisk(tokenizer=...)"
            )
        self.tokenizer = tokenizer
        self._utility = _utility_of(self.utility)

    def select(self, drawn: Generated) -> Generated:
        """See :class:`~pyro_textvae.generation.DecodingMethod`."""
        best, scores = zip(*map(self._best, drawn.tokens), strict=True)
        places = torch.tensor(best, device=drawn.log_prob.device)
        rows = torch.arange(len(places), device=places.device)
        picked = drawn.map(lambda part: part[rows, places])
        return Generated(picked.tokens, picked.log_prob, drawn.log_prob.new_tensor(scores))

    def _best(self, rows: Tensor) -> tuple[int, float]:
        """The place of the best of the draws of one sentence, and its expected utility."""
        texts = [self.tokenizer.decode_parts(row) for row in rows.tolist()]
        counts = Counter(texts)

        def utility(text: str) -> float:
            scores = (n * self._utility(text, other) for other, n in counts.items())
            return sum(scores) / len(texts)

        expected = {text: utility(text) for text in counts}
        best = max(expected, key=expected.__getitem__)
        return texts.index(best), expected[best]


def _utility_of(name: Utility) -> Callable[[str, str], float]:
    if name == "exact":
        return lambda text, reference: 100.0 * (text == reference)
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError as error:
        raise UserError(
            f"the utility {name} is sacrebleu's, which is not installed: "
            "pip install 'pyro-textvae[eval]', or take utility='exact'"
        ) from error
    metric: Any = CHRF() if name == "chrf" else BLEU(effective_order=True)
    return lambda text, reference: metric.sentence_score(text, [reference]).score
