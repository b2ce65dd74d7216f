# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae augment``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pyro_textvae.cli.output import check_apart_from_runs, write_or_print
from pyro_textvae.cli.run_options import RunOptions, parse_with_run
from pyro_textvae.config.checks import FINITE, POSITIVE, SHARE, Member, at_least, setting
from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.errors import UserError


@dataclass
class AugmentOptions(RunOptions):
    """New labelled sentences, of which the model is sure that they have their label.

    Args:
        file: labelled text, .tsv or .jsonl, to make more of; by default the labelled training
            sentences of the run.
        text_column: column of the file that holds the sentence.
        label_column: column of its label.
        quotes: in a TSV; csv as pandas writes cells, literal as a character; by default recognised.
        ratio: new sentences for each labelled one, of each label.
        min_probability: the least p(label | sentence), by the model, of one that is kept.
        latents_from: posterior, of a sentence of the label; or prior.
        num_samples: draws of the latents for each p(label | sentence).
        proposal: where they come from, as of evaluate.
        format: tsv or jsonl.
        out: file to write; by default standard output.

    """

    file: str | None = None
    text_column: str | None = None
    label_column: str | None = None
    quotes: Literal["csv", "literal"] | None = None
    ratio: float = setting(1.0, POSITIVE, FINITE)
    min_probability: float = setting(0.8, SHARE)
    latents_from: Literal["posterior", "prior"] = "posterior"
    num_samples: int = setting(20, at_least(1))
    proposal: str = setting("guide", Member("proposals"))
    format: Literal["tsv", "jsonl"] = "tsv"
    out: str | None = None


def main(arguments: Sequence[str]) -> None:
    """Print one row a new sentence; on standard error, how many were generated for them."""
    options = parse_with_run(AugmentOptions, "augment", arguments, then="file")
    from pyro_textvae.cli.sentences import decode_row
    from pyro_textvae.runs.augment import augment

    if options.file is not None and options.label_column is None:
        raise UserError(
            f"augment needs to know the labels of {options.file}: name their column with "
            "--label-column"
        )
    config = EvaluationConfig(
        split="train",
        data=options.file,
        text_column=options.text_column,
        label_column=options.label_column,
        quotes=options.quotes,
        num_samples=options.num_samples,
        proposal=options.proposal,
        seed=options.seed,
        device=options.device,
    )
    out = None if options.out is None else Path(options.out)
    if out is not None:
        check_apart_from_runs(out, options.run)
    result = augment(
        options.run,
        config,
        ratio=options.ratio,
        min_probability=options.min_probability,
        latents_from=options.latents_from,
        trust_code=options.trust_code,
    )
    rows: list[dict[str, Any]] = [
        {
            "text": decode_row(result.tokenizer, each.tokens),
            "label": each.label,
            "probability": round(each.probability, 6),
            "made_of": each.made_of,
            "made_by": options.run,
            "seed": options.seed,
        }
        for each in result.sentences
    ]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    if options.format == "tsv":
        cells = [["text", "label", "probability", "made_of", "made_by", "seed"]]
        cells += [["" if v is None else str(v) for v in row.values()] for row in rows]
        lines = ["\t".join(cell.replace("\t", "\\t") for cell in row) for row in cells]
    text = "".join(f"{line}\n" for line in lines)
    write_or_print(out, text)
    reasons = ", ".join(f"{count} {why}" for why, count in result.left_out.items() if count)
    print(
        f"{len(rows)} new sentences of {result.num_generated} generated"
        + (f"; left out: {reasons}" if reasons else ""),
        file=sys.stderr,
    )
    for name, count in result.missing.items():
        print(
            f"{count} of {result.wanted[name]} sentences of {name} are missing: a smaller "
            "--min-probability would keep more",
            file=sys.stderr,
        )
