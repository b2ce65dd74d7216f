# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What an auxiliary loss is: something trained beside the bound, and in no bound."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.contract import PARTICLE_PLATE
from pyro_textvae.errors import UserError
from pyro_textvae.infer.constraint import checked_amount
from pyro_textvae.infer.latent_site import LatentSite
from pyro_textvae.infer.plates import SitePlates
from pyro_textvae.infer.terms import PerDatumTerms


@dataclass(frozen=True)
class TrainingPass:
    """One training pass of an objective, as an auxiliary loss sees it.

    model
        The model, which may be run again.
    batch
        All fields of the batch, with the datum first.
    terms
        What the pass says about each sentence, with the draws of the latents.
    """

    model: Any
    batch: Mapping[str, Tensor]
    terms: PerDatumTerms

    def field(self, name: str) -> Tensor:
        """A field of the batch.

        :raises UserError: where the objective was not given it by this name.
        """
        if name not in self.batch:
            raise UserError(
                f"an auxiliary loss needs the field {name!r}, and the batch has "
                f"{', '.join(self.batch) or 'none'}: call the objective with the fields of a batch "
                "as keywords, and name the column of text or labels when the corpus is loaded"
            )
        return self.batch[name]


class AuxiliaryLoss(PyroModule):
    r"""A loss that is added, with a weight, to that of any objective of this package.

    It is in the loss of training alone: bounds, likelihoods and whatever is validated, evaluated
    or printed of a model are without it. It may have parameters, which are trained with those of
    model and guide, and saved for resuming. A subclass implements ``forward``.

    .. math::
        \mathrm{loss}_n = -\mathrm{bound}_n + \sum_a w_a \, \mathrm{auxiliary}_{an}

    >>> class SizeOfTheLatent(AuxiliaryLoss):
    ...     def forward(self, training_pass):
    ...         return self.latents(training_pass).square().sum(-1).mean(0)
    >>> SizeOfTheLatent(weight=0.1, latent_dims={"z": 8}).latent_dim
    8

    :param weight: what the loss is multiplied by.
    :param latent_dims: the width of every latent vector that it may read, by the name of its site;
        on the command line the reparameterised sites of the guide that are in the plate ``"data"``
        alone.
    :param sites: those that it reads; by default all.
    :raises ValueError: for a weight that is negative or not finite.
    :raises UserError: for a site that ``latent_dims`` does not have, with the nearest that it has,
        and where there is none to read.
    """

    needs_gradient_through_draws = True
    """Whether it trains the guide through its draws, which not every objective has."""

    def __init__(
        self,
        weight: float = 1.0,
        *,
        latent_dims: Mapping[str, int] | None = None,
        sites: Sequence[str] | None = None,
    ) -> None:
        super().__init__(self.name)
        self.weight = checked_amount("weight", weight)
        dims = dict(latent_dims or {})
        if isinstance(sites, str):
            raise ValueError(f"sites must be a list of names, got {sites!r}: write [{sites!r}]")
        for site in sites or ():
            if site not in dims:
                near = difflib.get_close_matches(str(site), dims, n=1, cutoff=0.0)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise UserError(
                    f"{self.name} is to read the site {site!r}, and the reparameterised vectors in "
                    f"the plate 'data' alone are {', '.join(dims) or 'none'}{hint}"
                )
        self.sites = tuple(dims if sites is None else sites)
        if latent_dims is not None and not self.sites:
            raise UserError(
                f"{self.name} reads latent vectors that are reparameterised and in the plate "
                "'data' alone, and has none: leave it out"
            )
        self.latent_dim = sum(dims[site] for site in self.sites)

    @property
    def name(self) -> str:
        """The name that it is logged by: its file's in the catalogue, else its class's."""
        package, _, file = type(self).__module__.rpartition(".")
        return file if package == "pyro_textvae.infer.auxiliaries" else type(self).__name__

    def forward(self, training_pass: TrainingPass) -> Tensor:
        """The loss of each sentence, ``(N,)``, without its weight."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def latents(self, training_pass: TrainingPass) -> Tensor:
        """The draws of ``sites`` side by side, ``(K, N, latent_dim)``, with their gradient.

        :raises UserError: for a site that is not there, or is in a plate inside ``"data"``.
        """
        passes = training_pass.terms.passes
        return torch.cat([self._draws({site.name: site for site in each}) for each in passes])

    def _draws(self, latent_sites: Mapping[str, LatentSite]) -> Tensor:
        columns = []
        for name in self.sites:
            if name not in latent_sites:
                raise UserError(
                    f"{self.name} reads the latent site {name!r}, and there are "
                    f"{', '.join(latent_sites) or 'none'}"
                )
            site = latent_sites[name]
            if site.inner_plates:
                raise UserError(
                    f"{self.name} reads one vector a sentence, and latent site {name!r} has "
                    f"several, in the plate {', '.join(map(repr, site.inner_plates))}: leave it "
                    "out of its sites"
                )
            if site.drawn_for_each:
                raise UserError(
                    f"{self.name} reads one vector a sentence, and latent site {name!r} has one "
                    f"for each value of {', '.join(map(repr, site.drawn_for_each))}: leave it out "
                    "of its sites"
                )
            columns.append(_datum_first(site))
        if not columns:
            raise UserError(f"{self.name} has no latent_dims, so it reads no latents: give it them")
        return torch.cat(columns, -1)


def as_modules(auxiliaries: Iterable[AuxiliaryLoss]) -> nn.ModuleDict:
    """Auxiliary losses by their names.

    :raises ValueError: for two of one name.
    """
    named: dict[str, nn.Module] = {}
    for auxiliary in auxiliaries:
        if auxiliary.name in named:
            raise ValueError(
                f"there are two auxiliary losses {auxiliary.name!r}, which are logged by name: "
                "give one of the classes another name"
            )
        named[auxiliary.name] = auxiliary
    return nn.ModuleDict(named)


def auxiliaries_of(objective: Any) -> nn.ModuleDict:
    """The auxiliary losses of an objective; none for one that takes none, such as Pyro's."""
    return getattr(objective, "auxiliaries", None) or nn.ModuleDict()


def _datum_first(site: LatentSite) -> Tensor:
    """The draw as ``(K, N, D)``."""
    frames = {frame.name for frame in site.node["cond_indep_stack"]}
    particles = PARTICLE_PLATE in frames
    plates = SitePlates.of(site.name, site.node)
    draw = plates.datum_first(site.draw, particles=particles)
    draw = draw if particles else draw.unsqueeze(0)
    return draw.flatten(2) if draw.dim() > 2 else draw.unsqueeze(-1)
