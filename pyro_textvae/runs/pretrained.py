# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the pre-trained parts of a run are built from: kept in the run, each once, by its hash."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from torch import nn

from pyro_textvae import zoo
from pyro_textvae.data.hugging_face import ModelFolder
from pyro_textvae.data.hugging_face.folder import digest_of_files
from pyro_textvae.errors import UserError
from pyro_textvae.nn.hugging_face.pretrained import Pretrained
from pyro_textvae.run_folder import RunFolder

KEPT = "pretrained"
"""The folder of a run that holds its copies of pre-trained models, in folders named by hash."""

_HASH_LENGTH = 16


def keep_pretrained(specs: Mapping[str, str], folder: RunFolder) -> dict[str, str]:
    """Copy the folders that ``specs`` name as ``hf:PATH`` into a run, and name the copies.

    So a run stays what it is whatever becomes of the folders outside: weights that are not trained
    are in no other file of it. Of a tokenizer, no weights are copied.

    :param specs: names of the parts and of the tokenizer, by setting.
    :raises UserError: for a folder that lacks a file.
    """
    kept = dict(specs)
    for setting, spec in specs.items():
        path = zoo.pretrained_path(spec)
        if path is None:
            continue
        model = ModelFolder(path)
        files = model.tokenizer_files if setting == "tokenizer" else model.model_files
        place = Path(KEPT) / digest_of_files(files)[:_HASH_LENGTH]
        copy = folder.path / place
        if not copy.is_dir():
            copy.mkdir(parents=True)
            for file in files:
                shutil.copyfile(file, copy / file.name)
        kept[setting] = f"{zoo.PRETRAINED}:{place.as_posix()}"
    return kept


def check_named(modules: nn.Module, specs: Mapping[str, str | None]) -> None:
    """Refuse a pre-trained model that a program reads by itself: no run would keep it.

    :param specs: names of the parts.
    :raises UserError: with how to name it.
    """
    paths = [zoo.pretrained_path(spec) for spec in specs.values() if spec is not None]
    named = {ModelFolder(path).path.resolve() for path in paths if path is not None}
    for module in modules.modules():
        if isinstance(module, Pretrained) and module.folder.path.resolve() not in named:
            raise UserError(
                f"a part of this run reads {module.folder} by itself, and the run would not keep "
                f"it: let the program take a decoder or an encoder, and give it as --decoder "
                f"{module.folder} or --encoder {module.folder}"
            )


def check_kept(run: Path, place: str) -> None:
    """Refuse a run's copy of a pre-trained model that is not what the run was made of.

    :param place: in the run.
    :raises UserError: when a file of it is missing or changed.
    """
    folder = run / place
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    stamps = tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    if _digest(tuple(files), stamps)[:_HASH_LENGTH] != folder.name:
        raise UserError(
            f"{folder} is not the pre-trained model that {run} was made of, by its hash: put the "
            "run's own files back"
        )


@lru_cache
def _digest(files: tuple[Path, ...], stamps: tuple[tuple[int, int], ...]) -> str:
    """The digest, which is of the files as of their stamps."""
    del stamps
    return digest_of_files(list(files))
