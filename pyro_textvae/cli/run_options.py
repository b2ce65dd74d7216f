# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What every command on a finished run takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from pyro_textvae.cli.parsing import is_flag, parse
from pyro_textvae.config.checks import POSITIVE, SEED, Member, at_least, check_settings, setting
from pyro_textvae.errors import UserError


@dataclass
class RunOptions:
    """A run and how to draw from it.

    Args:
        run: folder made by train.
        seed: of the draws, and of the sentences taken.
        device: auto, cpu, cuda, or cuda:N.
        trust_code: execute code of your own that a run of somebody else names; see SECURITY.md.

    """

    run: str = ""
    seed: int = setting(0, SEED)
    device: str = "auto"
    trust_code: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass
class MethodOptions:
    """The options of the catalogue's decoding methods; None where it is not given."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    typical_p: float | None = None
    min_p: float | None = None
    num_beams: int | None = None
    length_penalty: float | None = None
    num_return_sequences: int | None = None
    num_beam_groups: int | None = None
    diversity_penalty: float | None = None
    num_samples: int | None = setting(None, at_least(1))
    utility: Literal["chrf", "bleu", "exact"] | None = None

    def given_options(self) -> dict[str, Any]:
        """Those that are given, by name."""
        values = {each.name: getattr(self, each.name) for each in fields(MethodOptions)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass
class DecodingOptions(MethodOptions, RunOptions):
    """How words are chosen.

    Args:
        method: ancestral draws every word, greedy takes the likeliest; top_k, nucleus, typical and
            min_p draw among the likelier ones, beam searches for likely sentences,
            minimum_bayes_risk takes the most usual of many; or file.py:Class. See
            docs/generation.md.
        options: keywords of the method, as a JSON object.
        temperature: of methods that draw; below 1 likely words become likelier.
        top_k: of top_k, how many words are drawn among.
        top_p: of nucleus, the probability of the words that are drawn among.
        typical_p: of typical, likewise.
        min_p: of min_p, the least probability beside the likeliest word's.
        num_beams: of beam, how many beginnings are kept.
        length_penalty: of beam, the power of the length that log-probabilities are divided by.
        num_return_sequences: of beam, sentences that are printed.
        num_beam_groups: of beam, groups that are kept apart.
        diversity_penalty: of beam, nats that a word loses for each other group that has it.
        num_samples: of minimum_bayes_risk, how many sentences are drawn.
        utility: of minimum_bayes_risk, what they are compared by.
        num_latents: sentences for each, every one at a draw of the latents of its own.
        prefix: what every sentence begins with.
        min_length: the fewest tokens, with the end of the sentence.
        max_length: the most tokens, with the end of the sentence.
        no_repeat_ngram_size: of n, no n tokens occur twice in a sentence.
        repetition_penalty: above 1, a token that the sentence has already becomes less likely.
        bad_words: a list of texts that no sentence contains.
        forced_bos_token: the first token after the prefix.
        forced_eos_token: the token at the last place of a sentence of max_length.
        unknown: whether <unk> may be generated; false reads better, but is not the model.
        keep_form: of poems, choose among the signs that their form allows at each place.
        format: text, or jsonl, an object a line with the log-probability of each sentence.

    """

    method: str = setting("greedy", Member("methods"))
    options: dict[str, Any] = field(default_factory=dict)
    num_latents: int = setting(1, at_least(1))
    prefix: str | None = None
    min_length: int = setting(0, at_least(0))
    max_length: int | None = setting(None, at_least(1))
    no_repeat_ngram_size: int = setting(0, at_least(0))
    repetition_penalty: float = setting(1.0, POSITIVE)
    bad_words: list[str] = field(default_factory=list)
    forced_bos_token: str | None = None
    forced_eos_token: str | None = None
    unknown: bool = True
    keep_form: bool = False
    format: Literal["text", "jsonl"] = "text"


Options = TypeVar("Options", bound=RunOptions)


def parse_with_run(
    cls: type[Options], command: str, arguments: Sequence[str], *, then: str = ""
) -> Options:
    """Read the settings of a command whose run may come first, without a flag.

    :param then: the setting that may follow the run, likewise; none by default.
    :raises UserError: when there is no run among them.
    """
    given = list(arguments)
    if given and not given[0].startswith("-"):
        given = ["--run", *given]
        if then and given[2:] and not given[2].startswith("-"):
            given.insert(2, f"--{then}")
    options, _ = parse(cls, command, given)
    if not options.run:
        raise UserError(f"{command} needs a run folder: pyro-textvae {command} RUN")
    return options


def parse_with_run_and_texts(
    cls: type[Options], command: str, arguments: Sequence[str]
) -> tuple[Options, list[str]]:
    """Read the settings of a command whose run comes first and then texts, before all flags.

    :raises UserError: as :func:`parse_with_run`.
    """
    given = list(arguments)
    count = next((n for n, each in enumerate(given) if is_flag(each) or each == "-h"), len(given))
    return parse_with_run(cls, command, given[:1] + given[max(count, 1) :]), given[1:count]
