# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The KL of every dimension of the latent, and which of them carry anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyro_textvae.evaluation.information import ACTIVE_VARIANCE
from pyro_textvae.report.blocks import Block, Picture, Section
from pyro_textvae.report.canvas import BLUE, GREY, PALE, draw
from pyro_textvae.report.per_run import for_each_run, picture_name
from pyro_textvae.report.run_record import RunRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEAD = (
    "Mean KL of the posterior to the prior in each dimension, sorted. A unit is active when its "
    f"posterior mean varies by more than {ACTIVE_VARIANCE} over the sentences; borderline units "
    "lie so near that another sample of sentences could count them the other way."
)
_LABELLED = 64


def dimensions(runs: Sequence[RunRecord]) -> Section:
    """Sorted bars of the KL of each dimension, active units coloured."""

    def blocks_of(run: RunRecord) -> list[Block]:
        evaluation = run.evaluation or {}
        if not evaluation.get("kl_per_dimension"):
            what = "KL of single dimensions"
            if "kl_per_dimension" in evaluation and run.has_latent:
                what += " (there is one only where posterior and prior factorise)"
            return [run.lacks(what)]
        return [_picture(run, evaluation, runs)]

    return Section("KL by latent dimension", "dimensions", for_each_run(runs, blocks_of, _LEAD))


def _is_active(variance: float | None) -> bool | None:
    """None for a dimension without a variance to go by."""
    return None if variance is None else variance > ACTIVE_VARIANCE


def _picture(run: RunRecord, evaluation: dict[str, Any], runs: Sequence[RunRecord]) -> Picture:
    kls = evaluation["kl_per_dimension"]
    variances = evaluation["unit_variance"]
    borderline = set(evaluation.get("borderline_units") or ())
    order = sorted(range(len(kls)), key=lambda unit: -kls[unit])
    groups = []
    kinds = ((True, "active", BLUE), (False, "not active", PALE), (None, "not known", GREY))
    for active, kind, colour in kinds:
        for near, hatch in ((False, ""), (True, "xx")):
            label = kind + (", borderline" if near else "")
            units = [
                unit
                for unit in order
                if _is_active(variances[unit]) == active and (unit in borderline) == near
            ]
            if units:
                groups.append((f"{label}: {len(units)}", colour, hatch, units))
    place = {unit: position for position, unit in enumerate(order)}

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for label, colour, hatch, units in groups:
            axes.bar(
                [place[unit] for unit in units],
                [kls[unit] for unit in units],
                color=colour,
                hatch=hatch,
                edgecolor="white",
                linewidth=0.5,
                width=0.9,
                label=label,
            )
        if len(order) <= _LABELLED:
            axes.set_xticks(range(len(order)), [str(unit) for unit in order], fontsize=7.5)
        axes.set_xlim(-0.7, len(order) - 0.3)
        axes.set_xlabel("latent dimension, sorted by its KL")
        axes.set_ylabel("KL, nats per sentence")
        axes.grid(axis="x", visible=False)
        axes.legend(title=f"{len(order)} dimensions, {sum(kls):.3f} nats", alignment="left")

    shares = "; ".join(label for label, *_ in groups)
    alt = (
        f"KL of {run.name} by latent dimension, from {kls[order[0]]:.3f} down to "
        f"{kls[order[-1]]:.3f} nats per sentence; {shares}."
    )
    name = picture_name("kl-by-dimension", run, runs)
    return draw(name, (940, 340), paint, alt=alt, caption="")
