# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The numbers of the evaluations side by side, with their warnings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pyro_textvae.report.blocks import Block, Note, Section, Table
from pyro_textvae.report.per_run import title_of
from pyro_textvae.report.run_record import RunRecord
from pyro_textvae.report.tables import UNTRUSTED_SHARE

_NONE = "–"


def _number(key: str, digits: int = 3) -> Callable[[Mapping[str, Any]], str]:
    """Shows the value of ``key``; a dash for no value."""

    def show(result: Mapping[str, Any]) -> str:
        value = result.get(key)
        known = value is not None and math.isfinite(value)
        return f"{value:z,.{digits}f}" if known else _NONE

    return show


def _with_error(key: str) -> Callable[[Mapping[str, Any]], str]:
    """Shows the value of ``key`` and its standard error, where one is known."""

    def show(result: Mapping[str, Any]) -> str:
        value, error = (_number(name)(result) for name in (key, f"{key}_standard_error"))
        return value if error == _NONE else f"{value} ± {error}"

    return show


def _nll(result: Mapping[str, Any]) -> str:
    if result.get("latent_dim") == 0:
        return f"{_number('nll')(result)} (exact)"
    return _with_error("nll")(result)


def _proposal(result: Mapping[str, Any]) -> str:
    settings = result.get("proposal_settings") or {}
    shown = [
        name.replace("_", " ") if value is True else f"{name.replace('_', ' ')} {value}"
        for name, value in settings.items()
        if value not in (None, False)
    ]
    return ", ".join([str(result.get("proposal") or _NONE), *shown])


def _khat(result: Mapping[str, Any]) -> str:
    share = result.get("khat_above_0_7")
    return _NONE if share is None else f"{100 * share:.1f} %"


def _active(result: Mapping[str, Any]) -> str:
    if not result.get("latent_dim"):
        return _NONE
    return f"{result['active_units']} of {result['latent_dim']}"


class _Row(NamedTuple):
    name: str
    unit: str
    show: Callable[[Mapping[str, Any]], str]
    needs_latent: bool = True


_NATS = "nats per sentence"
_ROWS = (
    _Row("sentences", "", _number("num_sentences", 0), False),
    _Row("tokens, <eos> counted", "", _number("num_tokens", 0), False),
    _Row("sentences left out as too long", "", _number("num_left_out", 0), False),
    _Row("sentences cut short", "", _number("num_cut", 0), False),
    _Row("K, draws for each sentence", "", _number("num_samples", 0)),
    _Row("mean of the draws used", "", _number("mean_draws", 1)),
    _Row("decoder evaluations", "", _number("decoder_evaluations", 0)),
    _Row("proposal of the draws", "", _proposal),
    _Row("nll ± Monte Carlo error", _NATS, _nll, False),
    _Row("sampling error of the nll", _NATS, _number("nll_sampling_error"), False),
    _Row("evidence lower bound", _NATS, _number("elbo")),
    _Row("reconstruction", _NATS, _number("reconstruction")),
    _Row("KL", _NATS, _number("kl")),
    _Row("perplexity per token", "", _number("ppl", 2), False),
    _Row("perplexity per token by the bound", "", _number("ppl_elbo", 2)),
    _Row("bits per word", "", _number("bits_per_word"), False),
    _Row("bits per character", "", _number("bits_per_character"), False),
    _Row("mutual information", "nats", _with_error("mutual_information")),
    _Row("its upper bound, own sentence left out", "nats", _number("mutual_information_upper")),
    _Row("its ceiling, ln N", "nats", _number("mutual_information_ceiling")),
    _Row("KL of the aggregate posterior to the prior", "nats", _with_error("aggregate_kl")),
    _Row("of it, total correlation", "nats", _with_error("total_correlation")),
    _Row("of it, dimension by dimension", "nats", _with_error("dimensionwise_kl")),
    _Row("active units", "", _active),
    _Row("median effective sample size", "", _number("median_ess", 1)),
    _Row("sentences that rest on few draws", "", _number("flagged_sentences", 0)),
    _Row("sentences with k-hat above 0.7", "", _khat),
    _Row("gain of the last doubling of K, D_K", _NATS, _number("doubling_increment", 4)),
    _Row("its ratio to the doubling before, ρ", "", _number("doubling_ratio", 2)),
    _Row("estimated remaining bias", _NATS, _number("remaining_bias", 4)),
)

_CAPTION = (
    "Nats per sentence are summed over its tokens; <eos> counts as a token, <bos> and <pad> do "
    "not. The nll is an upper bound in expectation; so is the evidence lower bound, shown as minus "
    "itself. The Monte Carlo error is that of the draws, the sampling error that of the sentences."
)


def summary(runs: Sequence[RunRecord]) -> Section:
    """One column a run; rows of which no run knows anything are left out."""
    shown = [run for run in runs if run.evaluation is not None]
    blocks: list[Block] = [run.evaluation_note for run in runs if run.evaluation_note is not None]
    results = [run.evaluation for run in shown if run.evaluation is not None]
    if results:
        rows = [
            (f"{row.name}, {row.unit}" if row.unit else row.name, *(_cell(row, r) for r in results))
            for row in _ROWS
        ]
        rows = [row for row in rows if set(row[1:]) != {_NONE}]
        names = tuple(title_of(run, runs) for run in shown)
        texts = [_text(result) for result in results]
        heading = texts[0] if len(set(texts)) == 1 else ""
        if not heading:
            rows.insert(0, ("text", *texts))
        headings = (heading, *names)
        blocks.append(Table(headings, tuple(rows), _CAPTION))
    for run in shown:
        whose = f"{run.name}: " if len(runs) > 1 else ""
        result = run.evaluation or {}
        blocks += [Note(f"{whose}{text}", "warning") for text in _warnings(result)]
        blocks += [Note(f"{whose}{text}") for text in result.get("notes") or ()]
    return Section("Summary", "summary", tuple(blocks))


def _cell(row: _Row, result: Mapping[str, Any]) -> str:
    """A dash where there is no latent: the likelihood is exact then, and nothing is drawn."""
    return _NONE if row.needs_latent and result.get("latent_dim") == 0 else row.show(result)


def _text(result: Mapping[str, Any]) -> str:
    return f"{result.get('split', _NONE)} split of {result.get('data', _NONE)}"


def _warnings(result: Mapping[str, Any]) -> list[str]:
    if "warnings" in result:
        return [str(text) for text in result["warnings"]]
    share = result.get("khat_above_0_7")
    if share is None or share <= UNTRUSTED_SHARE:
        return []
    return [
        f"k-hat is above 0.7 for {100 * share:.1f} % of the sentences: the nll may be too high by "
        "more than its error; raise --num-samples"
    ]
