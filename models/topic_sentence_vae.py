# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The topic sentence VAE: what a sentence is about as a mixture of topics, the rest as a vector."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.nn import Decoder
from pyro_textvae.nn.topic_biased_decoder import TopicBiasedDecoder


class TopicSentenceVAE(PyroModule):
    r"""t ~ N(0, I), theta = softmax(t); z ~ p(z); x ~ p(x | z, theta), words favoured by topics.

    .. math::
        p(x, t, z) = p(t)\, p(z) \prod_i p(x_i \mid x_{<i}, z, \operatorname{softmax}(t))

    ======  ===========  ===================================
    symbol  site         shape
    ======  ===========  ===================================
    t       ``z_topic``  ``(N, num_topics)``
    z       ``z``        ``(N, latent_dim)``
    x       ``x``        ``(N, T)`` int64 ids, ``<pad>`` = 0
    ======  ===========  ===================================

    All sites are in the plate ``"data"`` of N sentences. The topics add to the scores of words, as
    much as the place has to do with them:
    :class:`~pyro_textvae.nn.topic_biased_decoder.TopicBiasedDecoder`. Its guide is
    ``topic_sentence``.

    >>> from pyro_textvae.nn import GRUDecoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> decoder = GRUDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=3, max_length=6
    ... )
    >>> TopicSentenceVAE(StandardNormal(3), decoder, num_topics=2)(size=5).shape
    torch.Size([5, 6])

    Source: Dieng et al. (2017), TopicRNN: A Recurrent Neural Network with Long-Range Semantic
    Dependency, https://arxiv.org/abs/1611.01702; Wang et al. (2019), Topic-Guided Variational
    Auto-Encoder for Text Generation, https://aclanthology.org/N19-1015/.

    :param prior: called with nothing, returns p(z).
    :param decoder: called with z.
    :param num_topics: at least 2.
    """

    def __init__(self, prior: nn.Module, decoder: Decoder, num_topics: int = 10) -> None:
        super().__init__("model")
        self.prior = prior
        self.text = TopicBiasedDecoder(decoder, num_topics)

    def forward(self, tokens: Tensor | None = None, *, size: int | None = None) -> Tensor:
        """Score ``tokens`` ``(N, T)``, or generate ``size`` sentences."""
        zeros = self.text.beta.new_zeros(self.text.num_topics)
        with pyro.plate("data", size if tokens is None else len(tokens)):
            t = pyro.sample("z_topic", dist.Normal(zeros, 1.0).to_event(1))
            z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.text(z, self.weights(t)), obs=tokens)

    topic_site = "z_topic"
    """The latent that says how much of each topic a sentence has."""

    def topics(self) -> Tensor:
        """softmax of what each topic adds to the scores of words, ``(num_topics, vocab_size)``."""
        return self.text.topics()

    def weights(self, t: Tensor) -> Tensor:
        """How much of each topic, ``(..., num_topics)``."""
        return t.softmax(-1)
