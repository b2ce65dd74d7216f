# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae classify``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pyro_textvae.cli.output import check_apart_from_runs, write_or_print
from pyro_textvae.cli.run_options import RunOptions, parse_with_run
from pyro_textvae.config.checks import Member, at_least, setting
from pyro_textvae.config.evaluate import EvaluationConfig, Split

if TYPE_CHECKING:
    from pyro_textvae.runs.classify import Classified


@dataclass
class ClassifyOptions(RunOptions):
    """Labels of text and their probabilities, by Bayes' rule from the model and by the guide.

    Args:
        file: text to classify, .txt, .tsv or .jsonl; by default a split of the run's own corpus.
        split: train, valid or test, of the run's corpus or of a folder.
        text_column: column of a TSV or JSONL file that holds the sentence.
        label_column: column of the label that is given, to hold the others against.
        quotes: in a TSV; csv as pandas writes cells, literal as a character; by default recognised.
        num_samples: draws of the latents for each sentence and label.
        proposal: where they come from, as of evaluate.
        format: tsv or jsonl.
        out: file to write; by default standard output.

    """

    file: str | None = None
    split: Split = "test"
    text_column: str | None = None
    label_column: str | None = None
    quotes: Literal["csv", "literal"] | None = None
    num_samples: int = setting(100, at_least(1))
    proposal: str = setting("auto", Member("proposals"))
    format: Literal["tsv", "jsonl"] = "tsv"
    out: str | None = None


def main(arguments: Sequence[str]) -> None:
    """Print one row a sentence; on standard error, how good the labels are where any are given."""
    options = parse_with_run(ClassifyOptions, "classify", arguments, then="file")
    from pyro_textvae.runs.classify import classify

    config = EvaluationConfig(
        split=options.split,
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
    classified = classify(options.run, config, trust_code=options.trust_code)
    rows = _rows(classified)
    text = "".join(f"{line}\n" for line in (_tsv if options.format == "tsv" else _jsonl)(rows))
    write_or_print(out, text)
    if classified.warning is not None:
        print(f"warning: {classified.warning}", file=sys.stderr)
    for name, result in classified.probabilities.classifications(seed=options.seed).items():
        shown = {"accuracy": "accuracy", "macro_f1": "macro F1", "label_nll": "nll of a label"}
        numbers = ", ".join(
            "{} {:.4f} [{:.4f}, {:.4f}]".format(title, getattr(result, key), *result.intervals[key])
            for key, title in shown.items()
        )
        print(f"by {name}, {result.num_labelled} labels: {numbers}", file=sys.stderr)


def _rows(classified: Classified) -> Iterator[dict[str, Any]]:
    from pyro_textvae.cli.sentences import decode_row

    of, sentences = classified.probabilities, classified.corpus.split(classified.split)
    for index in range(len(sentences)):
        given = int(of.given[index])
        row: dict[str, Any] = {
            "text": decode_row(classified.tokenizer, sentences[index].tolist()),
            "given": of.names[given] if given >= 0 else None,
        }
        likeliest = int(of.by_bayes[index].argmax())
        row["label"] = of.names[likeliest]
        row["probability"] = dict(zip(of.names, of.by_bayes[index].exp().tolist(), strict=True))
        row["standard_error"] = float(of.standard_error[index, likeliest])
        row["label_by_guide"] = row["probability_by_guide"] = None
        if of.by_guide is not None:
            by_guide = of.by_guide[index]
            row["label_by_guide"] = of.names[int(by_guide.argmax())]
            by_name = dict(zip(of.names, by_guide.exp().tolist(), strict=True))
            row["probability_by_guide"] = by_name
        yield row


def _jsonl(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(row, ensure_ascii=False)


def _tsv(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Cells without quotes: a tab of the text is written as Python writes it."""
    for number, row in enumerate(rows):
        cells: dict[str, str] = {}
        for key, value in row.items():
            if isinstance(value, dict):
                kind = "q" if key.endswith("by_guide") else "p"
                cells |= {f"{kind}({name})": f"{share:.6f}" for name, share in value.items()}
            elif isinstance(value, float):
                cells[key] = f"{value:.6f}"
            elif value is not None or key == "given":
                cells[key] = (value or "").replace("\t", "\\t")
        if not number:
            yield "\t".join(cells)
        yield "\t".join(cells.values())
