# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The files of a corpus: one, those of a folder, or those that a pattern names."""

from __future__ import annotations

import difflib
import glob
import re
from pathlib import Path

from pyro_textvae import zoo
from pyro_textvae.data.data_file import COMPRESSIONS, format_of
from pyro_textvae.data.records import SPLITS, SplitName
from pyro_textvae.errors import UserError

SPLIT_NAMES: dict[str, SplitName] = {
    "train": "train",
    "valid": "valid",
    "dev": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
}
"""What a split is called in the names of files, and in data sets."""

# As train-00003-of-00128 and train.003: one of several files of a split.
_PART = re.compile(r"[-_.]\d+(-of-\d+)?$")


def is_format(path: Path) -> bool:
    """Whether the name of a file says that its format is one of the catalogue.

    >>> is_format(Path("train.parquet")), is_format(Path("train.txt.zst")), is_format(Path("a.doc"))
    (True, True, False)
    """
    return format_of(path).removeprefix(".") in zoo.names("formats")


def formats_listed() -> str:
    """The endings of the formats, for messages."""
    *first, last = [f".{name}" for name in zoo.names("formats")]
    return f"{', '.join(first)} or {last}"


def matching(location: str) -> list[Path]:
    """The files that a pattern names, in the order of their names; none where it is a path."""
    if Path(location).exists() or not glob.has_magic(location):
        return []
    paths = map(Path, glob.glob(location, recursive=True))
    return sorted(path for path in paths if path.is_file())


def is_without_splits(location: str) -> bool:
    """Whether what is here has no splits of its own: a file, or files that name none."""
    path = Path(location).expanduser()
    if path.is_dir():
        return not any(_split_of(file) for file in _of_format(path.iterdir()))
    many = matching(str(path))
    if many:
        return not any(map(_split_of, many))
    return is_format(path) and path.is_file()


def corpus_files(
    path: Path, file_split: SplitName | None, others: str
) -> dict[Path, SplitName | None]:
    """The files, and the split that each is; None for one that is split by its sentences.

    :param file_split: where all of files without splits goes.
    :param others: what else a corpus may be, for messages.
    :raises UserError: where there is none, where a split is missing, or of a wrong format.
    """
    many = matching(str(path))
    if path.is_dir() or many:
        files = _of_format(path.iterdir() if path.is_dir() else many)
        if any(map(_split_of, files)):
            if file_split is not None:
                raise UserError(
                    f"file_split={file_split!r} applies to one file, and {str(path)!r} is a folder"
                    " with splits of its own; leave it out"
                )
            return _split_files(path, files)
        if len(files) > 1:
            return dict.fromkeys(files, file_split)
        if files and many:
            return {files[0]: file_split}
        return _split_files(path, files)
    if not path.exists():
        near = difflib.get_close_matches(str(path), zoo.names("sources"), n=1)
        hint = f"did you mean {near[0]!r}? Else give" if near else "give"
        raise UserError(
            f"no such corpus: {str(path)!r}; {hint} {others}, a folder with train, valid and test "
            f"files, one {formats_listed()} file, a pattern of such files, or a source of your own "
            "as file.py:Class"
        )
    if not path.is_file():
        raise UserError(
            f"{str(path)!r} is no file but a pipe or a device, which cannot be read twice; copy "
            "what it gives into a file, or give - for standard input"
        )
    if not is_format(path):
        raise UserError(
            f"{str(path)!r} is not a {formats_listed()} file, which may end in "
            f"{', '.join(COMPRESSIONS)} too; rename or convert it"
        )
    return {path: file_split}


def _of_format(paths: object) -> list[Path]:
    return sorted(path for path in paths if is_format(path) and path.is_file())  # type: ignore


def _stem(path: Path) -> str:
    stem = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    return stem.stem


def _split_of(path: Path) -> SplitName | None:
    """The split that a file is named by."""
    return SPLIT_NAMES.get(_PART.sub("", _stem(path)).rsplit(".", 1)[-1].lower())


def _split_files(folder: Path, paths: list[Path]) -> dict[Path, SplitName | None]:
    files: dict[SplitName, list[Path]] = {split: [] for split in SPLITS}
    for path in paths:
        split = _split_of(path)
        if split is None:
            continue
        others = files[split]
        if others and not (_PART.search(_stem(path)) and _PART.search(_stem(others[0]))):
            raise UserError(
                f"{folder.name} has two files for {split}: {others[0].name} and {path.name};"
                " remove one"
            )
        others.append(path)
    for split in SPLITS:
        if not files[split]:
            raise UserError(
                f"{str(folder)!r} has no {split} file; add {split}.txt, {split}.tsv or"
                f" {split}.jsonl"
            )
    return {path: split for split in SPLITS for path in files[split]}
