# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences that the model generates on a label, recognised as that label's."""

from __future__ import annotations

from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from pyro_textvae.contract import LABELS, TEXT_SITE, TOKENS
from pyro_textvae.distributions import AutoregressiveCategorical
from pyro_textvae.distributions.autoregressive_categorical import sentence_mask
from pyro_textvae.distributions.unwrapped import unwrapped
from pyro_textvae.errors import UserError
from pyro_textvae.infer.auxiliary import AuxiliaryLoss, TrainingPass
from pyro_textvae.infer.simulate import fields_of, simulate
from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.nn.in_vocabulary import in_vocabulary
from pyro_textvae.special_tokens import BOS, EOS, FIRST_EMITTED


class AttributeConsistency(AuxiliaryLoss):
    r"""Minus the log-probability of a label, of the text and of what the model generates on it.

    .. math::
        -\log D(y \mid x) - \log \bar D(y \mid \tilde x), \qquad \tilde x \sim p(x \mid z, y), \quad
        z \sim p(z)

    A classifier D, a convolution over embedded words, learns from the labelled sentences, and
    teaches the model to generate by the label: what it says of generated sentences trains the
    model alone (D with a bar is held fixed). A generated word is the mean of the classifier's
    embeddings under the decoder's own distribution of it, and so is what the decoder reads next;
    its weight is the probability that the sentence has not ended. Nats for each sentence; 0 for
    one without a label.

    Source: Hu et al. (2017), Toward Controlled Generation of Text, section 3.2,
    https://arxiv.org/abs/1703.00955. Theirs anneals the temperature towards 0.

    >>> classifier = AttributeConsistency(vocab_size=9, num_labels=3, embedding_dim=4)
    >>> classifier.of_text(torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 3])

    :param num_labels: those of the corpus.
    :param embedding_dim: width of the classifier's embeddings and of its convolution.
    :param temperature: of the distributions of generated words; towards 0, words.
    :param weight: see :class:`AuxiliaryLoss`.
    :raises ValueError: for fewer than two labels, or a temperature that is not positive.
    """

    needs_gradient_through_draws = False

    def __init__(
        self,
        vocab_size: int,
        num_labels: int,
        embedding_dim: int = 256,
        *,
        temperature: float = 1.0,
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight)
        if num_labels < 2:
            raise ValueError(
                f"num_labels must be at least 2, got {num_labels}: name the column of the labels "
                "with --label-column (label_column= of load_corpus)"
            )
        if not 0 < temperature < float("inf"):
            raise ValueError(f"temperature must be positive and finite, got {temperature}")
        self.temperature = temperature
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.classifier = _Classifier(embedding_dim, num_labels)

    def of_text(self, tokens: Tensor) -> Tensor:
        """Scores of the labels of sentences, ``(N, num_labels)``."""
        weight = sentence_mask(tokens).to(self.embedding.weight.dtype)
        words = in_vocabulary(tokens, self.embedding.num_embeddings)
        return self.classifier(self.embedding(words), weight)

    def forward(self, training_pass: TrainingPass) -> Tensor:
        """The loss of each sentence, ``(N,)`` nats.

        :raises UserError: for a batch without labels, a model that does not name them, and a text
            that is not one sentence a datum from a :class:`~pyro_textvae.nn.Decoder`.
        """
        labels, tokens = training_pass.field(LABELS), training_pass.field(TOKENS)
        if LABELS not in fields_of(training_pass.model, training_pass.batch):
            raise UserError(
                f"{self.name} is of labels that the model generates on, and its forward does not "
                f"name {LABELS!r}: let it, or leave the loss out"
            )
        shares, alive = self._generated(training_pass, tokens.shape[-1])
        # What a generated sentence says of the classifier must not teach the classifier.
        words = shares @ self.embedding.weight.detach()[FIRST_EMITTED:]
        fixed = {name: value.detach() for name, value in self.classifier.named_parameters()}
        of_generated = functional_call(self.classifier, fixed, (words, alive))
        of_text = cross_entropy(self.of_text(tokens), labels, reduction="none", ignore_index=-1)
        return of_text + cross_entropy(of_generated, labels, reduction="none", ignore_index=-1)

    def _generated(self, training_pass: TrainingPass, length: int) -> tuple[Tensor, Tensor]:
        """Distributions of generated words ``(N, T, classes)``, and the weight of each place."""
        text = _text_given_the_condition(training_pass)
        decoder = text.network if isinstance(text, AutoregressiveCategorical) else None
        if not isinstance(decoder, Decoder) or len(text.batch_shape) != 1:
            raise UserError(
                f"{self.name} generates one sentence a datum with a Decoder of pyro_textvae.nn, "
                f"and the text site {TEXT_SITE!r} is {type(text).__name__} of "
                f"{type(decoder).__name__} with batch shape {tuple(text.batch_shape)}: leave it out"
            )
        state = decoder.initial_state(text.context)
        first = torch.full_like(training_pass.field(LABELS), BOS)
        inputs = decoder.embed(first)
        alive = torch.ones_like(first, dtype=inputs.dtype)
        shares, weights = [], []
        for _ in range(min(length, text.max_length)):
            hidden, state = decoder.advance(inputs, state, text.context)
            scores = decoder.token_scores(decoder.output_dropout(hidden))
            shares.append((scores / self.temperature).softmax(-1))
            weights.append(alive)
            alive = alive * (1 - shares[-1][:, EOS - FIRST_EMITTED])
            inputs = decoder.embed_mean(shares[-1])
        return torch.stack(shares, 1), torch.stack(weights, 1)


class _Classifier(nn.Module):
    """Scores of labels from embedded words, by a convolution and the maximum over its places."""

    def __init__(self, embedding_dim: int, num_labels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(embedding_dim, embedding_dim, kernel_size=3, padding=1)
        self.scores = nn.Linear(embedding_dim, num_labels)

    def forward(self, words: Tensor, weight: Tensor) -> Tensor:
        """``(N, num_labels)`` from words ``(N, T, E)`` and the weight of each place ``(N, T)``."""
        weighted = words * weight.unsqueeze(-1)
        seen = self.convolution(weighted.transpose(-1, -2)).relu() * weight.unsqueeze(-2)
        return self.scores(seen.amax(-1))


class _WithoutText(Messenger):
    """Keeps the distribution of the text, of which a program draws nothing."""

    text: Any = None

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.tokens = tokens

    def _pyro_sample(self, message: Any) -> None:
        if message["name"] == TEXT_SITE and not message["is_observed"]:
            self.text = message["fn"]
            message["value"] = self.tokens.new_zeros(self.text.shape())
            message["done"] = True


def _text_given_the_condition(training_pass: TrainingPass) -> Any:
    """The distribution of the text at latents from the prior."""
    with _WithoutText(training_pass.field(TOKENS)) as recorded:
        simulate(training_pass.model, training_pass.batch)
    return unwrapped(recorded.text)
