# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the coder of text asks of a model and a guide, in arithmetic that can be repeated."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions import Normal
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn

from pyro_textvae.contract import TEXT_SITE, TOKENS
from pyro_textvae.distributions import AutoregressiveCategorical
from pyro_textvae.distributions.mixture import Mixture
from pyro_textvae.distributions.unwrapped import unwrapped
from pyro_textvae.errors import UserError
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.function_program import as_program
from pyro_textvae.infer.global_latents import is_global
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.infer.simulate import named_fields, simulate
from pyro_textvae.infer.sites import latent_sites
from pyro_textvae.special_tokens import EOS


@dataclass(frozen=True)
class Gaussian:
    """Mean and scale of the latent of each sentence, ``(N, D)``."""

    loc: Tensor
    scale: Tensor


@dataclass(frozen=True)
class GaussianMixture:
    """Log-weights ``(C,)``, and means and scales of the components, ``(C, D)``."""

    log_weights: Tensor
    loc: Tensor
    scale: Tensor


class CodedPrograms:
    """A model and a guide in float64 on the processor, asked for what a coder needs.

    They are copies: those that are given stay as they are.

    :raises UserError: with the name of what cannot be coded: a latent that is not one Gaussian
        vector a sentence, text that is not drawn word by word, a model that needs more than text.
    """

    def __init__(self, model: nn.Module, guide: nn.Module) -> None:
        pair = nn.ModuleDict({"model": as_program(model), "guide": as_program(guide)})
        pair = copy.deepcopy(pair).cpu().double()
        self.model, self.guide = pair["model"], pair["guide"]
        for program in (self.model, self.guide):
            others = sorted(set(named_fields(program)) - {TOKENS, "size"})
            if others:
                raise UserError(
                    f"{type(program).__name__} needs {', '.join(others)} beside the text, which "
                    "an archive of text does not hold: compress with a model of text alone"
                )
        with self.running():
            posterior = self.posterior(torch.tensor([[EOS]]))
            model_sites = self._run_model(1, None)
        self.latent_dim = 0 if posterior is None else posterior.loc.shape[-1]
        self.max_length = model_sites.text.max_length

    @contextmanager
    def running(self) -> Iterator[None]:
        """Inside, both are in evaluation mode, without gradients, on one thread.

        The same sums in another order are other floats, and a decoder with other floats reads
        other words.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with evaluation_mode(self.model, self.guide, seed=0):
                yield
        finally:
            torch.set_num_threads(threads)

    def posterior(self, tokens: Tensor) -> Gaussian | None:
        """q(z | x) of each sentence; None for a program without a latent."""
        trace = trace_guide(self.guide, tokens)
        sites = latent_sites(trace)
        if not sites:
            return None
        name, site = sites[0]
        if len(sites) > 1:
            names = ", ".join(repr(name) for name, _ in sites)
            raise UserError(f"the guide has the latents {names}, and the coder takes one")
        if is_global(site):
            raise UserError(
                f"latent site {name!r} is one of the whole corpus, and the coder takes latents of "
                "sentences: put it inside the plate 'data'"
            )
        return _gaussian(name, site["fn"], "posterior")

    def prior(self, size: int) -> Gaussian | GaussianMixture:
        """p(z) of so many sentences."""
        sites = self._run_model(size, None)
        assert sites.prior is not None
        return sites.prior

    def text(self, z: Tensor | None, size: int) -> AutoregressiveCategorical:
        """p(x | z) of so many sentences, z ``(N, D)``."""
        return self._run_model(size, z).text

    def _run_model(self, size: int, z: Tensor | None) -> _ModelSites:
        with _ModelSites(z) as sites:
            simulate(self.model, size)
        return sites


class _ModelSites(Messenger):
    """Keeps the distributions that a model draws from, gives it z, and draws no text."""

    text: AutoregressiveCategorical
    prior: Gaussian | GaussianMixture | None = None

    def __init__(self, z: Tensor | None) -> None:
        super().__init__()
        self.z = z

    def _pyro_sample(self, message: Any) -> None:
        if message["done"] or message["is_observed"] or site_is_subsample(message):
            return
        name, fn = message["name"], message["fn"]
        if name == TEXT_SITE:
            text = unwrapped(fn)
            if not isinstance(text, AutoregressiveCategorical):
                raise UserError(
                    f"the text site {TEXT_SITE!r} is {type(text).__name__}, which does not say how "
                    "likely each next word is: compress with an AutoregressiveCategorical"
                )
            self.text = text
            message["value"] = torch.full(fn.shape(), EOS)
            message["done"] = True
            return
        if self.prior is not None:
            raise UserError(f"the model has a second latent, {name!r}, and the coder takes one")
        self.prior = _mixture(fn) or _gaussian(name, fn, "prior")
        if self.z is not None:
            message["value"] = self.z
            message["done"] = True


def _gaussian(name: str, fn: Any, what: str) -> Gaussian:
    base = unwrapped(fn)
    if not isinstance(base, Normal) or len(fn.batch_shape) != 1 or len(fn.event_shape) != 1:
        raise UserError(
            f"the {what} of latent site {name!r} is {type(base).__name__}, and the coder needs "
            "dimensions that are independent Gaussians: compress with the gaussian guide and the "
            "standard_normal or gaussian_mixture prior"
        )
    shape = fn.batch_shape + fn.event_shape
    return Gaussian(base.loc.expand(shape), base.scale.expand(shape))


def _mixture(fn: Any) -> Gaussian | GaussianMixture | None:
    """A mixture of Gaussians whose dimensions are independent; of one alone, the Gaussian.

    None for what is no such mixture.
    """
    mixture = unwrapped(fn)
    if not isinstance(mixture, Mixture) or len(fn.batch_shape) != 1 or len(fn.event_shape) != 1:
        return None
    components = unwrapped(mixture.components)
    if not isinstance(components, Normal):
        return None
    if len(mixture.log_weights) == 1:
        shape = fn.batch_shape + fn.event_shape
        return Gaussian(components.loc.expand(shape), components.scale.expand(shape))
    return GaussianMixture(mixture.log_weights, components.loc, components.scale)
