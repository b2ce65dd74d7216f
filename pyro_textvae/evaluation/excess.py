# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How far a model is from the truth, on text drawn from a world whose truth is known."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.contract import LABELS, SOURCE
from pyro_textvae.data import Corpus
from pyro_textvae.infer.simulate import fields_of

_ERRORS = 3


@dataclass(frozen=True)
class Excess:
    r"""The mean of log p_true(x | what is given) - log p(x | what is given), in nats.

    In expectation over the text it is a Kullback-Leibler divergence, so never negative: less than
    three standard errors below zero is a leak or a wrong likelihood. The difference of a text has
    far less spread than its log-likelihood, so some hundred texts tell hundredths of a nat.

    >>> excess = Excess(torch.tensor([-2.0, -3.0]), torch.tensor([-2.5, -3.1]))
    >>> round(excess.mean, 3)
    0.3

    :param log_px_true: of the world, ``(N,)``.
    :param log_px: of the model, ``(N,)``.
    """

    log_px_true: Tensor
    log_px: Tensor

    @classmethod
    def of(
        cls,
        corpus: Corpus,
        split: str,
        model: nn.Module,
        log_px: Tensor,
        summed_out: Collection[str | None] = (),
    ) -> Excess | None:
        """The excess on a split of a corpus; None where its truth is not known.

        A model that does not take the source, or the label, is held against the truth without it.

        :param log_px: of the model, in corpus order, ``(N,)``.
        :param summed_out: the fields that it is no longer given.
        """
        world, texts = corpus.world, corpus.split(split)
        if world is None:
            return None
        decode = corpus.tokenizer.decode_lines
        log_px_true = torch.empty(len(texts), dtype=torch.float64)
        for batch in corpus.batches(split, 64, shuffle=False):
            fields = fields_of(model, batch)
            given = {name: value for name, value in fields.items() if name not in summed_out}
            if SOURCE in batch and SOURCE not in given and not world.knows_texts_alone:
                return None
            for row, index in enumerate(batch.indices.tolist()):
                label = int(given[LABELS][row]) if LABELS in given else -1
                log_px_true[index] = world.log_prob(
                    decode(texts[index].tolist()),
                    source=decode(given[SOURCE][row].tolist()) if SOURCE in given else None,
                    label=corpus.label_names[label] if label >= 0 else None,
                )
        return cls(log_px_true, log_px.double())

    @property
    def mean(self) -> float:
        """The excess in nats per text."""
        return (self.log_px_true - self.log_px).mean().item()

    @property
    def standard_error(self) -> float:
        """Of the mean, from the spread over texts, which has that of the draws in it."""
        difference = self.log_px_true - self.log_px
        return (difference.std() / len(difference) ** 0.5).item()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``evaluation.json``."""
        return {
            "nll": -self.log_px_true.mean().item(),
            "excess": self.mean,
            "excess_standard_error": self.standard_error,
            "is_below": self.mean < -_ERRORS * self.standard_error,
        }
