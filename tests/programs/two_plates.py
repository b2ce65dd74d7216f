# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Conversations ``(N, turns, T)``: a plate of turns inside the plate of the data.

``data_dim`` says which dimension is whose: -2 has the turns at -1, as the tokens have them; -1 has
them at -2, as two nested plates without dimensions of their own have them. Turns of padding alone
are masked.
"""

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch import nn

PAD, EOS = 0, 2


def plates(tokens, size, turns, data_dim):
    """Both plates."""
    size, turns = (size, turns) if tokens is None else tokens.shape[:2]
    return (
        pyro.plate("data", size, dim=data_dim),
        pyro.plate("turns", turns, dim=-3 - data_dim),
    )


def mask_and_rows(tokens, data_dim):
    """Which turns there are, and the tokens with a row of ``<eos>`` where there is none."""
    said = (tokens != PAD).any(-1)
    first = torch.where(said, tokens[..., 0], EOS).unsqueeze(-1)
    rows = torch.cat([first, tokens[..., 1:]], -1)
    return (said, rows) if data_dim == -2 else (said.T, rows.transpose(0, 1))


class ConversationVAE(PyroModule):
    """z ~ N(0, I); for each turn z_turn ~ N(W z, I), x ~ p(x | z_turn)."""

    def __init__(self, decoder, latent_dim, data_dim=-2, num_turns=3):
        super().__init__("model")
        self.decoder = decoder
        self.mean = nn.Linear(latent_dim, latent_dim, bias=False)
        self.data_dim = data_dim
        self.num_turns = num_turns

    def forward(self, tokens=None, *, size=None):
        data, turns = plates(tokens, size, self.num_turns, self.data_dim)
        said = True
        if tokens is not None:
            said, tokens = mask_and_rows(tokens, self.data_dim)
        with data:
            z = pyro.sample(
                "z", dist.Normal(torch.zeros_like(self.mean.weight[0]), 1.0).to_event(1)
            )
            with turns, poutine.mask(mask=said):
                return self.turn(z, tokens)

    def turn(self, z, tokens):
        z_turn = pyro.sample("z_turn", dist.Normal(self.mean(z), 1.0).to_event(1))
        return pyro.sample("x", self.decoder(z_turn), obs=tokens)


class TopicOfConversation(ConversationVAE):
    """Without latents of the turns: x ~ p(x | W z)."""

    def turn(self, z, tokens):
        return pyro.sample("x", self.decoder(self.mean(z)), obs=tokens)


class ConversationGuide(PyroModule):
    """q(z | all turns), q(z_turn | z, its turn)."""

    family = dist.Normal

    def __init__(self, encoder, latent_dim, data_dim=-2):
        super().__init__("guide")
        self.encoder = encoder
        self.z = nn.Linear(encoder.output_dim, 2 * latent_dim)
        self.z_turn = nn.Linear(encoder.output_dim, 2 * latent_dim)
        self.from_z = nn.Linear(latent_dim, latent_dim, bias=False)
        self.data_dim = data_dim

    def forward(self, tokens, *, size=None):
        data, turns = plates(tokens, None, None, self.data_dim)
        said, rows = mask_and_rows(tokens, self.data_dim)
        features = self.encoder(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])
        weight = said.unsqueeze(-1).to(features.dtype)
        over_turns = {"dim": -4 - self.data_dim, "keepdim": self.data_dim == -2}
        whole = (weight * features).sum(**over_turns) / weight.sum(**over_turns)
        with data:
            loc, log_scale = self.z(whole).chunk(2, -1)
            z = pyro.sample("z", self.family(loc, log_scale.exp()).to_event(1))
            with turns, poutine.mask(mask=said):
                self.turn(z, features)

    def turn(self, z, features):
        loc, log_scale = self.z_turn(features).chunk(2, -1)
        posterior = self.family(loc + self.from_z(z), log_scale.exp())
        pyro.sample("z_turn", posterior.to_event(1))


class TopicGuide(ConversationGuide):
    """q(z | all turns)."""

    def __init__(self, encoder, latent_dim, data_dim=-2):
        super().__init__(encoder, latent_dim, data_dim)
        del self.z_turn, self.from_z

    def turn(self, z, features):
        pass
