# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae decompress``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyro_textvae.cli.file_options import (
    FileOptions,
    file_to_write,
    load_coding_run,
    parse_with_file,
    read_file,
)
from pyro_textvae.errors import UserError


@dataclass
class DecompressOptions(FileOptions):
    """Give back the file that compress made an archive of, to the byte."""


def main(arguments: Sequence[str]) -> None:
    """Write the text, once all of it is checked."""
    options = parse_with_file(DecompressOptions, "decompress", arguments)
    archive = read_file(options.file)
    out = options.out or options.file.removesuffix(".tvae")
    if out == options.file:
        raise UserError(f"{options.file} does not end in .tvae: say with --out where to write to")
    path = file_to_write(out, options.run, overwrite=options.overwrite)
    from pyro_textvae.compression import decompress
    from pyro_textvae.run_folder.files import write_bytes

    run = load_coding_run(options)
    try:
        text = decompress(run.model, run.guide, run.tokenizer, archive, run=run.weights_sha256)
    except UserError as error:
        raise UserError(f"cannot decompress {options.file}: {error}") from error
    write_bytes(path, text)
    print(f"written to {path}: {len(text):,} bytes, the very ones that were compressed")
