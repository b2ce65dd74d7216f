# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What an objective cannot train, said by the name of the site."""

from __future__ import annotations

from typing import Any, Protocol

from torch import nn

from pyro_textvae.infer.constraint import KLConstraint
from pyro_textvae.infer.latent_site import LatentSite
from pyro_textvae.infer.terms import PerDatumTerms
from pyro_textvae.infer.traces import Draws


class Objective(Protocol):
    """What of an objective decides what it can train."""

    draws: Draws
    takes_discrete_latents: bool
    takes_enumerated_sites: bool
    constraint: KLConstraint | None
    auxiliaries: nn.ModuleDict


def check_trainable(objective: Objective, terms: PerDatumTerms) -> None:
    """Check that an objective has a right gradient for every latent of a sentence.

    :raises ValueError: with the name of the site, or of the auxiliary loss, and what to take.
    """
    name = type(objective).__name__
    auxiliary: Any
    for auxiliary in objective.auxiliaries.values() if objective.draws is Draws.DETACHED else ():
        if auxiliary.needs_gradient_through_draws:
            raise ValueError(
                f"auxiliary loss {auxiliary.name!r} trains the guide through its draws, and "
                f"{name} has no gradient through them: take BetaELBO, IWAE or DReG"
            )
    for site in terms.passes[0]:
        if site.is_enumerated and not objective.takes_enumerated_sites:
            raise ValueError(cannot_sum(site.name, name))
        if not (_has_gradient(site) or objective.takes_discrete_latents):
            raise ValueError(
                f"the guide of latent site {site.name!r} is not reparameterised, so its "
                f"gradient would be lost under {name}: train it with VIMCO, ThermodynamicELBO "
                'or WakeSleep, or mark it infer={"enumerate": "parallel"} in the guide, to be '
                "summed over"
            )
        if objective.constraint is not None:
            _check_constrained(objective, objective.constraint, site, terms)


def _check_constrained(
    objective: Objective, constraint: KLConstraint, site: LatentSite, terms: PerDatumTerms
) -> None:
    """Check that a constraint can be joined to the objective for this site."""
    others = len(terms.passes[0]) - 1
    if site.prior is None:
        raise ValueError(
            f"the guide makes its latents of the auxiliary site {site.name!r}, so that "
            f"none has a KL of its own for {type(constraint).__name__}: leave the "
            "constraint out, or give each latent a distribution of its own in the guide"
        )
    joined = f"{type(constraint).__name__} joined to {type(objective).__name__}"
    through_log_q = objective.draws is not Draws.CONNECTED or not _has_gradient(site)
    if through_log_q and others:
        raise ValueError(
            f"{joined} has no right gradient for latents that may depend on each other, "
            f"and there are {others} more beside {site.name!r}: join it to "
            "BetaELBO or IWAE"
        )
    if through_log_q and site.name not in terms.closed_form:
        raise ValueError(
            f"{joined} needs the KL of site {site.name!r} in closed form, and "
            f"{type(site.posterior).__name__} against {type(site.prior).__name__} has "
            "none: join it to BetaELBO or IWAE"
        )
    detached = objective.draws is Draws.DETACHED or not site.is_reparameterised
    if detached and constraint.needs_gradient_through_draws:
        raise ValueError(
            f"{joined} would have no gradient, for there is none through the draws of site "
            f"{site.name!r}: take a reparameterised guide under BetaELBO, IWAE or DReG, or "
            "another constraint"
        )


def _has_gradient(site: LatentSite) -> bool:
    return site.is_reparameterised or site.is_enumerated


def cannot_sum(site: str, objective: str) -> str:
    """What is said of an enumerated site of a guide under an objective that cannot sum over it."""
    return (
        f"site {site!r} is marked enumerate in the guide, and {objective} cannot sum over it: "
        "train by BetaELBO, IWAE or DReG, or leave the mark out and train by VIMCO"
    )
