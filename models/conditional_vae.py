# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The conditional VAE: a latent vector given a source, then a sentence given both."""

from __future__ import annotations

import pyro
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.nn import Decoder, Encoder
from pyro_textvae.nn.shared_embedding import share_embedding


class ConditionalVAE(PyroModule):
    r"""z ~ p(z | s); x ~ p(x | z, s), a sentence drawn word by word.

    .. math::
        p(x, z \mid s) = p(z \mid s) \prod_t p(x_t \mid x_{<t}, z, s)

    ======  ======  ===================================
    symbol  site    shape
    ======  ======  ===================================
    z       ``z``   ``(N, latent_dim)``
    x       ``x``   ``(N, T)`` int64 ids, ``<pad>`` = 0
    ======  ======  ===================================

    Both sites are in the plate ``"data"`` of N sentences. A reply given what was said before, a
    paraphrase given a sentence, a headline given an article, a correction given what was written:
    with a decoder that copies, words come from the source too.

    >>> import torch
    >>> from pyro_textvae.conditional_priors import ConditionalGaussian
    >>> from pyro_textvae.nn import GRUDecoder, GRUEncoder
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 8}
    >>> decoder = GRUDecoder(**sizes, latent_dim=3, max_length=6, memory_dim=8, copying=True)
    >>> model = ConditionalVAE(GRUEncoder(**sizes), ConditionalGaussian(8, 3), decoder)
    >>> model(source=torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 6])

    Source: Sohn et al. (2015), Learning Structured Output Representation using Deep Conditional
    Generative Models, https://papers.nips.cc/paper/5775; Zhao et al. (2017), Learning
    Discourse-level Diversity for Neural Dialog Models, https://aclanthology.org/P17-1061/.

    :param source_encoder: an encoder that gives states, see
        :meth:`~pyro_textvae.nn.encoder.Encoder.read`.
    :param conditional_prior: called with the source's features ``(N, F)``, returns p(z | s).
    :param decoder: called with z and a memory of the source, returns p(x | z, s).
    :param shared_embedding: whether source and text have one table of word vectors, see
        :func:`~pyro_textvae.nn.shared_embedding.share_embedding`.
    """

    def __init__(
        self,
        source_encoder: Encoder,
        conditional_prior: nn.Module,
        decoder: Decoder,
        shared_embedding: bool = False,
    ) -> None:
        super().__init__("model")
        if shared_embedding:
            share_embedding(source_encoder, decoder)
        self.source_encoder = source_encoder
        self.conditional_prior = conditional_prior
        self.decoder = decoder

    def forward(self, source: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Score ``tokens`` ``(N, T)`` given ``source`` ``(N, S)``, or generate a text for each."""
        memory, features = self.source_encoder.read(source)
        with pyro.plate("data", len(source)):
            z = pyro.sample("z", self.conditional_prior(features))
            return pyro.sample("x", self.decoder(z, memory), obs=tokens)
