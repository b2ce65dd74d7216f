# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae complete``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pyro_textvae.cli.run_options import RunOptions, parse_with_run_and_texts
from pyro_textvae.config.checks import at_least, setting
from pyro_textvae.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from pyro_textvae.data import Tokenizer


@dataclass
class CompleteOptions(RunOptions):
    """Fill the holes of a text: RUN "the ___ sat on ...", ___ for a word, ... for any number.

    Args:
        text_file: a file with such a text a line, in the place of arguments; - for standard input.
        prompt: go on from the texts, which may have holes too; where the model writes documents,
            from their first sentences, which a line end or a bar between spaces sets apart.
        source: what the sentences are conditioned on, in a model that takes a source.
        label: of the sentences, in a model that takes labels; without it the model draws it.
        labels_from: a file with such a label a line, one for each text.
        size: number of sentences drawn for each text.
        keep_form: of poems, choose among the signs that their form allows at each place.
        likeliest: the likeliest ones that were found with their probabilities, not draws.
        num_particles: draws of the latents.
        num_candidates: pairs of a draw and a word that are looked at for a hole of one word.
        rounds: of the latents, first from the prior, then from the guide too.
        unknown: whether <unk> may stand in a hole.
        format: text, or jsonl, an object a line with the probability of each sentence.

    """

    text_file: str | None = None
    prompt: bool = False
    source: str | None = None
    label: str | None = None
    labels_from: str | None = None
    size: int = setting(5, at_least(1))
    keep_form: bool = False
    likeliest: bool = False
    num_particles: int = setting(500, at_least(1))
    num_candidates: int = setting(2000, at_least(1))
    rounds: int = setting(2, at_least(1))
    unknown: bool = True
    format: Literal["text", "jsonl"] = "text"


def main(arguments: Sequence[str]) -> None:
    """Print the sentences of each text; on standard error, how good the estimates are."""
    options, texts = parse_with_run_and_texts(CompleteOptions, "complete", arguments)
    from pyro_textvae import runs
    from pyro_textvae.cli.given_texts import fields_beside, given_texts, rows_of
    from pyro_textvae.cli.sentences import decode_row, writes_documents, writes_poems
    from pyro_textvae.generation.completion import complete, template_of_text

    texts = given_texts("complete", texts, options.text_file, "text with a hole")
    model, guide, tokenizer = runs.load_run(
        options.run, device=options.device, trust_code=options.trust_code
    )
    if writes_poems(model):
        _continue_poems(model, guide, tokenizer, texts, options)
        return
    if options.keep_form:
        raise UserError(f"keep_form is for poems, and {options.run} writes none: leave it out")
    if writes_documents(model):
        _continue_documents(model, guide, tokenizer, texts, options)
        return
    fields = fields_beside(model, guide, tokenizer, options, size=len(texts))
    templates = [
        template_of_text(tokenizer, text, is_prompt=options.prompt, unknown=options.unknown)
        for text in texts
    ]
    told: set[str] = set()
    for index, (text, template) in enumerate(zip(texts, templates, strict=True)):
        completions = complete(
            model,
            guide,
            template,
            condition=rows_of(fields, index, index + 1) or None,
            num_particles=options.num_particles,
            num_candidates=options.num_candidates,
            rounds=options.rounds,
            seed=options.seed,
            progress=True,
        )
        if options.likeliest:
            rows = completions.tokens[: options.size]
        else:
            rows = completions.draw(options.size, seed=options.seed)
        if len(texts) > 1 and options.format == "text":
            print(f"given  {text}")
        for row in rows:
            probability = completions.probability_of(row)
            written = decode_row(tokenizer, row.tolist())
            if options.format == "jsonl":
                record = {
                    "given": text,
                    "text": written,
                    "probability": probability,
                    "log_evidence": completions.log_evidence,
                    "effective_particles": completions.effective_particles,
                }
                print(json.dumps(record, ensure_ascii=False))
            else:
                shown = f"{probability:.4f}  " if options.likeliest else ""
                print(("text   " if len(texts) > 1 else "") + shown + written)
            sys.stdout.flush()
        for note in completions.notes:
            if note not in told:
                print(note, file=sys.stderr)
            told.add(note)
        print(completions.describe(), file=sys.stderr)


def _continue_documents(
    model: nn.Module,
    guide: nn.Module,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    options: CompleteOptions,
) -> None:
    """Print documents that begin as each of the texts."""
    from pyro_textvae.cli.decoding import sentences_of
    from pyro_textvae.cli.given_texts import rows_of_given
    from pyro_textvae.generation.completion import continue_documents

    unused = {
        "label": options.label,
        "labels_from": options.labels_from,
        "likeliest": options.likeliest or None,
        "source": options.source,
    }
    for name, value in unused.items():
        if value is not None:
            raise UserError(
                f"{name} is not for {options.run}, whose texts are documents: leave it out"
            )
    if not options.prompt:
        raise UserError(
            f"the texts of {options.run} are documents, which are gone on with sentence by "
            "sentence: give --prompt and the first sentences"
        )
    for beginning in [rows_of_given(model, tokenizer, [text]) for text in texts]:
        going_on = continue_documents(
            model,
            guide,
            beginning,
            size=options.size,
            num_particles=options.num_particles,
            unknown=options.unknown,
            seed=options.seed,
        )
        for number, row in enumerate(going_on.tokens.tolist(), 1):
            sentences = sentences_of(tokenizer, row)
            if options.format == "jsonl":
                given = sentences[: beginning.shape[1]]
                print(json.dumps({"given": given, "text": sentences}, ensure_ascii=False))
            else:
                heads = ["given"] * beginning.shape[1] + ["text "] * len(sentences)
                lines = [f"{head}  {line}" for head, line in zip(heads, sentences, strict=False)]
                print(f"document {number}", *lines, sep="\n", end="\n\n")
            sys.stdout.flush()
        print(going_on.describe(), file=sys.stderr)


def _continue_poems(
    model: nn.Module,
    guide: nn.Module,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    options: CompleteOptions,
) -> None:
    """Print poems that begin as each of the texts."""
    from pyro_textvae.cli.decoding import form_masks
    from pyro_textvae.cli.given_texts import rows_of_given
    from pyro_textvae.cli.sentences import check_form, decode_poem, encode_text
    from pyro_textvae.data import pad
    from pyro_textvae.data.languages.verse_form import Form
    from pyro_textvae.generation import Constraints
    from pyro_textvae.generation.completion import continue_poem
    from pyro_textvae.runs.sign_classes import sign_classes_of_run

    for name in ("label", "labels_from"):
        if getattr(options, name) is not None:
            raise UserError(f"{name} is not for poems: leave it out")
    if not options.prompt or options.likeliest or options.source is None:
        raise UserError(
            f"{options.run} writes poems, which are gone on with line by line: give --prompt, the "
            "first lines with / between them, and their form by --source, without --likeliest"
        )
    check_form(model, options.source)
    form = Form.checked(options.source)
    masks = form_masks(options.run, tokenizer) if options.keep_form else None
    for text in texts:
        beginning = rows_of_given(model, tokenizer, [_as_lines(tokenizer, text)])
        given = beginning.shape[1]
        if given >= len(form.tones):
            raise UserError(
                f"{text!r} has {given} lines and its form {len(form.tones)}: leave one to be "
                "written"
            )
        if masks is not None:
            lines = [line.replace(" ", "") for line in _as_lines(tokenizer, text).split("\n")]
            classes = sign_classes_of_run(options.run, tokenizer, "".join(lines))
            faults = classes.faults(lines, form.beginning(given))
            if faults:
                raise UserError(
                    f"{text!r} does not keep to its form: {faults[0]}; correct it, or leave "
                    "keep_form out"
                )
        sources = [
            pad([encode_text(tokenizer, each.source)]) for each in (form, form.beginning(given))
        ]
        going_on = continue_poem(
            model,
            guide,
            beginning,
            source=sources[0],
            source_of_beginning=sources[1],
            size=options.size,
            num_particles=options.num_particles,
            constraints=Constraints(unknown=options.unknown, keep_form=masks),
            seed=options.seed,
        )
        for row in going_on.tokens.tolist():
            poem = decode_poem(tokenizer, row)
            if options.format == "jsonl":
                lines = poem.split("\n")
                print(json.dumps({"given": lines[:given], "text": lines}, ensure_ascii=False))
            else:
                print(f"{poem}\n")
            sys.stdout.flush()
        print(going_on.describe(), file=sys.stderr)


def _as_lines(tokenizer: Tokenizer, text: str) -> str:
    """First lines with ``/`` between, as the lines of a document that the tokenizer takes."""
    lines = [line.strip() for line in text.split("/")]
    if tokenizer.tokens_are_words:
        lines = [line if " " in line else " ".join(line) for line in lines]
    return "\n".join(lines)
