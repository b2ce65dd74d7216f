# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Labels that a user names, as the model has them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pyro_textvae.contract import LABELS
from pyro_textvae.data.text_lines import lines
from pyro_textvae.errors import UserError
from pyro_textvae.infer.simulate import named_fields
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.load import read_run

_MOST_LISTED = 20


def names_of_labels(run: str | Path) -> tuple[str, ...]:
    """The labels that a run was trained with, in the order of their indices.

    :raises UserError: for a run without labels.
    """
    names = read_run(RunFolder(run)).label_names
    if not names:
        raise UserError(
            f"{run} was trained on text without labels: leave them out, or train a model of labels "
            "on text that has them, such as --model labelled_vae --label-column NAME"
        )
    return tuple(names)


def read_labels(
    model: nn.Module, run: str | Path, label: str | None, labels_from: str | None = None
) -> list[str]:
    """The labels that a user gives, of ``label`` or of the lines of ``labels_from``.

    :raises UserError: for both, for a model that takes none, for one that it was not trained with,
        and for a file that cannot be read or has no line.
    """
    if label is None and labels_from is None:
        return []
    if label is not None and labels_from is not None:
        raise UserError("label and labels_from both say what the label is: give one")
    setting = "labels_from" if label is None else "label"
    if LABELS not in named_fields(model):
        raise UserError(
            f"the model of {run} takes no labels, so {setting} would do nothing: leave it out"
        )
    names = names_of_labels(run)
    if label is not None:
        return [_check_name(label, names, setting)]
    try:
        given = [text.strip() for _, text in lines(Path(str(labels_from)).expanduser())]
    except OSError as error:
        raise UserError(f"cannot read {labels_from}: {error.strerror or error}") from error
    given = [text for text in given if text]
    if not given:
        raise UserError(f"{labels_from} has no line with a label: give at least one")
    return [_check_name(text, names, f"{labels_from}: label") for text in given]


def repeated_labels(run: str | Path, labels: Sequence[str], times: int) -> dict[str, Tensor]:
    """A condition with each label so many times."""
    names = names_of_labels(run)
    indices = torch.tensor([names.index(label) for label in labels])
    return {LABELS: indices.repeat_interleave(times)}


def _check_name(label: str, names: Sequence[str], setting: str) -> str:
    if label not in names:
        near = difflib.get_close_matches(label, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        shown = ", ".join(names[:_MOST_LISTED]) + (", ..." if len(names) > _MOST_LISTED else "")
        raise UserError(f"{setting} must be one of {shown}, got {label!r}{hint}")
    return label
