# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Attention of hidden states to memory slots made of z."""

from __future__ import annotations

from torch import Tensor, nn

from pyro_textvae.nn.checks import check_sizes


class LatentAttention(nn.Module):
    r"""Adds to every hidden state what it finds in memory slots that are linear in z.

    .. math::
        h_t + \sum_i \operatorname{softmax}_i(s_i^\top Q h_t / \sqrt H) \, s_i, \qquad
        (s_1, \dots, s_m) = U z + u

    Scaled dot-product attention with one head; a slot is its own key and value. Several slots are
    needed, for with one alone every state would find the same.

    >>> import torch
    >>> attention = LatentAttention(state_dim=8, latent_dim=3, num_slots=4)
    >>> attention(torch.zeros(2, 5, 8), torch.zeros(10, 2, 3)).shape
    torch.Size([10, 2, 5, 8])

    :param num_slots: at least 2.
    """

    def __init__(self, state_dim: int, latent_dim: int, num_slots: int) -> None:
        check_sizes(minimum=2, num_slots=num_slots)
        super().__init__()
        self.num_slots = num_slots
        self.slots = nn.Linear(latent_dim, num_slots * state_dim)
        self.query = nn.Linear(state_dim, state_dim, bias=False)

    def forward(self, hidden: Tensor, z: Tensor) -> Tensor:
        """States ``(*broadcast(B, S), T, H)`` of ``(*B, T, H)`` and z ``(*S, latent_dim)``."""
        slots = self.slots(z).unflatten(-1, (self.num_slots, -1))
        scores = self.query(hidden) @ slots.mT / hidden.shape[-1] ** 0.5
        return hidden + scores.softmax(-1) @ slots
