# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae evaluate``."""

from __future__ import annotations

import glob
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyro_textvae.cli.run_options import RunOptions, check_split, parse_with_run
from pyro_textvae.errors import UserError


@dataclass
class EvaluateOptions(RunOptions):
    """Log-likelihood, bound, KL and information of a run on a split, into evaluation.json.

    Args:
        split: train, valid or test.
        data: other text to score with the run's tokenizer; by default the run's own corpus.
        text_column: column of a TSV or JSONL file that holds the sentence.
        num_samples: draws of the latents for each sentence.
        proposal: where they come from; guide, widened, adaptive, refined, or file.py:Class.
        proposal_options: settings of the proposal, as a JSON object.
        quasi_random: randomised quasi-Monte Carlo instead of independent draws.
        target_standard_error: go on with further rounds of draws for sentences above this error.
        most_rounds: rounds of draws, at most, with target_standard_error.
        batch_size: sentences in a batch.
        max_tokens: tokens decoded at once; bounds the memory. By default what suits the device.
        check: check the likelihood by annealing, on some of the sentences; takes minutes.
        report: write the pictures too, where what draws them is installed.
        out: file to write; by default evaluation.json in the run.

    """

    split: str = "test"
    data: str | None = None
    text_column: str | None = None
    num_samples: int = 100
    proposal: str = "guide"
    proposal_options: dict[str, Any] = field(default_factory=dict)
    quasi_random: bool = False
    target_standard_error: float | None = None
    most_rounds: int = 10
    batch_size: int = 32
    max_tokens: int | None = None
    check: bool = False
    report: bool = True
    out: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_samples", "batch_size", "max_tokens", "most_rounds"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, got {value}")
        error = self.target_standard_error
        if error is not None and not (math.isfinite(error) and error > 0):
            raise UserError(f"target_standard_error must be positive, got {error}")
        check_split(self.split)


def main(arguments: Sequence[str]) -> None:
    """Evaluate a run and print its table."""
    options = parse_with_run(EvaluateOptions, "evaluate", arguments)
    from pyro_textvae.evaluation.processes import joined_processes, rank_and_size
    from pyro_textvae.report import evaluation_table
    from pyro_textvae.run_evaluation import evaluate
    from pyro_textvae.sentence_table import sentence_table_path, write_sentence_table
    from pyro_textvae.training import RunFolder
    from pyro_textvae.training.files import write_json

    folder = RunFolder(options.run)
    out = Path(options.out) if options.out else folder.evaluation
    _check_place(options, out, folder.of_training)
    partial = out.with_suffix(".partial")
    with joined_processes():
        rank, _ = rank_and_size()
        try:
            found = evaluate(
                options.run,
                split=options.split,
                data=options.data,
                text_column=options.text_column,
                num_samples=options.num_samples,
                proposal=_proposal(options),
                quasi_random=options.quasi_random,
                target_standard_error=options.target_standard_error,
                most_rounds=options.most_rounds,
                batch_size=options.batch_size,
                max_tokens=options.max_tokens,
                seed=options.seed,
                device=options.device,
                partial=partial,
                checked=options.check,
            )
        except KeyboardInterrupt:
            print(f"finished sentences are kept in {partial}.*: the same command goes on from them")
            raise
    if rank > 0:
        return
    command = shlex.join(["pyro-textvae", "evaluate", *arguments])
    write_json(out, _plain({"command": command, **found.result}))
    write_sentence_table(
        sentence_table_path(out),
        found.result["evaluation_id"],
        found.likelihood.sentence_columns(),
    )
    for file in out.parent.glob(f"{glob.escape(partial.name)}.*"):
        file.unlink()
    print(evaluation_table(found.result))
    print(f"written to {out}")
    if options.report and out == folder.evaluation:
        _write_report(options)


def _write_report(options: EvaluateOptions) -> None:
    from pyro_textvae.report.run_report import is_drawable, write_report

    if not is_drawable():
        print(
            "for its pictures: pip install 'pyro-textvae[viz]', then pyro-textvae report "
            f"{options.run}"
        )
        return
    page = write_report([options.run], seed=options.seed, device=options.device)
    print(f"pictures in {page}")


def _check_place(options: EvaluateOptions, out: Path, of_training: Sequence[Path]) -> None:
    """Refuse a place where nothing can be written, or where the run itself is."""
    if out.resolve() in [path.resolve() for path in of_training]:
        raise UserError(f"--out {out} is a file of the run itself: choose another name")
    if options.out and not out.parent.is_dir():
        raise UserError(f"there is no folder {out.parent} to write {out.name} into: make it first")
    if out.is_dir():
        raise UserError(f"--out {out} is a folder: give the name of a file")
    if out.suffix != ".json":
        # What lies beside it is named after it.
        raise UserError(f"--out {out} must end in .json")


def _proposal(options: EvaluateOptions) -> Any:
    """The proposal of the settings.

    :raises UserError: for an option that it does not take.
    """
    from pyro_textvae import zoo
    from pyro_textvae.evaluation.proposal import Proposal

    used: set[str] = set()
    found = zoo.load("proposals", options.proposal)
    if not issubclass(found, Proposal):
        raise UserError(
            f"{options.proposal} is no proposal: derive it from "
            "pyro_textvae.evaluation.proposal.Proposal"
        )
    built = zoo.build(found, options.proposal_options, used)
    unknown = sorted(set(options.proposal_options) - used)
    if unknown:
        takes = ", ".join(name for name in vars(built)) or "none"
        raise UserError(
            f"the {options.proposal} proposal has no option {unknown[0]!r}; it takes: {takes}"
        )
    return built


def _plain(value: Any) -> Any:
    """JSON has no infinities and no NaN: null says that there is no such number."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
