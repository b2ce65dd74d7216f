# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Labels as programs have them: where none is given, and beside a latent vector."""

from __future__ import annotations

import torch
from pyro.poutine.infer_config_messenger import InferConfigMessenger
from torch import Tensor
from torch.nn.functional import one_hot

from pyro_textvae.contract import NOT_GIVEN
from pyro_textvae.errors import UserError


def labels_of(labels: Tensor | None, size: int | None, *, like: Tensor) -> Tensor:
    """The labels of ``size`` sentences, ``(N,)`` int64: -1 for each where there are none.

    :param like: a tensor on the device that they are to be on.

    >>> labels_of(None, 3, like=torch.zeros(1))
    tensor([-1, -1, -1])

    :raises UserError: where neither labels nor their number are given.
    """
    if labels is not None:
        return labels
    if size is None:
        raise UserError("a model of labels needs tokens, labels or size: give one")
    return torch.full((size,), NOT_GIVEN, device=like.device)


def summed_out() -> InferConfigMessenger:
    """A context whose sites are marked ``infer={"enumerate": "parallel"}``.

    A statement with an ``obs_mask`` is split by Pyro into two, to which it does not pass ``infer``.

    >>> import pyro
    >>> from pyro import poutine
    >>> def program():
    ...     with summed_out():
    ...         pyro.sample("y", pyro.distributions.Categorical(torch.ones(2)))
    >>> poutine.trace(program).get_trace().nodes["y"]["infer"]
    {'enumerate': 'parallel'}
    """
    return InferConfigMessenger(lambda site: {"enumerate": "parallel"})


def pick_label(values: Tensor, labels: Tensor) -> Tensor:
    """Of values for each label, ``(*B, num_labels, D)``, those of the labels ``(*S,)``.

    B and S are broadcast against each other: under enumeration labels have the shape
    ``(num_labels, 1)``, with the values of N sentences.

    >>> values = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]], [[5.0], [6.0]]])
    >>> pick_label(values, torch.tensor([0, 1, 1])).squeeze(-1)
    tensor([1., 4., 6.])
    >>> pick_label(values, torch.tensor([[0], [1]])).squeeze(-1)
    tensor([[1., 3., 5.],
            [2., 4., 6.]])

    :returns: ``(*broadcast(B, S), D)``.
    """
    shape = torch.broadcast_shapes(values.shape[:-2], labels.shape)
    values = values.expand(*shape, *values.shape[-2:])
    index = labels.expand(shape)[..., None, None].expand(*shape, 1, values.shape[-1])
    return values.gather(-2, index).squeeze(-2)


def with_label(z: Tensor, labels: Tensor, num_labels: int) -> Tensor:
    """A latent vector and a label as one vector: z, and a 1 in the label's place.

    >>> with_label(torch.tensor([[0.5]]), torch.tensor([[0], [1]]), 2).tolist()
    [[[0.5, 1.0, 0.0]], [[0.5, 0.0, 1.0]]]

    :param z: ``(*B, D)``.
    :param labels: ``(*S,)``, broadcast against B.
    :returns: ``(*broadcast(B, S), D + num_labels)``.
    """
    shape = torch.broadcast_shapes(z.shape[:-1], labels.shape)
    label = one_hot(labels, num_labels).to(z.dtype)
    return torch.cat([z.expand(*shape, -1), label.expand(*shape, -1)], -1)
