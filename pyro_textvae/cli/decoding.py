# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The decoding method that a command's options name, what sentences must keep, and their lines."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

from pyro_textvae.cli.run_options import DecodingOptions
from pyro_textvae.cli.sentences import decode_row
from pyro_textvae.data import Tokenizer
from pyro_textvae.data.known_words import known_ids
from pyro_textvae.errors import UserError
from pyro_textvae.generation import Constraints, DecodingMethod, Generated, build_method
from pyro_textvae.nn.form_masks import FormMasks
from pyro_textvae.runs.sign_classes import sign_classes_of_run
from pyro_textvae.special_tokens import EOS, SPECIAL_TOKENS


def method_of(options: DecodingOptions, tokenizer: Tokenizer) -> DecodingMethod:
    """The method with its options, by flags of their own or in ``options``.

    :raises UserError: for an option that the method does not take, and one that is given twice.
    """
    given = options.given_options()
    for name in given.keys() & options.options.keys():
        raise UserError(f"{name} is given by a flag of its own and in options: leave one out")
    return build_method(options.method, {**options.options, **given}, tokenizer=tokenizer)


def constraints_of(options: DecodingOptions, tokenizer: Tokenizer) -> Constraints:
    """What sentences must keep, in ids.

    :raises UserError: for words that are not in the vocabulary, with the nearest that are.
    """
    return Constraints(
        min_length=options.min_length,
        max_length=options.max_length,
        no_repeat_ngram_size=options.no_repeat_ngram_size,
        repetition_penalty=options.repetition_penalty,
        bad_words_ids=[_ids("bad_words", tokenizer, text) for text in options.bad_words],
        forced_bos_token_id=_token("forced_bos_token", tokenizer, options.forced_bos_token),
        forced_eos_token_id=_token("forced_eos_token", tokenizer, options.forced_eos_token),
        prefix=[] if options.prefix is None else _ids("prefix", tokenizer, options.prefix),
        unknown=options.unknown,
        keep_form=form_masks(options.run, tokenizer) if options.keep_form else None,
    )


def form_masks(run: str, tokenizer: Tokenizer) -> FormMasks:
    """Masks by which the poems of a run keep to their form."""
    return FormMasks(tokenizer, sign_classes_of_run(run, tokenizer))


def print_json(
    tokenizer: Tokenizer,
    generated: Generated,
    row: int,
    *,
    as_document: bool = False,
    **further: Any,
) -> None:
    """One text as an object in a line of its own, written at once.

    :param as_document: whether it is a document: then its sentences are a list, as a corpus of
        documents has them, and so are the numbers of each.
    """
    record: dict[str, Any] = {name: value for name, value in further.items() if value is not None}
    ids = generated.tokens[row].tolist()
    record["text"] = sentences_of(tokenizer, ids) if as_document else decode_row(tokenizer, ids)
    for name in ("log_prob", "score"):
        value = getattr(generated, name)[row].tolist()
        if as_document:
            value = value[: len(record["text"])]
        record[name] = _without_nan(value)
    print(json.dumps(record, ensure_ascii=False))
    sys.stdout.flush()


def sentences_of(tokenizer: Tokenizer, document: list) -> list[str]:
    """The sentences of the rows of ids of a document."""
    return [decode_row(tokenizer, ids) for ids in document if any(ids)]


def _without_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return value if math.isfinite(value) else None


def _ids(name: str, tokenizer: Tokenizer, text: str) -> list[int]:
    try:
        ids = known_ids(tokenizer, text)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    if not ids:
        raise UserError(f"{name}: {text!r} has no word: give at least one, or leave it out")
    return ids


def _token(name: str, tokenizer: Tokenizer, text: str | None) -> int | None:
    if text is None or text == SPECIAL_TOKENS[EOS]:
        return None if text is None else EOS
    ids = _ids(name, tokenizer, text)
    if len(ids) > 1:
        raise UserError(
            f"{name}: {text!r} is {len(ids)} tokens: give one, or {SPECIAL_TOKENS[EOS]}"
        )
    return ids[0]


def one_latent(options: DecodingOptions, what: str) -> None:
    """Refuse several draws of the latents where they are computed.

    :raises UserError: naming what one latent is.
    """
    if options.num_latents > 1:
        raise UserError(
            f"{what} is one latent, so num_latents={options.num_latents} has no meaning: leave it "
            "out"
        )
