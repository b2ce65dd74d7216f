# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Training curves of all runs, one above the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pyro_textvae.report.blocks import Block, Note, Picture, Section
from pyro_textvae.report.canvas import draw, drawable, legend_of_runs, line_style
from pyro_textvae.report.run_record import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class _Curve(NamedTuple):
    key: str
    title: str
    unit: str


_CURVES = (
    _Curve("train_loss", "training loss", "nats per sentence"),
    _Curve("valid_elbo", "validation bound (reconstruction + KL)", "nats per sentence"),
    _Curve("valid_importance_weighted", "validation bound of several draws", "nats per sentence"),
    _Curve("valid_kl", "validation KL", "nats per sentence"),
    _Curve("valid_mutual_information", "validation mutual information", "nats"),
)

_CAPTION = (
    "By epoch; lower is better in the upper row. The training loss is the objective's own, with "
    "its weight on the KL term and with dropout on; the validation bound is never weighted. A "
    "ring marks the epoch whose weights the run kept."
)


def training(runs: Sequence[RunRecord]) -> Section:
    """Loss, validation bound, KL and mutual information by epoch."""
    blocks: list[Block] = []
    shown = [run for run in runs if run.epochs]
    blocks += [
        Note(f"{run.name} has finished no epoch, so it has no curve.", "missing")
        for run in runs
        if not run.epochs
    ]
    if shown:
        blocks.append(_picture(shown))
        silent = [run.name for run in shown if not _points(run, "valid_mutual_information")]
        if silent:
            blocks.append(
                Note(
                    f"No mutual information was recorded in the training of {', '.join(silent)}: "
                    "the model has no latent or several latent sites, or an older version "
                    "trained it.",
                    "missing",
                )
            )
    return Section("Training", "training", tuple(blocks))


def _picture(runs: Sequence[RunRecord]) -> Picture:
    curves = [curve for curve in _CURVES if any(_varies(run, curve.key) for run in runs)]
    rows = (len(curves) + 1) // 2

    def paint(figure: Figure) -> None:
        panels = figure.subplots(rows, 2, squeeze=False, sharex=True).ravel()
        for axes, curve in zip(panels, curves, strict=False):
            _paint_curve(axes, curve, runs)
        for axes in panels[len(curves) :]:
            axes.set_axis_off()
        if len(runs) > 1:
            legend_of_runs(figure, panels[0])

    ends = "; ".join(
        f"{run.name} ends after {len(run.epochs)} epochs with a validation bound of "
        f"{run.epochs[-1]['valid_elbo']:.3f} nats per sentence"
        for run in runs
    )
    height = 50 + 240 * rows
    alt = f"Training curves by epoch: {', '.join(curve.title for curve in curves)}. {ends}."
    return draw("training-curves", (940, height), paint, alt=alt, caption=_CAPTION)


def _paint_curve(axes: Axes, curve: _Curve, runs: Sequence[RunRecord]) -> None:
    from matplotlib.ticker import MaxNLocator

    for run in runs:
        points = _points(run, curve.key) if _varies(run, curve.key) else []
        style = line_style(run.number)
        label = f"{run.number}: {drawable(run.name)}"
        axes.plot([x for x, _ in points], [y for _, y in points], label=label, **style)  # type: ignore[arg-type]
        kept = dict(points).get(_kept_epoch(run))
        if kept is not None:
            axes.plot(
                [_kept_epoch(run)],
                [kept],
                marker="o",
                markersize=11,
                color=style["color"],
                markerfacecolor="none",
                clip_on=False,
            )
    axes.set_title(curve.title)
    axes.set_ylabel(curve.unit)
    axes.set_xlabel("epoch")
    axes.tick_params(labelbottom=True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if curve.key in ("valid_kl", "valid_mutual_information"):
        axes.set_ylim(bottom=0)


def _points(run: RunRecord, key: str) -> list[tuple[int, float]]:
    return [(row["epoch"], row[key]) for row in run.epochs if row.get(key) is not None]


def _varies(run: RunRecord, key: str) -> bool:
    """Whether there is something to see; the KL of a model without latents is zero throughout."""
    return any(value != 0 for _, value in _points(run, key))


def _kept_epoch(run: RunRecord) -> int:
    if run.config["settings"].get("keep") == "last":
        return run.epochs[-1]["epoch"]
    return max((row["epoch"] for row in run.epochs if row.get("best")), default=0)
