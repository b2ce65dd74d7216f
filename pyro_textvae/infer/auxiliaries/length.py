# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The length of a sentence, predicted from its latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pyro_textvae.contract import TOKENS
from pyro_textvae.distributions.autoregressive_categorical import sentence_mask
from pyro_textvae.errors import UserError
from pyro_textvae.infer.auxiliary import AuxiliaryLoss, TrainingPass


class Length(AuxiliaryLoss):
    r"""Minus the log-probability of a sentence's number of tokens, ``<eos>`` counted, given z.

    .. math::
        -\frac{1}{K} \sum_k \log f(T \mid z_k)

    f is a softmax of a linear map of z over the lengths 1 to ``max_length``. Nats for each
    sentence.

    Source: Shu et al. (2020), Latent-Variable Non-Autoregressive Neural Machine Translation with
    Deterministic Inference using a Delta Posterior, https://arxiv.org/abs/1908.07181, where the
    latents predict the length.

    >>> Length({"z": 8}, max_length=6).scores(torch.zeros(3, 2, 8)).shape
    torch.Size([3, 2, 6])

    :param max_length: the longest sentence, ``<eos>`` counted.
    :param latent_dims, sites, weight: see :class:`AuxiliaryLoss`.
    """

    def __init__(
        self,
        latent_dims: Mapping[str, int],
        max_length: int,
        *,
        sites: Sequence[str] | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight, latent_dims=latent_dims, sites=sites)
        self.scores = nn.Linear(self.latent_dim, max_length)

    def forward(self, training_pass: TrainingPass) -> Tensor:
        """The loss of each sentence, ``(N,)`` nats.

        :raises UserError: for a text with a plate inside ``"data"``.
        """
        tokens = training_pass.field(TOKENS)
        if tokens.dim() != 2:
            raise UserError(
                f"{self.name} predicts one length a datum, and the text has the shape "
                f"{tuple(tokens.shape)}: leave it out"
            )
        length = sentence_mask(tokens).sum(-1)
        log_prob = self.scores(self.latents(training_pass)).log_softmax(-1)
        of_length = (length - 1).expand(log_prob.shape[:-1]).unsqueeze(-1)
        return -torch.gather(log_prob, -1, of_length).squeeze(-1).mean(0)
