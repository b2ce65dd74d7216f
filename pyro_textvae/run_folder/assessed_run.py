# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The last assessment of the text of a run, read back and checked."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Any

from pyro_textvae.errors import UserError
from pyro_textvae.run_folder.folder import RunFolder
from pyro_textvae.run_folder.weights_hash import weights_hash

_WORDS = ("title", "label", "material", "unit", "note", "column", "better")
_MOST_DIGITS = 9


class AssessmentError(UserError):
    """An assessment that is missing, damaged or of other weights than the run has now.

    :param reason: what is wrong, without a full stop.
    :param command: what to run to put it right.
    """

    def __init__(self, reason: str, command: str) -> None:
        super().__init__(f"{reason}: {command}")
        self.reason = reason
        self.command = command


def assess_command(path: str | Path | RunFolder) -> str:
    """The command that assesses a run.

    >>> assess_command("runs/a b")
    "pyro-textvae assess 'runs/a b'"
    """
    return f"pyro-textvae assess {shlex.quote(str(path))}"


def read_assessment(path: str | Path | RunFolder) -> dict[str, Any]:
    """What ``generation.json`` of a run holds.

    :raises AssessmentError: when the run is not assessed, the file is damaged, or it is of other
        weights than the run has now.
    """
    folder = RunFolder.of(path)
    file, command = folder.generation, assess_command(path)
    if not file.is_file():
        raise AssessmentError(f"the text of {path} has not been assessed", command)
    try:
        assessment = json.loads(file.read_bytes())
    except ValueError as error:
        raise AssessmentError(f"{file} is damaged (not JSON)", command) from error
    damage = _damage(assessment)
    if damage is not None:
        raise AssessmentError(f"{file} is damaged ({damage})", command)
    assessed, present = assessment.get("weights_sha256"), weights_hash(folder)
    if assessed is not None and present is not None and assessed != present:
        raise AssessmentError(
            f"the assessment of {path} is of other weights than the run has now, which was trained "
            "further or again",
            command,
        )
    return assessment


def _damage(assessment: Any) -> str | None:
    """What is wrong with the contents; None where nothing is."""
    if not isinstance(assessment, dict):
        return "not a JSON object"
    kinds = {"numbers": dict, "materials": dict, "settings": dict, "examples": list}
    kinds |= {"remarks": list, "left_out": list}
    for name, kind in kinds.items():
        if not isinstance(assessment.get(name), kind):
            return f"{name} is {assessment.get(name)!r:.60}"
    judge = assessment["settings"].get("language_model")
    if not isinstance(judge, str | None):
        return f"language_model is {judge!r:.60}"
    for name, number in assessment["numbers"].items():
        if not (isinstance(number, dict) and _is_number(number)):
            return f"{name} is {number!r:.60}"
    for each in (*assessment["materials"].values(), *assessment["examples"]):
        if not isinstance(each, dict):
            return f"{each!r:.60} in materials or examples"
    return None


def _is_number(number: dict[str, Any]) -> bool:
    interval, digits = number.get("interval"), number.get("digits")
    return (
        all(isinstance(number.get(key), str) for key in _WORDS)
        and all(_is_real(number.get(key)) for key in ("value", "real"))
        and (
            interval is None
            or (isinstance(interval, list) and len(interval) == 2 and all(map(_is_real, interval)))
        )
        and type(digits) is int
        and 0 <= digits <= _MOST_DIGITS
        and type(number.get("num_sentences")) is int
    )


def _is_real(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and math.isfinite(value))
