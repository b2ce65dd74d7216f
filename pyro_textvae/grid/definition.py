# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A grid of runs: the cross product of the settings that a YAML file gives."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from pyro_textvae.config.checks import check_argument
from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.reading import build_settings, refuse_unknown
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.config.yaml_loader import OneOfEachLoader
from pyro_textvae.errors import UserError
from pyro_textvae.run_folder import RunFolder

KEYS = ("out", "settings", "axes", "seeds", "evaluation", "gradient_draws", "reference")
_TRAINING = [field.name for field in fields(TrainConfig)]
_SCALAR = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class GridRun:
    """One run of a grid.

    :param cell: the members of the axes that it stands for, joined: what its seeds have in common.
    :param members: name of the member of each axis, by the name of the axis.
    :param folder: where the run is, or will be.
    """

    cell: str
    members: dict[str, str]
    config: TrainConfig
    folder: Path

    @property
    def name(self) -> str:
        """Cell and seed; the name of the folder."""
        return self.folder.name

    @cached_property
    def files(self) -> RunFolder:
        """What the folder holds; what does not change is read once."""
        return RunFolder(self.folder)


@dataclass(frozen=True)
class Grid:
    """Every run of a grid, and what is to be measured of each.

    :param out: folder of the runs and of the tables.
    :param runs: all cells of the first seed, then all of the second: a grid that is stopped has
        whole cells to compare.
    :param gradient_draws: draws for the signal-to-noise ratio of the gradient; 0 for none.
    :param description: the mapping that the grid was read from.
    :param reference: the cell that all others are compared with; None for the best.
    """

    out: Path
    runs: list[GridRun]
    evaluation: EvaluationConfig
    gradient_draws: int
    description: dict[str, Any]
    reference: str | None = None

    def __post_init__(self) -> None:
        if self.reference is not None and self.reference not in self.cells:
            raise UserError(
                f"reference {self.reference!r} is no cell of the grid: one of "
                f"{', '.join(self.cells)}"
            )

    @property
    def cells(self) -> list[str]:
        """Names of the cells, in the order of the axes."""
        return list(dict.fromkeys(run.cell for run in self.runs))


def read_grid(source: str | Path | Mapping[str, Any]) -> Grid:
    """Read a grid from a YAML file, or from the mapping that such a file holds.

    :raises UserError: for anything unknown or wrong, with the cell that it is in.

    >>> axes = {"objective": {"elbo": {}, "iwae_8": {"objective": "iwae", "num_particles": 8}}}
    >>> grid = read_grid({"out": "runs/grid", "axes": axes, "seeds": [0, 1]})
    >>> [run.name for run in grid.runs]
    ['elbo-seed0', 'iwae_8-seed0', 'elbo-seed1', 'iwae_8-seed1']
    """
    if isinstance(source, Mapping):
        where, content = "the grid", dict(source)
    else:
        where = check_argument("the grid", source, str)
        content = _read_yaml(Path(where))
    refuse_unknown(content, KEYS, where)
    if not isinstance(content.get("out"), str | Path) or not str(content["out"]):
        raise UserError(f"{where} needs out: the folder of its runs, such as runs/objectives")
    out = Path(content["out"])
    draws = content.get("gradient_draws", 100)
    if type(draws) is not int or (draws != 0 and draws < 2):
        raise UserError(f"{where}: gradient_draws must be at least 2, or 0 for none, got {draws!r}")
    evaluation = _mapping(content, "evaluation", where)
    return Grid(
        out=out,
        runs=_runs(content, where, out),
        evaluation=build_settings(EvaluationConfig, evaluation, f"{where}, evaluation"),
        gradient_draws=draws,
        description={**content, "out": str(out)},
        reference=content.get("reference"),
    )


def _runs(content: Mapping[str, Any], where: str, out: Path) -> list[GridRun]:
    common = _mapping(content, "settings", where)
    refuse_unknown(common, _TRAINING, f"{where}, settings")
    _refuse_seed(common, f"{where}, settings")
    axes = {
        str(axis): _members(str(axis), values, f"{where}, axis {axis}")
        for axis, values in _mapping(content, "axes", where).items()
    }
    given = _mapping(content, "axes", where).items()
    lists = {str(axis) for axis, values in given if isinstance(values, list)}
    runs: dict[str, GridRun] = {}
    for seed in _seeds(content, where):
        for combination in itertools.product(*(members.items() for members in axes.values())):
            members = dict(zip(axes, (name for name, _ in combination), strict=True))
            cell = _cell_name(members, axes, where)
            place = f"{where}, cell {cell}"
            of_cell = _joined([settings for _, settings in combination], list(axes), place)
            values = {**common, **of_cell, "seed": seed}
            if "options" in common and "options" in of_cell:
                values["options"] = {**_options(common, place), **_options(of_cell, place)}
            name = f"{cell}-seed{seed}"
            if name in runs:
                raise UserError(
                    f"{where}: two runs have the name {name}: give every member its own"
                )
            config = build_settings(TrainConfig, values, place)
            # Members of a mapping have names of the user's, who may want two that are equal.
            named = {axis: members[axis] for axis in axes if axis not in lists}
            for run in runs.values():
                if run.config == config and named.items() <= run.members.items():
                    raise UserError(
                        f"{where}: cells {run.cell} and {cell} have the same settings: leave one "
                        "of them out"
                    )
            runs[name] = GridRun(cell, members, config, out / name)
    return list(runs.values())


def _members(axis: str, values: Any, where: str) -> dict[str, dict[str, Any]]:
    """Settings of each member of an axis, by its name."""
    if not values or not isinstance(values, list | Mapping):
        raise UserError(
            f"{where} must be a list of values, or a mapping of names to settings, got {values!r}"
        )
    if isinstance(values, Mapping):
        members = {str(name): {} if given is None else given for name, given in values.items()}
        for name, settings in members.items():
            if not isinstance(settings, Mapping):
                raise UserError(f"{where}: {name} must be a mapping of settings, got {settings!r}")
            refuse_unknown(settings, _TRAINING, f"{where}: {name}")
            _refuse_seed(settings, f"{where}: {name}")
        return {name: dict(settings) for name, settings in members.items()}
    refuse_unknown([axis], _TRAINING, f"{where}: train")
    _refuse_seed([axis], where)
    members = {}
    for value in values:
        if not isinstance(value, _SCALAR):
            raise UserError(f"{where}: {value!r} has no name: write name: settings instead of -")
        name = _label(value)
        if name in members:
            raise UserError(f"{where}: two members have the name {name}: give every one its own")
        members[name] = {axis: value}
    return members


def _label(value: Any) -> str:
    """A value as a part of a folder's name."""
    plain = str(value) if isinstance(value, str) else yaml.safe_dump(value).split("\n")[0]
    return re.sub(r"[^\w.+=-]+", "_", plain)


def _cell_name(members: dict[str, str], axes: Mapping[str, Mapping], where: str) -> str:
    """The members joined, without those that all cells share, unless there is nothing else."""
    varying = [name for axis, name in members.items() if len(axes[axis]) > 1]
    name = "-".join(varying or members.values()) or "run"
    if not re.fullmatch(r"\w[\w.+=-]*", name):
        raise UserError(
            f"{where}: {name!r} cannot name a folder: name its members with letters, digits and "
            "any of . + = - _"
        )
    return name


def _joined(parts: list[dict[str, Any]], axes: list[str], where: str) -> dict[str, Any]:
    """The settings of all members of a cell; no two axes may give the same one."""
    joined: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for axis, part in zip(axes, parts, strict=True):
        flat = {key: value for key, value in part.items() if key != "options"}
        options = _options(part, where) if "options" in part else {}
        for name in (*flat, *(f"options.{key}" for key in options)):
            if name in origin:
                raise UserError(f"{where}: {name} is given by both {origin[name]} and {axis}")
            origin[name] = axis
        joined |= flat
        if "options" in part:
            joined["options"] = {**joined.get("options", {}), **options}
    return joined


def _options(settings: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    options = settings["options"]
    if not isinstance(options, Mapping):
        raise UserError(f"{where}: options must be a mapping, got {options!r}")
    return options


def _seeds(content: Mapping[str, Any], where: str) -> list[int]:
    seeds = content.get("seeds", [0])
    if not isinstance(seeds, list) or not seeds or any(type(seed) is not int for seed in seeds):
        raise UserError(f"{where}: seeds must be a list of whole numbers, got {seeds!r}")
    return seeds


def _refuse_seed(names: Any, where: str) -> None:
    if "seed" in names:
        raise UserError(f"{where}: the seed is no setting of a cell: write seeds: [0, 1] instead")


def _mapping(content: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = content.get(key)
    value = {} if value is None else value
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: {key} must be a mapping, got {value!r}")
    return value


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=OneOfEachLoader)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: write it as YAML in UTF-8") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {path}: {reason}; give a YAML file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark else ""
        reason = getattr(error, "problem", None) or "not YAML"
        raise UserError(f"cannot read {path}{place}: {reason}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a mapping: it has out, settings, axes, seeds, evaluation")
    return content
