# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A posterior of a document's vector, and of what is new in each of its sentences."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.distributions import scorable_rows
from pyro_textvae.nn import Encoder
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.features_of_sentences import features_of_sentences


class DocumentGuide(PyroModule):
    r"""q(d | x), then q(z_s | x_1, ..., x_s, d) for each sentence.

    .. math::
        q(d, z \mid x) = q(d \mid x) \prod_s \mathcal N(z_s; \mu(e_s, h_s, d),
        \operatorname{diag} \sigma^2(e_s, h_s, d)), \qquad h_s = \operatorname{GRU}(h_{s-1}, e_s)

    ======  ===========  ========================
    symbol  site         shape
    ======  ===========  ========================
    d       ``z_whole``  ``(N, 1, latent_dim)``
    z       ``z``        ``(N, S, latent_dim)``
    ======  ===========  ========================

    e_s are the encoder's features of sentence s. The vector of the whole is read from the mean and
    from the last of the states h. All are Gaussian, mean and log variance linear in what they are
    given. It is the guide of documents, of conversations, and of groups of reviews: for these,
    whose order says nothing, ``ordered=False`` takes tanh(W e_s) in the place of h_s, and their
    mean alone.

    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> guide = DocumentGuide(encoder, latent_dim=3)
    >>> guide(torch.tensor([[[4, 5, 2], [6, 2, 0]], [[4, 2, 0], [0, 0, 0]]])).shape
    torch.Size([2, 1, 3])

    Source: Serban et al. (2017), A Hierarchical Latent Variable Encoder-Decoder Model for
    Generating Dialogues, https://arxiv.org/abs/1605.06069, for a recurrence over sentences.

    :param encoder: maps tokens ``(N, T)`` to features ``(N, encoder.output_dim)``.
    :param latent_dim: size of d and of each z_s.
    :param ordered: whether the order of the sentences counts.
    """

    def __init__(self, encoder: Encoder, latent_dim: int, ordered: bool = True) -> None:
        check_sizes(latent_dim=latent_dim)
        super().__init__("guide")
        self.encoder = encoder
        width = encoder.output_dim
        self.over_sentences: nn.Module = nn.Linear(width, width)
        if ordered:
            self.over_sentences = nn.GRU(width, width, batch_first=True)
        self.ordered = ordered
        self.document = nn.Linear(2 * width, 2 * latent_dim)
        self.sentence = nn.Linear(2 * width + latent_dim, 2 * latent_dim)

    def forward(self, tokens: Tensor, *, size: int | None = None) -> Tensor:
        """Draw d ``(N, 1, latent_dim)`` for ``tokens`` ``(N, S, T)``, and each z_s."""
        given = scorable_rows(tokens)[1]
        with pyro.plate("data", len(tokens), dim=-2):
            d, read = self.start(tokens)
            with pyro.plate("sentences", given.shape[-1], dim=-1), poutine.mask(mask=given):
                self._sentences(d, read)
        return d

    def start(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Draw d; it and what is read of each sentence; see :mod:`pyro_textvae.infer.steps`."""
        given = scorable_rows(tokens)[1]
        features = features_of_sentences(self.encoder, tokens)
        states = self.over_sentences(features)
        states = states[0] if self.ordered else states.tanh()
        d = pyro.sample("z_whole", _gaussian(self.document(self._of_all(states, given))))
        return d, torch.cat([features, states], -1)

    def step(self, state: tuple[Tensor, Tensor], t: int) -> tuple[Tensor, Tensor]:
        """Draw z of sentence t."""
        d, read = state
        self._sentences(d, read[..., t : t + 1, :])
        return state

    def _sentences(self, d: Tensor, read: Tensor) -> None:
        shape = (*d.shape[:-2], read.shape[-2])
        both = [read.expand(*shape, -1), d.expand(*shape, -1)]
        pyro.sample("z", _gaussian(self.sentence(torch.cat(both, -1))))

    def _of_all(self, states: Tensor, given: Tensor) -> Tensor:
        """The mean of the states ``(N, S, H)`` of the sentences there are, and the last of them."""
        number = given.sum(-1)[:, None, None]
        mean = (states * given.unsqueeze(-1)).sum(1, keepdim=True) / number
        if not self.ordered:
            return torch.cat([mean, mean], -1)
        last = states.gather(1, (number - 1).expand(-1, -1, states.shape[-1]))
        return torch.cat([mean, last], -1)


def _gaussian(parameters: Tensor) -> dist.TorchDistribution:
    loc, log_variance = parameters.chunk(2, -1)
    return dist.Normal(loc, (0.5 * log_variance).exp()).to_event(1)
