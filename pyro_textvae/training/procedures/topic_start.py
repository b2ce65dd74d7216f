# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Begin topics at clusters of the texts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import UNK
from pyro_textvae.training.multinomial_mixture import fit_multinomial_mixture
from pyro_textvae.training.procedure import Procedure, Training


class TopicStart(Procedure):
    """Topics begin at the clusters of a mixture of multinomials; then the guide learns them first.

    From a start at random two topics merge and another is used twice, a local optimum of the bound.
    The mixture, in which each text is of one topic alone, is fitted to texts of the training split,
    with the best of many starts. How long texts are, and how often a word is of no topic, begin at
    what they are there. In the first epochs the guide alone is stepped, on a model that stands
    still.

    Source: Nigam et al. (2000), Text Classification from Labeled and Unlabeled Documents using EM,
    https://doi.org/10.1023/A:1007692713085, for the mixture.

    :param start_texts: texts of the training split that the mixture is fitted to, at most.
    :param guide_epochs: epochs in which the guide alone is trained.
    :raises ValueError: when one of them is below 1, or below 0.
    """

    def __init__(self, start_texts: int = 2000, guide_epochs: int = 1) -> None:
        for name, value, least in (
            ("start_texts", start_texts, 1),
            ("guide_epochs", guide_epochs, 0),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        self.start_texts = start_texts
        self.guide_epochs = guide_epochs

    def check(self, trainer: Training) -> None:
        """Refuse a model whose topics cannot be set.

        :raises UserError: for one without a method ``begin_topics_at``.
        """
        if not hasattr(trainer.model, "begin_topics_at"):
            raise UserError(
                f"{self.name} sets the topics that training begins at, and "
                f"{type(trainer.model).__name__} has no method begin_topics_at: leave the "
                "procedure out"
            )

    def before_training(self, trainer: Training) -> None:
        """Fit the mixture and set the topics."""
        model: Any = trainer.model
        generator = torch.Generator().manual_seed(trainer.config.seed)
        split = trainer.corpus.train
        chosen = torch.randperm(len(split), generator=generator)[: self.start_texts]
        texts = [split[index] for index in chosen.tolist()]
        counts = _counts(texts, len(trainer.corpus.tokenizer))
        ids = model.topics().sum(0).nonzero().flatten().cpu()
        fitted = fit_multinomial_mixture(counts[:, ids], len(model.topics()), generator)
        topics = torch.zeros(len(fitted), counts.shape[1])
        topics[:, ids] = fitted
        model.begin_topics_at(topics)
        sentences = [row for text in texts for row in text.reshape(-1, text.shape[-1])]
        model.begin_beside_topics_at(
            counts.sum(0),
            torch.stack([(row >= UNK).sum() for row in sentences]),
            torch.tensor([text.reshape(-1, text.shape[-1]).shape[0] for text in texts]),
        )

    def trainable(self, trainer: Training) -> list[nn.Parameter] | None:
        """The guide alone in the first epochs."""
        if trainer.progress.epoch >= self.guide_epochs:
            return None
        return [p for p in trainer.guide.parameters() if p.requires_grad]


def _counts(texts: list[Tensor], vocab_size: int) -> Tensor:
    """How often each id stands in each text, ``(N, V)``."""
    rows = (text.flatten() for text in texts)
    return torch.stack([row.bincount(minlength=vocab_size) for row in rows]).float()
