# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences that a command starts from, and their text."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pyro_textvae.contract import SOURCE, TOKENS
from pyro_textvae.data import Tokenizer, pad
from pyro_textvae.data.languages.verse_form import set_line
from pyro_textvae.data.text_lines import lines
from pyro_textvae.errors import UserError
from pyro_textvae.infer.simulate import fields_beside_text, required_fields
from pyro_textvae.nn.form_reader import FormReader
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.load import load_run_corpus
from pyro_textvae.special_tokens import EOS, PAD, UNK

STANDARD_INPUT = "-"
"""What stands for standard input where a file is named."""

# All that str.splitlines, and so many a reader of our output, takes for the end of a line.
_LINE_BREAK = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def encode_text(tokenizer: Tokenizer, text: str, source: Sequence[int] | None = None) -> list[int]:
    """Ids of the user's sentence, ending in ``<eos>``.

    :param source: ids of what it is given, which has words of it that the model may not know.
    :raises UserError: for text without a word.
    """
    if source is None:
        ids = tokenizer.encode(text)
    else:
        ids = tokenizer.encode_given([text], [source])[0].tolist()
    if not ids:
        raise UserError(f"the sentence {text!r} is empty: give at least one word")
    return [*ids, EOS]


def decode_row(tokenizer: Tokenizer, row: list) -> str:
    """The text of a row of ids in one line: line breaks are escaped as Python writes them.

    Of rows of rows, as a conversation has, the texts are set apart by bars.
    """
    return _LINE_BREAK.sub(
        lambda match: match[0].encode("unicode_escape").decode(), tokenizer.decode_parts(row)
    )


def decode_document(tokenizer: Tokenizer, row: list) -> str:
    """The text of a row of ids; of a document's rows their number, and a line for each."""
    if not isinstance(row[0], list):
        return decode_row(tokenizer, row)
    lines = [decode_row(tokenizer, ids) for ids in row if any(ids)]
    return "\n".join([f"{len(lines)} sentences" if lines[1:] else "1 sentence", *lines])


def decode_poem(tokenizer: Tokenizer, row: list) -> str:
    """The rows of ids of a poem as lines; Chinese signs with nothing between them."""
    return "\n".join(set_line(decode_row(tokenizer, ids)) for ids in row if any(ids))


def writes_poems(model: nn.Module) -> bool:
    """Whether what a model writes are poems: it reads their forms."""
    return isinstance(getattr(model, "forms", None), FormReader)


def writes_documents(model: nn.Module) -> bool:
    """Whether what a model generates are documents of sentences: it says how many at the most."""
    return getattr(model, "max_sentences", None) is not None


def without_padding(row: Tensor) -> list[int]:
    """The ids of a row as the corpus has it."""
    return [index for index in row.tolist() if index != PAD]


def is_conditional(program: nn.Module) -> bool:
    """Whether a program names a field of a batch besides its tokens, such as a source.

    Labels that it can do without are none: where they are not given, it draws or infers them.
    """
    return bool(fields_beside_text(program))


def read_sources(
    model: nn.Module,
    run: str,
    source: str | None,
    source_file: str | None,
    split: str | None = None,
) -> list[str]:
    """The sources that a user gives, of ``source`` or of the lines of ``source_file``.

    :raises UserError: for both, for a split beside them, for a model that takes no source or more
        than that, for a source that is no form where it must be one, and for a file that cannot be
        read or has no line.
    """
    given = {"source": source, "source_file": source_file, "split": split}
    named = [name for name in ("source", "source_file") if given[name] is not None]
    if not named:
        return []
    clashing = [name for name, value in given.items() if value is not None]
    if len(clashing) > 1:
        raise UserError(f"{clashing[0]} and {clashing[1]} both say what the source is: give one")
    others = fields_beside_text(model)
    if SOURCE not in others:
        raise UserError(
            f"the model of {run} takes no source, so {named[0]} would do nothing: leave it out"
        )
    if needed := set(required_fields(model)) - {SOURCE, TOKENS}:
        missing = ", ".join(sorted(needed))
        raise UserError(
            f"the model of {run} takes {missing} beside the source: leave {named[0]} out to take "
            "sentences of --split"
        )
    sources = [source] if source is not None else read_texts(str(source_file), "source")
    for number, text in enumerate(sources, 1):
        check_form(model, text, "" if source is not None else f"source {number}: ")
    return sources


def check_form(model: nn.Module, source: str, place: str = "") -> None:
    """Refuse a source that is no form, where the model writes poems.

    :param place: what a message begins with.
    :raises UserError: for a rhyme or a line that there is not.
    """
    forms = getattr(model, "forms", None)
    if isinstance(forms, FormReader):
        try:
            forms.check(source)
        except UserError as error:
            raise UserError(f"{place}{error}") from error


def read_texts(file: str, kind: str) -> list[str]:
    """The lines of a file that hold anything; of standard input for ``-``.

    :param kind: what a line holds, for the message.
    :raises UserError: for a file that cannot be read or has no such line.
    """
    try:
        if file == STANDARD_INPUT:
            texts = [line.removesuffix("\n").removesuffix("\r") for line in sys.stdin]
        else:
            texts = [line for _, line in lines(Path(file).expanduser())]
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError("standard input is not UTF-8: convert it, for example by iconv") from error
    texts = [text for text in texts if text.strip()]
    if not texts:
        where = "standard input" if file == STANDARD_INPUT else file
        raise UserError(f"{where} has no line with a {kind}: give at least one")
    return texts


def repeated_sources(tokenizer: Tokenizer, texts: Sequence[str], times: int) -> dict[str, Tensor]:
    """A condition with each source so many times; words that are not known are told."""
    rows = []
    for text in texts:
        encode_text(tokenizer, text)
        ids = [*tokenizer.encode_sources([text])[0].tolist(), EOS]
        copied = sum(index >= len(tokenizer) for index in ids)
        if copied or UNK in ids:
            print(
                f"{ids.count(UNK) + copied} of {len(ids) - 1} tokens of the source {text!r} are "
                "unknown to the model" + (", and can be copied" if copied else ""),
                file=sys.stderr,
            )
        rows += [ids] * times
    return {SOURCE: pad(rows)}


def pick_sentences(
    path: str | Path, split: str, size: int, seed: int, *, trust_code: bool = False
) -> Mapping[str, Tensor]:
    """A batch of sentences of a split of a run's corpus, the same for the same seed."""
    sentences = load_run_corpus(RunFolder(path), trust_code=trust_code).split(split)
    generator = torch.Generator().manual_seed(seed)
    return sentences.batch(torch.randperm(len(sentences), generator=generator)[:size].numpy())


def first_sentences(
    path: str | Path, split: str, size: int, *, trust_code: bool = False
) -> Mapping[str, Tensor]:
    """A batch of the first sentences of a split of a run's corpus.

    :raises UserError: for more sentences than the split has.
    """
    sentences = load_run_corpus(RunFolder(path), trust_code=trust_code).split(split)
    if size > len(sentences):
        raise UserError(
            f"the {split} split of {path} has {len(sentences)} sentences to take sources from: "
            f"give a --size of at most that, got {size}"
        )
    return sentences.batch(np.arange(size))
