# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Samples and reconstructions of all runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from pyro_textvae.report.blocks import Block, Note, Section, Table
from pyro_textvae.report.decoded_run import DecodedRun
from pyro_textvae.report.per_run import title_of
from pyro_textvae.report.run_record import RunRecord


def samples(runs: Sequence[RunRecord], decoded: Mapping[int, DecodedRun]) -> Section:
    """Sentences from the prior, one column a run; beside the source that each was drawn for."""
    shown = [run for run in runs if decoded[run.number].samples]
    blocks: list[Block] = [
        Note(decoded[run.number].problem, "missing")
        for run in runs
        if not decoded[run.number].samples
    ]
    groups: dict[tuple[str, ...], list[RunRecord]] = {}
    for run in shown:
        groups.setdefault(decoded[run.number].sources, []).append(run)
    for sources, group in groups.items():
        columns = [decoded[run.number].samples for run in group]
        first = sources or tuple(str(number) for number in range(1, max(map(len, columns)) + 1))
        rows = zip_longest(first, *columns, fillvalue="")
        caption = (
            "Latents from the prior, then every word by chance: what the model itself would write."
        )
        if sources:
            caption = (
                "Latents from the prior given the source, then every word by chance: what the "
                "model itself would write."
            )
        names = tuple(title_of(run, runs) for run in group)
        heading = "source" if sources else ""
        blocks.append(Table((heading, *names), tuple(rows), caption, prose=True))
    return Section("Samples from the prior", "samples", tuple(blocks))


def reconstructions(runs: Sequence[RunRecord], decoded: Mapping[int, DecodedRun]) -> Section:
    """Sentences beside what each run makes of them; runs on one corpus share a table.

    Of a run that is given a source, that stands before the sentence.
    """
    blocks: list[Block] = []
    groups: dict[tuple[tuple[str, ...], ...], list[RunRecord]] = {}
    for run in runs:
        text = decoded[run.number]
        if text.reconstructions:
            sentences = text.sentences[: len(text.reconstructions)]
            given: tuple[tuple[str, ...], ...] = (sentences,)
            if text.sources:
                given = (text.sources, sentences)
            groups.setdefault(given, []).append(run)
        else:
            why = text.problem or f"{run.name} has no latent to decode a sentence again from."
            blocks.append(Note(why, "missing"))
    for given, group in groups.items():
        columns = [decoded[run.number].reconstructions for run in group]
        caption = (
            f"Sentences of the {decoded[group[0].number].split} split, and the likeliest words "
            "from their posterior mean."
        )
        names = tuple(title_of(run, runs) for run in group)
        rows = tuple(zip(*given, *columns, strict=True))
        headings = ("source", "sentence") if given[1:] else ("source",)
        blocks.append(Table((*headings, *names), rows, caption, prose=True))
    return Section("Reconstructions", "reconstructions", tuple(blocks))
