# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The noisy channel: a text, and what a careless hand made of it."""

from __future__ import annotations

import pyro
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.contract import TEXT_GIVEN_SOURCE
from pyro_textvae.distributions import AutoregressiveCategorical
from pyro_textvae.nn import Decoder, EditChannel, TextGivenSource


class NoisyChannel(PyroModule):
    r"""z ~ p(z); x ~ p(x | z), the text that was meant; s ~ p(s | x), what was written.

    .. math::
        p(x, s) = p(s \mid x) \int p(z)\, p(x \mid z)\, dz, \qquad
        p(x \mid s) = \frac{p(x, s)}{\sum_{x'} p(x', s)}

    ======  ==========  ===================================
    symbol  site        shape
    ======  ==========  ===================================
    z       ``z``       ``(N, latent_dim)``
    x       ``x``       ``(N, T)`` int64 ids, ``<pad>`` = 0
    s       ``source``  ``(N, S)`` int64 ids, ``<pad>`` = 0
    ======  ==========  ===================================

    All sites are in the plate ``"data"`` of N pairs. The language model of texts knows nothing of
    sources, and the channel nothing of texts but word by word. A text is found for a source by
    drawing from the posterior: with the guide ``noisy_channel``, whose program of the source alone
    has a text for a latent. That of the source alone is :meth:`source_alone`, that of the text
    :meth:`text_alone`.

    >>> import torch
    >>> from pyro_textvae.nn import GRUDecoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4}
    >>> decoder = GRUDecoder(**sizes, hidden_dim=8, latent_dim=3, max_length=6)
    >>> model = NoisyChannel(StandardNormal(3), decoder, **sizes)
    >>> model(source=torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 6])

    Source: Kernighan et al. (1990), A Spelling Correction Program Based on a Noisy Channel Model,
    https://aclanthology.org/C90-2036/; Yu et al. (2017), The Neural Noisy Channel,
    https://arxiv.org/abs/1611.02554.

    :param prior: called with nothing, returns p(z).
    :param decoder: called with z, returns p(x | z).
    :param embedding_dim: size of the vector of a word in the channel.
    """

    def __init__(
        self, prior: nn.Module, decoder: Decoder, vocab_size: int, embedding_dim: int
    ) -> None:
        super().__init__("model")
        self.prior = prior
        self.decoder = decoder
        self.channel = EditChannel(vocab_size, embedding_dim)

    def forward(self, source: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Score the pair of ``source`` ``(N, S)`` and ``tokens`` ``(N, T)``, or draw texts.

        Drawn without its text, x is that of the prior, which the source says nothing to:
        :func:`~pyro_textvae.generation.sample` takes it from the guide.
        """
        with pyro.plate("data", len(source)):
            z = pyro.sample("z", self.prior())
            x = pyro.sample("x", self.decoder(z), obs=tokens)
            pyro.sample("source", self.channel(x), obs=source)
            return x

    def text_given_source(self, z: Tensor, source: Tensor) -> AutoregressiveCategorical:
        """A proposal for p(x | z, source); see :class:`TextGivenSource`."""
        return TextGivenSource(self.decoder, self.channel).given(z, source)

    def source_alone(self) -> nn.Module:
        """The program of the source alone, as a text: p(s), with z and the text for latents."""
        return _SourceAlone(self)

    def text_alone(self) -> nn.Module:
        """The program of the text alone: p(x), the language model."""
        return _TextAlone(self)


class _SourceAlone(nn.Module):
    """A text that is not seen, and what was made of it."""

    def __init__(self, pair: NoisyChannel) -> None:
        super().__init__()
        self.pair = pair

    def forward(self, tokens: Tensor | None = None, *, size: int | None = None) -> Tensor:
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.pair.prior())
            text = pyro.sample(TEXT_GIVEN_SOURCE, self.pair.decoder(z))
            return pyro.sample("x", self.pair.channel(text), obs=tokens)


class _TextAlone(nn.Module):
    """The text without what was made of it."""

    def __init__(self, pair: NoisyChannel) -> None:
        super().__init__()
        self.pair = pair

    def forward(self, tokens: Tensor | None = None, *, size: int | None = None) -> Tensor:
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.pair.prior())
            return pyro.sample("x", self.pair.decoder(z), obs=tokens)
