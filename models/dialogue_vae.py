# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The dialogue VAE: what a reply does, and then the reply, given what was said before."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.nn import Decoder, Encoder
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.label_vectors import labels_of


class DialogueVAE(PyroModule):
    r"""z ~ p(z | s); y ~ p(y | z, s), the act of the reply; x ~ p(x | z, y, s), the reply.

    .. math::
        p(x, y, z \mid s) = p(z \mid s)\, p(y \mid z, s) \prod_t p(x_t \mid x_{<t}, z, y, s)

    ======  ======  ==========================================
    symbol  site    shape
    ======  ======  ==========================================
    z       ``z``   ``(N, latent_dim)``
    y       ``y``   ``(N,)`` int64, where its label is not given
    x       ``x``   ``(N, T)`` int64 ids, ``<pad>`` = 0
    ======  ======  ==========================================

    All sites are in the plate ``"data"`` of N replies. The program of kgCVAE as one joint density:
    there the decoder sees the true act in training and the mean of all acts in generation, here it
    sees one act in both. An act that is given is observed, at ``"y_observed"``; one that is not is
    a latent, at ``"y_unobserved"``, which the guide ``dialogue`` sums over.

    >>> from pyro_textvae.conditional_priors import ConditionalGaussian
    >>> from pyro_textvae.nn import GRUDecoder, GRUEncoder
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 8}
    >>> decoder = GRUDecoder(**sizes, latent_dim=3 + 2, max_length=6, memory_dim=8)
    >>> model = DialogueVAE(
    ...     GRUEncoder(**sizes), ConditionalGaussian(8, 3), decoder, 3, num_labels=4, label_dim=2
    ... )
    >>> said = torch.tensor([[4, 5, 2], [6, 2, 0]])
    >>> model(source=said).shape, model(source=said, labels=torch.tensor([3, -1])).shape
    (torch.Size([2, 6]), torch.Size([2, 6]))

    Source: Zhao et al. (2017), Learning Discourse-level Diversity for Neural Dialog Models,
    https://aclanthology.org/P17-1061/.

    :param source_encoder: an encoder that gives states, of what was said before.
    :param conditional_prior: called with the source's features ``(N, F)``, returns p(z | s).
    :param decoder: called with z and a vector of the act side by side, and a memory of the source.
    :param latent_dim: size of z.
    :param num_labels: how many acts there are, at least 2; in a run that of the corpus.
    :param label_dim: size of the vector of an act.
    """

    def __init__(
        self,
        source_encoder: Encoder,
        conditional_prior: nn.Module,
        decoder: Decoder,
        latent_dim: int,
        num_labels: int,
        label_dim: int = 16,
    ) -> None:
        check_sizes(latent_dim=latent_dim, label_dim=label_dim)
        check_sizes(minimum=2, num_labels=num_labels)
        super().__init__("model")
        self.source_encoder = source_encoder
        self.conditional_prior = conditional_prior
        self.decoder = decoder
        self.act = nn.Linear(latent_dim + source_encoder.output_dim, num_labels)
        self.act_vector = nn.Embedding(num_labels, label_dim)

    @staticmethod
    def decoder_latent_dim(latent_dim: int, label_dim: int = 16) -> int:
        """What a run's decoder is built with as ``latent_dim``: the sizes of z and of an act."""
        return latent_dim + label_dim

    def forward(
        self, source: Tensor, labels: Tensor | None = None, tokens: Tensor | None = None
    ) -> Tensor:
        """Score ``tokens`` ``(N, T)`` given ``source`` ``(N, S)``, or generate a reply for each.

        :param labels: acts ``(N,)``, -1 for one that is not given; by default none is.
        """
        labels = labels_of(labels, len(source), like=source)
        is_given: Any = labels >= 0
        memory, features = self.source_encoder.read(source)
        with pyro.plate("data", len(source)):
            z = pyro.sample("z", self.conditional_prior(features))
            act = self.act(torch.cat([z, features.expand(*z.shape[:-1], -1)], -1))
            act = dist.Categorical(logits=act)
            y = pyro.sample("y", act, obs=labels.clamp(min=0), obs_mask=is_given)
            # Under enumeration y has a dimension for its values to the left of all others.
            shape = torch.broadcast_shapes(z.shape[:-1], y.shape)
            both = [part.expand(*shape, -1) for part in (z, self.act_vector(y))]
            return pyro.sample("x", self.decoder(torch.cat(both, -1), memory), obs=tokens)
