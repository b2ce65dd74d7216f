# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""VampPrior: the mixture of the guide's own posteriors at learned pseudo-inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.distributions.mixture import Mixture
from pyro_textvae.nn.checks import check_sizes

# About the size that word embeddings start with.
_SCALE_AT_START = 0.1


class VampPrior(nn.Module):
    r"""p(z) = (1/C) sum_c q(z | u_c), a mixture of posteriors; called with nothing, returns it.

    .. math::
        p(z) = \frac1C \sum_{c=1}^C q(z \mid u_c)

    A pseudo-input u_c is a learned sequence of vectors in the place of word embeddings; the guide's
    encoder and its ``posterior`` make a component of it. So the guide's parameters have a part in
    log p(z) too, and are trained through it. They stay the guide's: the prior refers to them, and
    neither lists nor saves them; converting the model to another precision or device takes the
    guide along.

    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.nn import BagOfWordsEncoder
    >>> encoder = BagOfWordsEncoder(vocab_size=9, embedding_dim=4, hidden_dim=8)
    >>> prior = VampPrior(latent_dim=3, embedding_dim=4, num_components=5)
    >>> prior.tie(GaussianGuide(encoder, latent_dim=3))
    >>> prior().sample((10,)).shape
    torch.Size([10, 3])

    Source: Tomczak and Welling (2018), VAE with a VampPrior, equation 9,
    https://arxiv.org/abs/1705.07120.

    :param latent_dim: size of z.
    :param embedding_dim: width of the encoder's word embeddings.
    :param num_components: number of pseudo-inputs, at least 1.
    :param pseudo_length: vectors in each, at least 1.
    :raises ValueError: for a smaller size.
    """

    _guide: nn.Module | None

    def __init__(
        self, latent_dim: int, embedding_dim: int, num_components: int = 50, pseudo_length: int = 10
    ) -> None:
        check_sizes(
            embedding_dim=embedding_dim,
            latent_dim=latent_dim,
            num_components=num_components,
            pseudo_length=pseudo_length,
        )
        super().__init__()
        self.latent_dim = latent_dim
        self.embedding_dim = embedding_dim
        self.num_components = num_components
        self.pseudo_length = pseudo_length
        pseudo_inputs = torch.randn(num_components, pseudo_length, embedding_dim)
        self.pseudo_inputs = nn.Parameter(_SCALE_AT_START * pseudo_inputs)
        self._refer_to(None)

    def tie(self, guide: nn.Module) -> None:
        """Take the components from ``guide``, one with ``encoder`` and ``posterior(features)``.

        :raises ValueError: when its posteriors cannot be components, with the reason.
        """
        what = f"the components of VampPrior are posteriors, and {type(guide).__name__}"
        for name in ("encoder", "posterior"):
            if not hasattr(guide, name):
                raise ValueError(f"{what} has no {name!r}: choose another guide or prior")
        device = self.pseudo_inputs.device
        with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
            pseudo_input = self.pseudo_inputs[:1]
            try:
                posterior = self._posterior(guide, torch.cat([pseudo_input, -pseudo_input]))
                draws = posterior.sample()
                scores = posterior.log_prob(draws.flip(0))
            except NotImplementedError as error:
                raise ValueError(
                    f"{what} cannot score the draws of another posterior: choose another guide "
                    "or prior"
                ) from error
            except RuntimeError as error:
                raise ValueError(
                    f"{what} cannot read pseudo-inputs of embedding_dim "
                    f"{pseudo_input.shape[-1]}: {error}"
                ) from error
        if posterior.event_shape != (self.latent_dim,):
            raise ValueError(
                f"{what} draws z of shape {tuple(posterior.event_shape)}, not "
                f"({self.latent_dim},): give both the same latent_dim"
            )
        if not scores.isfinite().all():
            raise ValueError(
                f"{what} gives the draws of another posterior no density: choose another guide or "
                "prior"
            )
        self._refer_to(guide)

    def forward(self) -> Mixture:
        """The distribution, batch shape ``()`` and event shape ``(latent_dim,)``.

        :raises ValueError: before :meth:`tie`.
        """
        if self._guide is None:
            raise ValueError(
                "VampPrior is tied to no guide yet, and its components are the guide's posteriors: "
                "call prior.tie(guide) once both are built"
            )
        equal = self.pseudo_inputs.new_zeros(len(self.pseudo_inputs))
        return Mixture(equal, self._posterior(self._guide, self.pseudo_inputs))

    def _posterior(self, guide: Any, pseudo_inputs: Tensor) -> Any:
        """In the mode of the prior: evaluation mode of the model alone reaches the guide here."""
        modes = [(module, module.training) for module in guide.modules()]
        try:
            guide.train(self.training)
            return guide.posterior(guide.encoder.encode_embeddings(pseudo_inputs))
        finally:
            for module, mode in modes:
                module.training = mode

    def _refer_to(self, guide: nn.Module | None) -> None:
        """Keep the guide, past the registration of a submodule: its parameters stay its own."""
        self.__dict__["_guide"] = guide

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> VampPrior:
        """Convert the guide as well: half of a mixture cannot be in another precision."""
        if self._guide is not None:
            self._guide._apply(fn, recurse)
        return super()._apply(fn, recurse)
