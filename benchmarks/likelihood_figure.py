# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Error against decoder evaluations, of one run or several, from what ``likelihood.py`` wrote.

``python benchmarks/likelihood_figure.py OUT.svg ERRORS.json [ERRORS.json ...]``
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

MARKS = {
    "guide": ("o", "#9a9a9a"),
    "widened": ("v", "#c2a5cf"),
    "adaptive": ("^", "#7b3294"),
    "refined": ("s", "#d8a02c"),
    "mixture": ("D", "#1b7837"),
    "annealed": ("P", "#b2182b"),
    "auto": ("*", "#2166ac"),
}


def main() -> None:
    """Draw the files that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("errors", type=Path, nargs="+")
    options = parser.parse_args()
    records = [json.loads(path.read_text(encoding="utf-8")) for path in options.errors]
    draw(records, options.out)


def draw(records: Sequence[dict[str, Any]], out: Path) -> None:
    """One panel a run, both axes logarithmic; lines join the numbers of draws of a proposal."""
    # Text as text, and the same file from the same numbers.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "likelihood", "font.size": 9})
    width = 3.1 * len(records) + 0.9
    figure, axes = plt.subplots(
        1, len(records), figsize=(width, 3.2), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, record in zip(axes[0], records, strict=True):
        for name, (mark, colour) in MARKS.items():
            rows = [row for row in record["rows"] if row["proposal"] == name]
            places = [row["decoder_evaluations"] for row in rows]
            errors = [row["error"] for row in rows]
            if rows:
                axis.plot(places, errors, marker=mark, color=colour, label=name, lw=1, ms=6)
        axis.set(xscale="log", yscale="log", xlabel="decoder evaluations a sentence")
        axis.set_title(f"{record['run']}, {record['sentences']} sentences", fontsize=9)
        axis.grid(which="both", color="#e6e6e6", lw=0.5)
    axes[0][0].set_ylabel("error of a sentence, nats")
    handles = {
        label: handle
        for axis in axes[0]
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside right center", frameon=False)
    figure.savefig(out, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
