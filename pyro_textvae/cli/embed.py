# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae embed``."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_textvae.cli.run_options import RunOptions, parse_with_run_and_texts
from pyro_textvae.config.checks import at_least, setting
from pyro_textvae.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

_KINDS = (".npz", ".parquet")


@dataclass
class EmbedOptions(RunOptions):
    """Sentences as vectors, in order: the posterior means of RUN TEXT, or of a file's lines.

    Args:
        text_file: a file with a sentence a line, in the place of arguments; - for standard input.
        source: what the sentences are conditioned on, in a model that takes a source.
        label: of the sentences, in a model that takes labels; without it the guide infers it.
        labels_from: a file with such a label a line, one for each text.
        out: a file to write, .npz or .parquet; without it, a JSON object a line is printed.
        variances: write the variance of each posterior beside its mean.
        batch_size: sentences at once.

    """

    text_file: str | None = None
    source: str | None = None
    label: str | None = None
    labels_from: str | None = None
    out: str | None = None
    variances: bool = False
    batch_size: int = setting(256, at_least(1))


def main(arguments: Sequence[str]) -> None:
    """Write or print the vectors."""
    options, texts = parse_with_run_and_texts(EmbedOptions, "embed", arguments)
    if options.out is not None:
        _check_out(options.out)
    from pyro_textvae import runs
    from pyro_textvae.cli.given_texts import batch_with, fields_beside, given_texts, rows_of
    from pyro_textvae.cli.progress import shown
    from pyro_textvae.cli.sentences import encode_text
    from pyro_textvae.generation.latent_space import embed
    from pyro_textvae.special_tokens import UNK

    texts = given_texts("embed", texts, options.text_file)
    model, guide, tokenizer = runs.load_run(
        options.run, device=options.device, trust_code=options.trust_code
    )
    fields = fields_beside(model, guide, tokenizer, options, size=len(texts))
    rows = [encode_text(tokenizer, text) for text in texts]
    unknown = sum(row.count(UNK) for row in rows)
    if unknown:
        total = sum(map(len, rows)) - len(rows)
        print(f"{unknown:,} of {total:,} tokens are unknown to the model", file=sys.stderr)
    size = options.batch_size
    batches = (
        batch_with(rows[start : start + size], rows_of(fields, start, start + size))
        for start in range(0, len(rows), size)
    )
    parts: Iterator[dict[str, Tensor]] = (
        part.points | {f"{name}_variance": value for name, value in part.variances.items()}
        for part in embed(
            guide,
            shown(list(batches), "embed"),
            variances=options.variances,
            seed=options.seed,
        )
    )
    if options.out is None:
        _print(texts, parts)
        return
    _write(Path(options.out), texts, list(parts))
    print(f"{len(texts):,} sentences written to {options.out}", file=sys.stderr)


def _check_out(out: str) -> None:
    kind = Path(out).suffix
    if kind not in _KINDS:
        raise UserError(f"out must end in {' or '.join(_KINDS)}, got {out}")
    if kind == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError(
            f"to write {out} takes pyarrow, which is not installed: pip install pyarrow, or give "
            "a name that ends in .npz"
        )
    if not Path(out).expanduser().parent.is_dir():
        raise UserError(f"the folder of {out} does not exist: make it first")


def _print(texts: Sequence[str], parts: Iterator[Mapping[str, Tensor]]) -> None:
    given = iter(texts)
    for part in parts:
        lists = {name: value.tolist() for name, value in part.items()}
        for row in range(len(next(iter(lists.values())))):
            record = {"text": next(given)} | {name: value[row] for name, value in lists.items()}
            print(json.dumps(record, ensure_ascii=False))
            sys.stdout.flush()


def _write(path: Path, texts: Sequence[str], parts: Sequence[Mapping[str, Tensor]]) -> None:
    import numpy as np
    import torch

    from pyro_textvae.run_folder.files import write_atomically

    columns = {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}

    def save(file: Path) -> None:
        if path.suffix == ".npz":
            with file.open("wb") as opened:
                write: Any = np.savez
                write(opened, **columns)
            return
        pyarrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
        lists = {name: pyarrow.array(value.tolist()) for name, value in columns.items()}
        parquet.write_table(pyarrow.table({"text": list(texts)} | lists), file)

    write_atomically(path.expanduser(), save)
