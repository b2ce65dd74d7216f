# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""From the names of labels to their indices, in one pass over the sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyro_textvae.contract import NOT_GIVEN
from pyro_textvae.data.records import Record
from pyro_textvae.errors import UserError

_MOST_LISTED = 20


class LabelNames:
    """Number labels as they come; their final order is known when the last one was read.

    :param given: the labels in the order of their indices, where that is decided already; by
        default the sorted labels of the train split, or of a text that is another split alone.
    """

    def __init__(self, given: Sequence[str] | None = None) -> None:
        self._given = given
        self._numbers: dict[str, int] = {}
        self._of_train: set[str] = set()
        self._outside: dict[str, str] = {}
        self._has_train = False

    def state(self) -> dict[str, Any]:
        """What was read so far, fit for JSON."""
        return {
            "numbers": self._numbers,
            "of_train": sorted(self._of_train),
            "outside": self._outside,
            "has_train": self._has_train,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` said."""
        self._numbers = dict(state["numbers"])
        self._of_train = set(state["of_train"])
        self._outside = dict(state["outside"])
        self._has_train = state["has_train"]

    def index(self, record: Record) -> int:
        """The number of a record's label, in the order of first appearance; -1 for none.

        :raises UserError: for a label that is not among those that are given.
        """
        label = record.label
        self._has_train |= record.split == "train"
        if label is None:
            return NOT_GIVEN
        if self._given is not None and label not in self._given:
            raise UserError(
                f"{record.place} has the label {label!r}, and the model was trained on"
                f" {_listed(self._given)}; leave such sentences out, or their label empty"
            )
        if record.split == "train":
            self._of_train.add(label)
        else:
            self._outside.setdefault(label, record.place)
        return self._numbers.setdefault(label, len(self._numbers))

    def names(self, column: str | None) -> tuple[str, ...] | None:
        """The labels in the order of their indices; None for a corpus without any.

        :param column: the column that they were to be read from, if one was named.
        :raises UserError: for a label that no sentence of the train split has, and for a column
            without a label there.
        """
        if self._given is not None:
            return tuple(self._given)
        if self._outside and not self._has_train:
            return tuple(sorted(self._outside))
        for label, place in self._outside.items():
            if label not in self._of_train:
                raise UserError(
                    f"{place} has the label {label!r}, which no sentence of the train split has"
                    f" ({_listed(sorted(self._of_train))}); add one there, leave this one out, or"
                    " its label empty"
                )
        if not self._of_train:
            if column is None:
                return None
            raise UserError(
                f"label_column={column!r}: no sentence of the train split has a label there; set it"
                " to the column of the labels, or leave it out"
            )
        return tuple(sorted(self._of_train))

    def order(self, names: Sequence[str]) -> list[int]:
        """The index in ``names`` of each label in the order of first appearance."""
        places = {name: index for index, name in enumerate(names)}
        return [places[label] for label in self._numbers]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_LISTED]) or "it has none"
    return f"{shown}, ..." if len(names) > _MOST_LISTED else shown
