# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A normalising flow whose transforms depend on a context, one a row."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from pyro.nn import ConditionalAutoRegressiveNN
from torch import Tensor, nn

_SPREAD = 0.1


class ConditionedFlow(dist.TransformedDistribution):
    """A transformed distribution that scores values of any shape that broadcasts, draws or not.

    Its own latest draw is scored by what the transforms kept of it, at no cost; a copy of the draw
    and any other value by inverting them.
    """

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        """Draws without gradients; scored later, they give the parameters theirs."""
        with torch.no_grad():
            # A copy: what the transforms kept of the draw itself has no gradient.
            return self.rsample(torch.Size(sample_shape)).clone()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density in nats, ``broadcast(batch_shape, value.shape[:-1])``."""
        shape = torch.broadcast_shapes(value.shape, self.batch_shape + self.event_shape)
        return super().log_prob(value if value.shape == shape else value.expand(shape))


class AutoregressiveConditioner(ConditionalAutoRegressiveNN):
    """Parameters of the transform of each coordinate, from those before it and a context.

    Starts close to the biases, so that a flow can be made to start close to the identity.

    :param dim: coordinates, at least 2.
    :param context_dim: size of the context.
    :param hidden_dim: units of its one hidden layer, at least ``dim``.
    :param param_dims: sizes of the parameters of one coordinate.
    :param backwards: whether to take the coordinates from the last to the first.
    :param start: biases, for parameters that should not start at zero: number of the parameter to
        value.
    """

    def __init__(
        self,
        dim: int,
        context_dim: int,
        hidden_dim: int,
        param_dims: list[int],
        *,
        backwards: bool,
        start: dict[int, float] | None = None,
    ) -> None:
        order = torch.arange(dim)
        super().__init__(
            dim,
            context_dim,
            [hidden_dim],
            param_dims,
            order.flip(0) if backwards else order,  # type: ignore[arg-type]
            nonlinearity=nn.ELU(),
        )
        last = self.layers[-1]
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.mul_(_SPREAD)
            for number, value in (start or {}).items():
                last.bias.view(-1, dim)[self.param_slices[number]] += value  # type: ignore[operator]

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """A tuple of parameters for ``x`` ``(..., dim)``."""
        # Pyro starts to invert from zeros of the default precision.
        return super().forward(x.to(context.dtype), context)  # type: ignore[return-value]
