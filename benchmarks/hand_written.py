# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The sentence VAE as one would write it for speed in PyTorch alone: what ours is measured against.

No Pyro, no plates, no traces and no checks: the same network as ``SentenceVAE`` with
``LSTMDecoder`` and ``GaussianGuide`` with ``LSTMEncoder``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyro_textvae.nn.vocabulary_loss import vocabulary_loss

PAD, BOS, EOS, FIRST_EMITTED = 0, 1, 2, 2


class HandWrittenVAE(nn.Module):
    """Encoder and decoder LSTM, a diagonal Gaussian posterior, a standard normal prior."""

    def __init__(
        self, vocab_size: int, embedding_dim: int, hidden_dim: int, latent_dim: int
    ) -> None:
        super().__init__()
        self.encoder_embedding = nn.Embedding(vocab_size, embedding_dim)
        self.encoder_lstm = nn.LSTM(embedding_dim, hidden_dim, batch_first=True)
        self.loc = nn.Linear(hidden_dim, latent_dim)
        self.log_variance = nn.Linear(hidden_dim, latent_dim)
        self.decoder_embedding = nn.Embedding(vocab_size, embedding_dim)
        self.decoder_lstm = nn.LSTM(embedding_dim + latent_dim, hidden_dim, batch_first=True)
        self.initial_cell = nn.Linear(latent_dim, hidden_dim)
        self.scores = nn.Linear(hidden_dim, vocab_size - FIRST_EMITTED)

    def posterior(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of each sentence."""
        hidden, _ = self.encoder_lstm(self.encoder_embedding(tokens))
        last = (tokens != PAD).sum(1) - 1
        hidden = hidden[torch.arange(len(tokens), device=tokens.device), last]
        return self.loc(hidden), self.log_variance(hidden)

    def hidden_states(self, tokens: Tensor, z: Tensor) -> Tensor:
        """The teacher-forced states of each row of tokens under its z."""
        previous = torch.cat([torch.full_like(tokens[:, :1], BOS), tokens[:, :-1]], 1)
        words = self.decoder_embedding(previous)
        inputs = torch.cat([words, z.unsqueeze(1).expand(-1, words.shape[1], -1)], -1)
        cell = self.initial_cell(z).unsqueeze(0)
        return self.decoder_lstm(inputs, (cell.tanh(), cell))[0]

    def loss(self, tokens: Tensor, cross_entropy: str = "fused") -> Tensor:
        """Minus the evidence lower bound, summed over the sentences; one draw for each.

        :param cross_entropy: ``fused``: linear layer and cross-entropy in one operation of
            PyTorch, in chunks; ``full``: from the scores of all tokens at once; ``ours``: that of
            this library. Padding is left out in each.
        """
        loc, log_variance = self.posterior(tokens)
        z = loc + (0.5 * log_variance).exp() * torch.randn_like(loc)
        kl = 0.5 * (loc.square() + log_variance.exp() - 1.0 - log_variance).sum()
        real = tokens != PAD
        hidden, classes = self.hidden_states(tokens, z)[real], tokens[real] - FIRST_EMITTED
        if cross_entropy == "ours":
            weight, bias = self.scores.weight, self.scores.bias
            reconstruction = vocabulary_loss(hidden, weight, bias, classes).sum()
        elif cross_entropy == "fused":
            reconstruction = F.linear_cross_entropy(
                hidden,
                self.scores.weight,
                classes,
                linear_bias=self.scores.bias,
                reduction="sum",
                options=nn.LinearCrossEntropyOptions(),
            )
        else:
            reconstruction = F.cross_entropy(self.scores(hidden), classes, reduction="sum")
        return reconstruction + kl

    @torch.no_grad()
    def log_likelihood(self, sentence: Tensor, noise: Tensor, at_once: int = 100) -> Tensor:
        """log p(x) of one sentence ``(T,)``, as published code estimates it.

        One sentence at a time, ``at_once`` draws at a time, each a copy of the sentence with the
        scores of its words in full: the loop of He et al. (2019) and of those who took it over.

        :param noise: standard normal, ``(K, latent_dim)``.
        """
        loc, log_variance = self.posterior(sentence.unsqueeze(0))
        classes = sentence - FIRST_EMITTED
        log_weights = []
        for eps in noise.split(at_once):
            z = loc + (0.5 * log_variance).exp() * eps
            copies = sentence.expand(len(z), -1)
            scores = self.scores(self.hidden_states(copies, z))
            token_losses = F.cross_entropy(
                scores.flatten(0, 1), classes.repeat(len(z)), reduction="none"
            )
            log_likelihood = -token_losses.view(len(z), -1).sum(1)
            log_prior = -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
            log_posterior = -0.5 * (eps.square() + log_variance + math.log(2 * math.pi)).sum(1)
            log_weights.append(log_likelihood + log_prior - log_posterior)
        return torch.cat(log_weights).logsumexp(0) - math.log(len(noise))

    @torch.no_grad()
    def generate(self, z: Tensor, max_length: int) -> Tensor:
        """One sentence for each z, word by word, ``(N, max_length)``; stops when all have ended."""
        rows = torch.full((len(z), max_length), PAD, device=z.device)
        word = torch.full((len(z),), BOS, device=z.device)
        ended = torch.zeros(len(z), dtype=torch.bool, device=z.device)
        cell = self.initial_cell(z).unsqueeze(0)
        state = (cell.tanh(), cell)
        for place in range(max_length):
            inputs = torch.cat([self.decoder_embedding(word), z], -1).unsqueeze(1)
            hidden, state = self.decoder_lstm(inputs, state)
            word = torch.multinomial(self.scores(hidden[:, 0]).softmax(-1), 1)[:, 0] + FIRST_EMITTED
            rows[:, place] = torch.where(ended, PAD, word)
            ended = ended | (word == EOS)
            if ended.all():
                break
        return rows

    def take_weights(self, model: nn.Module, guide: nn.Module) -> None:
        """Take those of a ``SentenceVAE`` and a ``GaussianGuide`` of LSTMs."""
        theirs = {**dict(model.named_parameters()), **dict(guide.named_parameters())}
        places = {
            "encoder_embedding": "encoder.embedding",
            "encoder_lstm": "encoder.lstm",
            "decoder_embedding": "decoder.embedding",
            "decoder_lstm": "decoder.lstm",
            "initial_cell": "decoder.initial_cell",
            "scores": "decoder.token_scores",
        }
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                module, _, rest = name.partition(".")
                parameter.copy_(theirs[f"{places.get(module, module)}.{rest}"])
