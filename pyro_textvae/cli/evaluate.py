# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae evaluate``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyro_textvae.cli.output import check_beside_run, print_beside, print_table
from pyro_textvae.cli.run_options import RunOptions, parse_with_run
from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.errors import UserError


@dataclass
class EvaluateOptions(EvaluationConfig, RunOptions):
    """Log-likelihood, bound, KL and information of a run on a split, into evaluation.json.

    Args:
        report: write the pictures too, where what draws them is installed.
        json: print the numbers as a JSON object in the place of the table.
        out: file to write; by default evaluation.json in the run.

    """

    report: bool = True
    json: bool = False
    out: str | None = None


def main(arguments: Sequence[str]) -> None:
    """Evaluate a run and print its table."""
    options = parse_with_run(EvaluateOptions, "evaluate", arguments)
    from pyro_textvae.processes import joined_processes, rank_and_size
    from pyro_textvae.report import evaluation_table
    from pyro_textvae.run_folder import RunFolder
    from pyro_textvae.runs.evaluate import evaluate, partial_of, write_evaluation

    folder = RunFolder(options.run)
    out = Path(options.out) if options.out else folder.evaluation
    _check_place(options, out, folder.of_training)
    with joined_processes():
        rank, _ = rank_and_size()
        try:
            evaluation = evaluate(
                options.run, options, partial=partial_of(out), trust_code=options.trust_code
            )
        except KeyboardInterrupt:
            print(
                f"finished sentences are kept in {partial_of(out)}.*: the same command goes on "
                "from them"
            )
            raise
    if rank > 0:
        return
    command = shlex.join(["pyro-textvae", "evaluate", *arguments])
    write_evaluation(out, evaluation, options, command)
    result = evaluation.result
    print_table(evaluation_table(result), result, as_json=options.json)
    print_beside(f"written to {out}", as_json=options.json)
    if options.report and out == folder.evaluation:
        _write_report(options)


def _write_report(options: EvaluateOptions) -> None:
    from pyro_textvae.report.run_report import is_drawable, write_report

    if not is_drawable():
        print_beside(
            "for its pictures: pip install 'pyro-textvae[viz]', then pyro-textvae report "
            f"{options.run}",
            as_json=options.json,
        )
        return
    page = write_report(
        [options.run], seed=options.seed, device=options.device, trust_code=options.trust_code
    )
    print_beside(f"pictures in {page}", as_json=options.json)


def _check_place(options: EvaluateOptions, out: Path, of_training: Sequence[Path]) -> None:
    """Refuse a place where nothing can be written, or where the run itself is."""
    check_beside_run(out, of_training, is_in_run=not options.out)
    if out.suffix != ".json":
        # What lies beside it is named after it.
        raise UserError(f"--out {out} must end in .json")
    if options.out:
        _check_length(out)


def _check_length(out: Path) -> None:
    """Refuse a name that is too long for the longer ones of the files beside it."""
    from pyro_textvae.run_folder.files import unfinished
    from pyro_textvae.run_folder.sentence_table import sentence_table_path
    from pyro_textvae.runs.evaluate import partial_of

    written = [out, sentence_table_path(out), partial_of(out).with_suffix(".partial.00000")]
    needed = max(len(os.fsencode(unfinished(path).name)) for path in written)
    most = os.pathconf(out.parent, "PC_NAME_MAX")
    if needed > most:
        raise UserError(
            f"--out {out.name[:40]}... is a name too long: the files beside it would have names of "
            f"{needed} bytes, where {most} are the most; give a name that is {needed - most} bytes "
            "shorter"
        )
