# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whether the steps of a pair of programs are what its ``forward`` does in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.importance.posteriors import GuideDraws
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.evaluation.sequential.particle_filter import Populations, run_filter
from pyro_textvae.evaluation.sequential.step_plan import StepPlan
from pyro_textvae.infer.simulate import name_of

_POPULATIONS = Populations((8,), 4)
_ROUNDING = 1e3


def check_agreement(target: Target, posteriors: GuideDraws, plan: StepPlan) -> None:
    """Take a few particles through the steps of one text, and score them by both programs whole.

    Most are drawn anew at every step, so that their state is that of others before, and some never.

    :raises UserError: with both numbers, where they differ by more than rounding.
    """
    sizes = [next(iter(fields.values())).numel() for fields in posteriors.sentences]
    row = sizes.index(min(sizes))
    chosen = torch.tensor([row])
    alone = posteriors.rows(chosen)
    (seed,) = alone.seeds("sequential check")
    whole, _ = alone.run(_POPULATIONS.num_particles, [seed])
    pair = plan.programs(target, posteriors, row, _POPULATIONS.num_particles)
    filtered = run_filter(*pair, _POPULATIONS, seed, resample_below=1.0, keeps_history=True)
    latents = with_steps(whole, filtered.latents(torch.arange(_POPULATIONS.num_particles)))
    joint = target.rows(chosen)(latents)
    by_steps = filtered.log_likelihood + filtered.log_prior
    _compare(name_of(target.model), "log p(x, z)", by_steps, joint.total.squeeze(1))
    try:
        log_guide = alone.log_prob(latents).squeeze(1)
    except (NotImplementedError, KeyError):  # of a flow without an inverse
        return
    _compare(name_of(posteriors.guide), "log q(z | x)", filtered.log_guide, log_guide)


def with_steps(
    whole: Mapping[str, Tensor], steps: Sequence[Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Latents of one datum as a program has them in one, those of its steps in their places.

    A site that several steps have is one site of the program, the steps along its first dimension.

    >>> steps = [{"z": torch.ones(5, 1, 2)}, {"z": 2 * torch.ones(5, 1, 2)}]
    >>> with_steps({"z": torch.zeros(5, 1, 3, 2)}, steps)["z"][0, 0, :, 0]
    tensor([1., 2., 0.])

    :param whole: of all latents, ``(K, 1, *inner, *event)``, for the places that no step has.
    """
    slices: dict[str, list[Tensor]] = {}
    for latents in steps:
        for name, value in latents.items():
            slices.setdefault(name, []).append(value)
    latents = dict(whole)
    for name, values in slices.items():
        if name not in whole:
            raise UserError(
                f"the steps of the guide draw {name!r}, and its forward has no such latent but "
                f"{', '.join(map(repr, whole))}: give them one name"
            )
        if whole[name].dim() == values[0].dim():
            latents[name] = values[0]
            continue
        rest = whole[name][:, :, len(values) :]
        latents[name] = torch.cat([torch.stack(values, 2).to(rest), rest], 2)
    return latents


def _compare(name: str, what: str, by_steps: Tensor, at_once: Tensor) -> None:
    found, expected = by_steps.cpu(), at_once.double().cpu()
    rounding = _ROUNDING * torch.finfo(at_once.dtype).eps * expected.abs().clamp(min=1.0)
    differs = ~((found - expected).abs() <= rounding) & (found != expected)
    if differs.any():
        place = int(differs.nonzero()[0])
        raise UserError(
            f"the steps of {name} are not what its forward does: {what} of a draw is "
            f"{found[place]:.6g} by start and step, and {expected[place]:.6g} by forward: let the "
            "state have all that later steps need, with the particles at the left, and put each "
            "site into one step"
        )
