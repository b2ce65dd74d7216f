# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The conversation VAE: a vector of the whole, one of each utterance, and what was said before."""

from __future__ import annotations

from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.distributions import AutoregressiveCategorical, scorable_rows
from pyro_textvae.nn import Decoder, Encoder
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.features_of_sentences import features_of_sentences
from pyro_textvae.nn.number_of_sentences import sentences_there
from pyro_textvae.nn.said_before import SaidBefore
from pyro_textvae.priors import StandardNormal
from pyro_textvae.special_tokens import PAD


class ConversationVAE(PyroModule):
    r"""d ~ p(d); U ~ p(U | d); for each utterance z_u ~ N(0, I), x_u ~ p(x | z_u, h_u, d).

    .. math::
        p(x, d, z) = p(d)\, p(U \mid d) \prod_{u=1}^{U} p(z_u)\, p(x_u \mid v_u), \qquad
        v_u = [\mu(h_u, d) + \sigma(h_u, d)\, z_u;\ h_u;\ d]

    ======  =================  ==============================================
    symbol  site               shape
    ======  =================  ==============================================
    d       ``z_whole``        ``(N, 1, latent_dim)``
    U       ``num_sentences``  ``(N, 1)`` int64, less one
    z       ``z``              ``(N, U, latent_dim)``
    x       ``x``              ``(N, U, T)`` int64 ids, ``<pad>`` = 0
    ======  =================  ==============================================

    The sites are in the plate ``"data"`` of N conversations, at -2, those of utterances in the
    plate ``"sentences"`` inside it. h_u is the state of a recurrence over the utterances before u,
    which begins at d. The latent of VHCR, mu + sigma z_u, is Gaussian given what was said before; z
    is what is new in it, independent of all text. Its guide is ``document``.

    In training an utterance is unknown to those after it at the rate ``utterance_dropout``, so that
    d has to say what the words before would. Without its text it generates utterance by utterance,
    at the sites ``x_0``, ``x_1``, ..., each given those before.

    >>> from pyro_textvae.nn import GRUDecoder, GRUEncoder
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 8}
    >>> decoder = GRUDecoder(**sizes, latent_dim=3 + 5 + 3, max_length=6)
    >>> model = ConversationVAE(
    ...     StandardNormal(3), decoder, GRUEncoder(**sizes), 3, max_sentences=4, plan_dim=5
    ... )
    >>> model(size=2).shape
    torch.Size([2, 4, 6])

    Source: Park et al. (2018), A Hierarchical Latent Structure for Variational Conversation
    Modeling, https://aclanthology.org/N18-1162/. There the utterances before are dropped at once
    for all of a batch, and importance weights are of a whole batch.

    :param prior: called with nothing, returns p(d).
    :param decoder: called with v_u.
    :param encoder: of the utterances before.
    :param latent_dim: size of d and of each z_u.
    :param max_sentences: the most utterances of a conversation.
    :param plan_dim: size of h_u.
    :param utterance_dropout: rate at which an utterance before is unknown, in training.
    """

    def __init__(
        self,
        prior: nn.Module,
        decoder: Decoder,
        encoder: Encoder,
        latent_dim: int,
        max_sentences: int,
        plan_dim: int = 64,
        utterance_dropout: float = 0.25,
    ) -> None:
        check_sizes(latent_dim=latent_dim, max_sentences=max_sentences, plan_dim=plan_dim)
        super().__init__("model")
        self.prior = prior
        self.decoder = decoder
        self.encoder = encoder
        self.max_sentences = max_sentences
        self.new = StandardNormal(latent_dim)
        self.number = nn.Linear(latent_dim, max_sentences)
        self.before = SaidBefore(encoder.output_dim, latent_dim, plan_dim, utterance_dropout)
        self.utterance = nn.Linear(plan_dim + latent_dim, 2 * latent_dim)

    @staticmethod
    def decoder_latent_dim(latent_dim: int, plan_dim: int = 64) -> int:
        """What a run's decoder is built with as ``latent_dim``: the size of v_u."""
        return 2 * latent_dim + plan_dim

    def forward(self, tokens: Tensor | None = None, *, size: int | None = None) -> Tensor:
        """Score ``tokens`` ``(N, U, T)``, or generate ``size`` conversations."""
        rows, given = (None, None) if tokens is None else scorable_rows(tokens)
        data = pyro.plate("data", size if tokens is None else len(tokens), dim=-2)
        with data:
            d = pyro.sample("z_whole", self.prior())
            there: Any = sentences_there(self.number(d), given)
            utterances = pyro.plate("sentences", there.shape[-1], dim=-1)
            with utterances, poutine.mask(mask=there):
                z = pyro.sample("z", self.new())
                if tokens is not None:
                    features = features_of_sentences(self.encoder, tokens)
                    h = self.before(features, d)
                    return pyro.sample("x", self.text(z, h, d).mask(there), obs=rows)
        said: list[Tensor] = []
        h = self.before.first(d)
        for u in range(there.shape[-1]):
            is_there: Any = there[..., u : u + 1]
            with data, poutine.mask(mask=is_there):
                text = self.text(z[..., u : u + 1, :], h, d)
                said.append(pyro.sample(f"x_{u}", text))
            h = self.before.step(self.encoder(said[-1].squeeze(-2)).unsqueeze(-2), h)
        drawn = torch.cat(said, -2).where(there.unsqueeze(-1), PAD)
        with data, utterances:
            return pyro.deterministic("x", drawn, event_dim=1)

    def start(self, tokens: Tensor) -> dict[str, Tensor]:
        """Draw d, and score the number of utterances; see :mod:`pyro_textvae.infer.steps`."""
        d = pyro.sample("z_whole", self.prior())
        sentences_there(self.number(d), scorable_rows(tokens)[1])
        features = features_of_sentences(self.encoder, tokens)
        return {"d": d, "h": self.before.first(d), "features": features}

    def step(self, state: dict[str, Tensor], t: int, tokens: Tensor) -> dict[str, Tensor]:
        """Draw z of utterance t, and score the utterance."""
        z = pyro.sample("z", self.new())
        text = self.text(z, state["h"], state["d"])
        pyro.sample("x", text, obs=scorable_rows(tokens)[0][:, t : t + 1])
        h = self.before.step(state["features"][:, t : t + 1], state["h"])
        return state | {"h": h}

    def text(self, z: Tensor, h: Tensor, d: Tensor) -> AutoregressiveCategorical:
        """p(x_u | v_u), for what is new, the state of what was said, and the whole."""
        shape = torch.broadcast_shapes(z.shape[:-1], h.shape[:-1], d.shape[:-1])
        z, h, d = (each.expand(*shape, -1) for each in (z, h, d))
        loc, log_scale = self.utterance(torch.cat([h, d], -1)).chunk(2, -1)
        return self.decoder(torch.cat([loc + log_scale.exp() * z, h, d], -1))
