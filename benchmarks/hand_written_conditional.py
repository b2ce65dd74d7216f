# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The conditional VAE as one would write it for speed in PyTorch alone.

The same network as ``ConditionalVAE`` of LSTMs with a Gaussian prior p(z | source), and a
``GaussianGuide`` that reads text and source; without copying.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hand_written import BOS, FIRST_EMITTED, PAD
from torch import Tensor, nn

from pyro_textvae.nn.vocabulary_loss import vocabulary_loss


class HandWrittenConditionalVAE(nn.Module):
    """LSTMs for text, source and the guide's source, attention after the decoder's last state."""

    def __init__(
        self, vocab_size: int, embedding_dim: int, hidden_dim: int, latent_dim: int
    ) -> None:
        super().__init__()
        for name in ("source", "guide_text", "guide_source", "decoder"):
            width = embedding_dim + latent_dim * (name == "decoder")
            self.add_module(f"{name}_embedding", nn.Embedding(vocab_size, embedding_dim))
            self.add_module(f"{name}_lstm", nn.LSTM(width, hidden_dim, batch_first=True))
        self.prior_loc = nn.Linear(hidden_dim, latent_dim)
        self.prior_log_variance = nn.Linear(hidden_dim, latent_dim)
        self.loc = nn.Linear(2 * hidden_dim, latent_dim)
        self.log_variance = nn.Linear(2 * hidden_dim, latent_dim)
        self.initial_cell = nn.Linear(latent_dim, hidden_dim)
        self.query = nn.Linear(hidden_dim, hidden_dim, bias=False)
        self.joined = nn.Linear(2 * hidden_dim, hidden_dim)
        self.scores = nn.Linear(hidden_dim, vocab_size - FIRST_EMITTED)

    def states(self, name: str, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The states of each place, and that of the last word."""
        embedding, lstm = getattr(self, f"{name}_embedding"), getattr(self, f"{name}_lstm")
        states, _ = lstm(embedding(ids))
        last = (ids != PAD).sum(1) - 1
        return states, states[torch.arange(len(ids), device=ids.device), last]

    def loss(self, tokens: Tensor, cross_entropy: str, source: Tensor) -> Tensor:
        """Minus the evidence lower bound, summed over the sentences; one draw for each.

        :param cross_entropy: as of ``HandWrittenVAE``.
        """
        memory, features = self.states("source", source)
        given = torch.cat(
            [self.states("guide_text", tokens)[1], self.states("guide_source", source)[1]], 1
        )
        loc, log_variance = self.loc(given), self.log_variance(given)
        prior_loc, prior_log_variance = self.prior_loc(features), self.prior_log_variance(features)
        z = loc + (0.5 * log_variance).exp() * torch.randn_like(loc)
        apart = (loc - prior_loc).square() + log_variance.exp()
        kl = 0.5 * (prior_log_variance - log_variance + apart / prior_log_variance.exp() - 1).sum()

        previous = torch.cat([torch.full_like(tokens[:, :1], BOS), tokens[:, :-1]], 1)
        words = self.decoder_embedding(previous)
        inputs = torch.cat([words, z.unsqueeze(1).expand(-1, words.shape[1], -1)], -1)
        cell = self.initial_cell(z).unsqueeze(0)
        hidden, _ = self.decoder_lstm(inputs, (cell.tanh(), cell))
        attention = self.query(hidden) @ memory.transpose(1, 2) / hidden.shape[-1] ** 0.5
        attention = attention.masked_fill((source == PAD).unsqueeze(1), -torch.inf).softmax(-1)
        hidden = torch.tanh(self.joined(torch.cat([hidden, attention @ memory], -1)))

        real = tokens != PAD
        hidden, classes = hidden[real], tokens[real] - FIRST_EMITTED
        weight, bias = self.scores.weight, self.scores.bias
        if cross_entropy == "ours":
            return vocabulary_loss(hidden, weight, bias, classes).sum() + kl
        if cross_entropy == "full":
            return F.cross_entropy(self.scores(hidden), classes, reduction="sum") + kl
        options = nn.LinearCrossEntropyOptions()
        fused = F.linear_cross_entropy(
            hidden, weight, classes, linear_bias=bias, reduction="sum", options=options
        )
        return fused + kl

    def take_weights(self, model: nn.Module, guide: nn.Module) -> None:
        """Take those of a ``ConditionalVAE`` and its guide, so that the two can be compared."""
        parameters = [dict(program.named_parameters()) for program in (model, guide)]
        places = {
            "source_embedding": (0, "source_encoder.embedding"),
            "source_lstm": (0, "source_encoder.lstm"),
            "guide_text_embedding": (1, "encoder.encoder.embedding"),
            "guide_text_lstm": (1, "encoder.encoder.lstm"),
            "guide_source_embedding": (1, "encoder.source_encoder.embedding"),
            "guide_source_lstm": (1, "encoder.source_encoder.lstm"),
            "decoder_embedding": (0, "decoder.embedding"),
            "decoder_lstm": (0, "decoder.lstm"),
            "prior_loc": (0, "conditional_prior.loc"),
            "prior_log_variance": (0, "conditional_prior.log_variance"),
            "loc": (1, "loc"),
            "log_variance": (1, "log_variance"),
            "initial_cell": (0, "decoder.initial_cell"),
            "query": (0, "decoder.source.attention.query"),
            "joined": (0, "decoder.source.joined"),
            "scores": (0, "decoder.token_scores"),
        }
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                module, _, rest = name.partition(".")
                program, place = places[module]
                parameter.copy_(parameters[program][f"{place}.{rest}"])
