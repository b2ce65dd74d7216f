# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How the estimate of the nll falls with the number of draws, and what is still to come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyro_textvae.report.blocks import Block, Note, Picture, Section, Table
from pyro_textvae.report.canvas import BLUE, DARK, GREY, ORANGE, draw
from pyro_textvae.report.per_run import for_each_run, picture_name
from pyro_textvae.report.quantity_text import PAGE, quantity_text
from pyro_textvae.report.run_record import RunRecord
from pyro_textvae.run_folder.quantities import quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEAD = (
    "The estimate of the nll falls with K towards the nll itself; the band is 1.96 Monte Carlo "
    "standard errors to either side. D_K is what the last doubling of K still gained; ρ is its "
    "ratio to the gain of the doubling before. Where every doubling gains ρ times the one before, "
    "D_K ρ / (1 - ρ) is still to come: the remaining bias."
)


def nll_by_draws(runs: Sequence[RunRecord]) -> Section:
    """The nll against K on a logarithmic axis, with the bound, the error and the increment."""

    def blocks_of(run: RunRecord) -> list[Block]:
        curve = (run.evaluation or {}).get("curve")
        if run.evaluation is None or not curve:
            # By auto every sentence has draws of its own number.
            return [run.lacks("curve of the nll against K", "--proposal guide")]
        known = [point for point in curve if point["nll"] is not None]
        blocks: list[Block] = []
        if known:
            blocks += [_picture(run, run.evaluation, known, runs), _table(known)]
        if len(known) < len(curve):
            blocks.append(
                Note(
                    f"At {len(curve) - len(known)} of {len(curve)} numbers of draws the nll is not "
                    "finite: none of the draws of some sentence was possible.",
                    "warning",
                )
            )
        return blocks

    return Section(
        "Negative log-likelihood against K", "draws", for_each_run(runs, blocks_of, _LEAD)
    )


def _picture(
    run: RunRecord,
    evaluation: dict[str, Any],
    curve: list[dict[str, Any]],
    runs: Sequence[RunRecord],
) -> Picture:
    counts = [int(point["num_samples"]) for point in curve]
    nlls = [point["nll"] for point in curve]
    errors = [_half_width(point) for point in curve]
    elbo, bias = evaluation.get("elbo"), evaluation.get("remaining_bias")
    gain = evaluation.get("doubling_increment")

    def paint(figure: Figure) -> None:
        from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

        axes = figure.subplots()
        low = [nll - error for nll, error in zip(nlls, errors, strict=True)]
        high = [nll + error for nll, error in zip(nlls, errors, strict=True)]
        axes.fill_between(counts, low, high, color=BLUE, alpha=0.2, linewidth=0)
        axes.plot(counts, nlls, color=BLUE, marker="o")
        axes.set_xscale("log", base=2)
        # Every label is about as wide as one doubling of K where ten of them share the axis.
        step = -(-len(counts) // 12)
        axes.xaxis.set_major_locator(FixedLocator(counts[::-1][::step]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_xlabel("K, draws of the latent for each sentence (logarithmic)")
        axes.set_ylabel("nll, nats per sentence")
        levels = [*nlls, *(level for level in (*low, *high) if math.isfinite(level))]
        if elbo is not None:
            levels.append(elbo)
            axes.axhline(elbo, color=GREY, linestyle="--", linewidth=1.3)
            axes.annotate(
                f"minus the evidence lower bound {elbo:.3f}",
                (1, elbo),
                xycoords=("axes fraction", "data"),
                xytext=(0, -4),
                textcoords="offset points",
                ha="right",
                va="top",
                color=GREY,
            )
        if bias is not None:
            levels.append(nlls[-1] - bias)
            axes.axhline(nlls[-1] - bias, color=ORANGE, linestyle=":", linewidth=1.5)
            axes.annotate(
                f"nll less the remaining bias {nlls[-1] - bias:.3f}",
                (0, nlls[-1] - bias),
                xycoords=("axes fraction", "data"),
                xytext=(4, -4),
                textcoords="offset points",
                va="top",
                color=ORANGE,
            )
        if gain is not None:
            # The step down that the last doubling took.
            corner = ([counts[-1] / 2, counts[-1], counts[-1]], [nlls[-1] + gain] * 2 + [nlls[-1]])
            axes.plot(*corner, color=DARK, linewidth=1)
        room = 0.08 * (max(levels) - min(levels)) or 0.1
        axes.set_ylim(min(levels) - 1.5 * room, max(levels) + room)
        axes.annotate(
            _increment(evaluation, counts[-1]),
            (counts[-1], nlls[-1] + (gain or 0.0) / 2),
            xytext=(0.985, 0.82),
            textcoords="axes fraction",
            ha="right",
            va="top",
            color=DARK,
            linespacing=1.5,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.8, "shrinkB": 1},
        )

    alt = (
        f"The nll of {run.name} falls from {nlls[0]:.3f} at K = {counts[0]} to {nlls[-1]:.3f} "
        f"nats per sentence at K = {counts[-1]}."
    )
    name = picture_name("nll-by-draws", run, runs)
    return draw(name, (940, 430), paint, alt=alt, caption="")


def _increment(evaluation: dict[str, Any], count: int) -> str:
    """What is known of the doublings, a line each."""
    lines = [f"nll at K = {count:,}:  {evaluation['nll']:.3f}"]
    for key, before, after in (
        ("doubling_increment", "gained by the last doubling:", "D_K = "),
        ("doubling_ratio", "ratio to the doubling before:", "ρ = "),
        ("remaining_bias", "remaining bias:", "about "),
    ):
        value = quantity_text(quantity(key), evaluation, PAGE)
        lines.append(f"{before}  {value if value == PAGE.dash else after + value}")
    return "\n".join(lines)


def _half_width(point: dict[str, Any]) -> float:
    """Of the 95 % band; NaN, which leaves it out, where the error is not known."""
    error = point["standard_error"]
    return math.nan if error is None else 1.96 * error


def _table(curve: list[dict[str, Any]]) -> Table:
    rows = tuple(
        (
            f"{point['num_samples']:,.0f}",
            f"{point['nll']:.3f}",
            "–" if point["standard_error"] is None else f"{point['standard_error']:.3f}",
        )
        for point in curve
    )
    return Table(
        ("K", "nll", "Monte Carlo error"),
        rows,
        "In numbers, nats per sentence",
        folded=True,
    )
