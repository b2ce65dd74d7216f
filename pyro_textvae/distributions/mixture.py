# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A mixture: one of several distributions of one kind, chosen at random."""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.distributions import Categorical

from pyro_textvae.distributions.shape import Shape
from pyro_textvae.shared_batch import drawn_for_all_at_once


class Mixture(TorchDistribution):
    r"""A mixture with the same components for every row of a batch.

    .. math::
        p(z) = \sum_c \pi_c \, p_c(z)

    ``torch.distributions.MixtureSameFamily`` would copy the components for every row, and does not
    say where its draws lie. A component is asked about one value for each of them, ``(..., C, D)``,
    so that conditioned flows can be components too.

    ``batch_shape`` is ``()`` unless expanded, ``event_shape`` that of the components. Draws have no
    gradient.

    >>> from pyro.distributions import Normal
    >>> components = Normal(torch.randn(5, 2), torch.ones(5, 2)).to_event(1)
    >>> mixture = Mixture(torch.zeros(5), components)
    >>> mixture.batch_shape, mixture.event_shape
    (torch.Size([]), torch.Size([2]))
    >>> mixture.log_prob(mixture.sample((10,))).shape
    torch.Size([10])

    :param logits: log-weights of the components up to a constant, ``(C,)``.
    :param components: a distribution of ``batch_shape`` ``(C,)``.
    :raises ValueError: when the shapes do not fit.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    has_rsample = False

    def __init__(
        self, logits: Tensor, components: Any, *, validate_args: bool | None = None
    ) -> None:
        if logits.dim() != 1 or components.batch_shape != logits.shape:
            raise ValueError(
                f"components must have batch shape (C,) and logits shape (C,), got "
                f"{tuple(components.batch_shape)} and {tuple(logits.shape)}"
            )
        self.log_weights = logits.log_softmax(-1)
        self.components = components
        super().__init__(torch.Size(), components.event_shape, validate_args=validate_args)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """That of the components."""
        return self.components.support

    def expand(self, batch_shape: Shape, _instance: Mixture | None = None) -> Mixture:
        """The same distribution over more rows; the components stay as they are."""
        new = self._get_checked_instance(Mixture, _instance)
        new.log_weights, new.components = self.log_weights, self.components
        super(Mixture, new).__init__(torch.Size(batch_shape), self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Draws, ``(*sample_shape, *batch_shape, *event_shape)``."""
        shape = torch.Size(sample_shape) + self.batch_shape
        with drawn_for_all_at_once():
            component = Categorical(logits=self.log_weights, validate_args=False).sample(shape)
        component = component.reshape(shape + (1,) * (1 + len(self.event_shape)))
        drawn = self.components.sample(shape)
        return drawn.take_along_dim(component, len(shape)).squeeze(len(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, ``broadcast(batch_shape, value's batch shape)``."""
        if self._validate_args:
            self._validate_sample(value)
        event_dim = len(self.event_shape)
        rows = value.shape[: value.dim() - event_dim]
        each = value.unsqueeze(-1 - event_dim).expand(
            rows + self.log_weights.shape + self.event_shape
        )
        log_prob = (self.components.log_prob(each) + self.log_weights).logsumexp(-1)
        return log_prob.expand(torch.broadcast_shapes(self.batch_shape, rows))

    @property
    def mean(self) -> Tensor:
        """E[z], ``(*batch_shape, *event_shape)``."""
        return self._average(self.components.mean)

    @property
    def variance(self) -> Tensor:
        """Of each coordinate, within the components and between them; shaped as the mean."""
        second = self.components.variance + self.components.mean.square()
        return self._average(second) - self.mean.square()

    def _average(self, values: Tensor) -> Tensor:
        average = torch.tensordot(self.log_weights.exp(), values, 1)
        return average.expand(self.batch_shape + self.event_shape)
