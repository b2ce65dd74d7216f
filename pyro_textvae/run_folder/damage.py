# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Values in the files of a run that no evaluation or training writes there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pyro_textvae.run_folder.quantities import QUANTITIES
from pyro_textvae.run_folder.quantity import stored


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _list_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or (isinstance(value, list) and all(map(holds, value)))


def _is_mapping(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _is_row(value: Any) -> bool:
    """A mapping of numbers, flags and names, as a point of a curve is."""
    return isinstance(value, dict) and all(
        _is_number(each) or isinstance(each, str | bool) for each in value.values()
    )


def _is_topic(value: Any) -> bool:
    """A mapping of the numbers of a topic, and its words."""
    if not isinstance(value, dict) or not _list_of(_is_text)(value.get("words")):
        return False
    return _is_row({name: each for name, each in value.items() if name != "words"})


def _is_environment(value: Any) -> bool:
    return _is_mapping(value) and _is_mapping((value or {}).get("packages"))


_BESIDES_QUANTITIES: dict[str, Callable[[Any], bool]] = {
    "kl_per_dimension": _list_of(_is_number),
    "unit_variance": _list_of(_is_number),
    "borderline_units": _list_of(_is_number),
    "curve": _list_of(lambda point: _is_row(point) and _is_number(point.get("nll", ""))),
    "proposals": _list_of(_is_row),
    "warnings": _list_of(_is_text),
    "notes": _list_of(_is_text),
    "text_warnings": _list_of(_is_text),
    "beside_text": _list_of(_is_text),
    "settings": _is_mapping,
    "proposal": _is_text,
    "proposal_settings": _is_mapping,
    "summed_out": _is_mapping,
    "environment": _is_environment,
    "check": _is_mapping,
    "topics.topics": _list_of(_is_topic),
    **dict.fromkeys(("command", "run", "model", "guide", "data", "split", "units"), _is_text),
    **dict.fromkeys(("corpus_fingerprint", "evaluation_id", "weights_sha256"), _is_text),
}


def damaged_name(evaluation: Mapping[str, Any]) -> str | None:
    """The first name under which an evaluation holds what none writes there; None for none.

    >>> damaged_name({"nll": 1.5, "warnings": ["few draws"], "kl_per_dimension": [0.5, {}]})
    'kl_per_dimension'
    """
    for quantity in QUANTITIES:
        if quantity.of is None:
            value = stored(evaluation, quantity.name)
            if type(value) not in (*quantity.types, type(None)):
                return quantity.name
    for name, holds in _BESIDES_QUANTITIES.items():
        if not holds(stored(evaluation, name)):
            return name
    lengths = {
        len(evaluation.get(name) or ()) for name in ("kl_per_dimension", "unit_variance")
    } - {0}
    return "unit_variance" if len(lengths) > 1 else None


def is_epoch(row: Any) -> bool:
    """Whether a line of ``metrics.jsonl`` is that of an epoch, and whole."""
    if not _is_row(row) or row.get("kind") != "epoch":
        return False
    return type(row.get("epoch")) is int and type(row.get("valid_elbo")) in (int, float)
