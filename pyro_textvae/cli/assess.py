# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae assess``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyro_textvae.cli.output import check_beside_run, print_beside, print_table
from pyro_textvae.cli.run_options import RunOptions, parse_with_run
from pyro_textvae.config.assess import AssessmentConfig
from pyro_textvae.errors import UserError

if TYPE_CHECKING:
    from pyro_textvae.run_folder import RunFolder


@dataclass
class AssessOptions(AssessmentConfig, RunOptions):
    """How good the text of a run is: reconstructions, samples and replies, into generation.json.

    Args:
        json: print the numbers as a JSON object in the place of the table.
        out: file to write; by default generation.json in the run.

    """

    json: bool = False
    out: str | None = None


def main(arguments: Sequence[str]) -> None:
    """Assess the text of a run and print its table."""
    # A field cannot be called from, which is a word of Python's.
    given = [
        f"--latents-from{text[6:]}" if text.partition("=")[0] == "--from" else text
        for text in arguments
    ]
    options = parse_with_run(AssessOptions, "assess", given)
    from pyro_textvae.cli.one_process import refuse_several

    refuse_several("assess")
    from pyro_textvae.assessment.assess import assess
    from pyro_textvae.report.generation_table import generation_table
    from pyro_textvae.run_folder import RunFolder
    from pyro_textvae.run_folder.files import write_json

    folder = RunFolder(options.run)
    out = Path(options.out) if options.out else folder.generation
    _check_place(out, folder)
    assessment = assess(options.run, options, trust_code=options.trust_code)
    command = shlex.join(["pyro-textvae", "assess", *arguments])
    write_json(out, {"command": command, **assessment})
    print_table(generation_table(assessment), assessment, as_json=options.json)
    print_beside(f"written to {out}", as_json=options.json)


def _check_place(out: Path, folder: RunFolder) -> None:
    of_run = (*folder.of_training, folder.evaluation, folder.sentences)
    check_beside_run(out, of_run, is_in_run=out == folder.generation)
    if out.suffix != ".json":
        raise UserError(f"--out {out} must end in .json")
