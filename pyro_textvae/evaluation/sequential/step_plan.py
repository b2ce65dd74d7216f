# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How a pair of programs is taken through its steps."""

from __future__ import annotations

from dataclasses import dataclass

from pyro_textvae.evaluation.importance.posteriors import GuideDraws, Posteriors
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.evaluation.sequential.programs import ByPrefix, ByState, SteppedProgram
from pyro_textvae.evaluation.sequential.site_order import out_of_order, steps_in_order
from pyro_textvae.infer.running import to_device
from pyro_textvae.infer.steps import has_steps, number_of_steps


@dataclass(frozen=True)
class StepPlan:
    """By the methods of both programs where they have them, else by the order of their sites.

    names
        The sites of each step, in the model's order; None where the programs have steps of their
        own.
    """

    names: tuple[tuple[str, ...], ...] | None

    @staticmethod
    def of(posteriors: Posteriors) -> StepPlan | None:
        """The plan for a pair; None where :func:`why_not` says why there is none."""
        if why_not(posteriors) is not None:
            return None
        has_methods = has_steps(posteriors.model) and has_steps(posteriors.guide)
        return StepPlan(None if has_methods else steps_in_order(posteriors.order))

    def programs(
        self, target: Target, posteriors: GuideDraws, row: int, count: int
    ) -> tuple[SteppedProgram, SteppedProgram, int]:
        """Model and guide at one datum, for ``count`` particles, and its number of steps."""
        model, guide, dim = target.model, posteriors.guide, posteriors.plates.particle_dim
        fields = to_device(posteriors.sentences[row], model)
        if self.names is None:
            number = number_of_steps(model, fields)
            data_dim = next(iter(posteriors.plates.sites.values())).data
            return (
                ByState(model, fields, count, dim, data_dim),
                ByState(guide, fields, count, dim, data_dim),
                number,
            )
        return (
            ByPrefix(model, fields, count, dim, self.names),
            ByPrefix(guide, fields, count, dim, self.names, posteriors.trace),
            len(self.names),
        )


def why_not(posteriors: Posteriors) -> str | None:
    """Why a pair cannot be taken step by step, in words; None where it can."""
    if has_steps(posteriors.model) and has_steps(posteriors.guide):
        return None
    steps = steps_in_order(posteriors.order)
    if len(steps) < 2:
        return "no latent of the model comes after something observed"
    crossed = out_of_order(steps, posteriors.names)
    if crossed is not None:
        return f"the guide draws {crossed[0]!r} before {crossed[1]!r}, and the model after it"
    return None
