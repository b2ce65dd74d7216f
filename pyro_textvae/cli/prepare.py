# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae prepare``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyro_textvae.cli.output import check_folder_of, print_beside, print_table
from pyro_textvae.cli.parsing import is_flag, parse
from pyro_textvae.config.checks import Member, check_settings, setting
from pyro_textvae.errors import UserError


@dataclass
class PrepareOptions:
    """Documents to sentences, one JSON object each with the numbers of its document and sentence.

    Args:
        data: folder with train, valid and test, a file, or a pattern of files such as 'news/*.txt',
            .txt, .tsv, .csv, .jsonl, .parquet, .arrow or .tokens, also as .gz, .zst or .xz; may
            come first, without the flag.
        out: folder to write, with counts.json; it must not be there yet.
        layout: plain, paragraphs of raw text, a file or a row for a document; wikitext; or ptb,
            one sentence of tokens a line.
        language: of raw text, as en or zh.
        text_column: column of the text, in files that have columns.
        check: instead, count the tokens of ptb, wikitext-2 or wikitext-103 as it was published.
        json: print the counts as one JSON object.

    """

    data: str = ""
    out: str | None = None
    layout: str = setting("plain", Member("layouts"))
    language: str = "en"
    text_column: str | None = None
    check: str | None = None
    json: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


def main(arguments: Sequence[str]) -> int:
    """Write the sentences and print the counts; 1 where checked counts differ."""
    given = list(arguments)
    if given and not given[0].startswith("-") and not is_flag(given[0]):
        given[:1] = ["--data", given[0]]
    options, names = parse(PrepareOptions, "prepare", given)
    if not options.data:
        raise UserError("prepare needs text: pyro-textvae prepare FOLDER --out FOLDER")
    from pyro_textvae.data.preparation import check_counts, prepare

    if options.check is not None:
        useless = sorted(names & {"out", "layout", "language", "text_column"})
        if useless:
            raise UserError(
                f"prepare --check counts and writes nothing, so {useless[0]} would do nothing: "
                "leave one of them out"
            )
        checked = check_counts(options.check, options.data)
        print_table(str(checked), checked.to_dict(), as_json=options.json)
        return 0 if checked.agree else 1
    if options.out is None:
        raise UserError("prepare needs a folder to write: give --out FOLDER")
    if "language" in names and options.layout != "plain":
        raise UserError(
            f"language={options.language!r} is of raw text, and {options.layout} has sentences by "
            "its tokens: leave it out"
        )
    check_folder_of(Path(options.out))
    prepared = prepare(
        options.data,
        options.out,
        layout=options.layout,
        language=options.language,
        text_column=options.text_column,
    )
    print_table(str(prepared), prepared.to_dict(), as_json=options.json)
    print_beside(
        f"written to {options.out}; next: pyro-textvae train --data {options.out}"
        + ("" if "train" in prepared.counts else "/sentences.jsonl"),
        as_json=options.json,
    )
    return 0
