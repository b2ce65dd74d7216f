# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Results as text that a person reads."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import Any

from pyro_textvae.evaluation.importance.result import UNTRUSTED_SHARE as UNTRUSTED_SHARE

_WIDTH = 100


def evaluation_table(result: Mapping[str, Any]) -> str:
    """The numbers of one evaluation, a line each, with units and errors; then what to beware of."""
    has_latent = result["latent_dim"] > 0
    lines = [
        ("sentences", f"{result['num_sentences']:,}"),
        ("tokens, <eos> counted", f"{result['num_tokens']:,}"),
    ]
    for name, what in (("num_left_out", "left out as too long"), ("num_cut", "of them cut short")):
        if result[name]:
            lines.append((what, f"{result[name]:,}"))
    lines += _of_likelihood(result) if has_latent else _exact(result)
    lines += [
        (
            "perplexity",
            f"{_number(result, 'ppl', 2)} (from the elbo {_number(result, 'ppl_elbo', 2)})",
        ),
        ("bits per word", _number(result, "bits_per_word")),
    ]
    if result["bits_per_character"] is not None:
        lines.append(("bits per character", _number(result, "bits_per_character")))
    if has_latent:
        lines += _of_information(result)
        lines += _of_check(result.get("check") or {})
    width = max(len(name) for name, _ in lines)
    title = f"{result['run']} on {result['data']}, {result['split']} split"
    rows = [f"  {name:{width}s}  {value}" for name, value in lines]
    return "\n".join([title, *rows, *_remarks(result)])


def _number(result: Mapping[str, Any], name: str, digits: int = 3, error: str = "") -> str:
    value, noise = result.get(name), result.get(error)
    if value is None or not math.isfinite(value):
        return "-"
    shown = f"{value:z.{digits}f}"
    return shown if noise is None or not math.isfinite(noise) else f"{shown} +- {noise:.{digits}f}"


def _exact(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    nll = f"{_number(result, 'nll')} nats per sentence, exact: there is no latent"
    return [
        ("nll", nll),
        ("  over sentences", f"+- {_number(result, 'nll_sampling_error')} (another test set)"),
    ]


def _of_likelihood(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    estimate = _number(result, "nll", 3, "nll_standard_error")
    khat = result["khat_above_0_7"]
    evaluations = result["decoder_evaluations"] / result["num_sentences"]
    lines = [
        (f"nll, K = {result['num_samples']}", f"{estimate} (Monte Carlo) nats per sentence"),
        ("  over sentences", f"+- {_number(result, 'nll_sampling_error')} (another test set)"),
        (
            "  draws",
            f"from the {result['proposal']} proposal, {evaluations:,.0f} decoder evaluations a "
            "sentence",
        ),
        (
            "  effective sample size",
            f"median {_number(result, 'median_ess', 1)}; {result['flagged_sentences']:,} sentences "
            "rest on few draws",
        ),
        (
            "  khat above 0.7",
            "- (needs K >= 100)" if khat is None else f"{100 * khat:.1f} % of sentences",
        ),
    ]
    if result["doubling_increment"] is not None and math.isfinite(result["doubling_increment"]):
        lines.append(
            (
                "  last doubling of K",
                f"-{_number(result, 'doubling_increment')} nats, about "
                f"{_number(result, 'remaining_bias')} more to come",
            )
        )
    return [
        *lines,
        ("elbo", f"{_number(result, 'elbo')} nats per sentence (an upper bound of the nll)"),
        ("  reconstruction", _number(result, "reconstruction")),
        ("  kl", _number(result, "kl")),
    ]


def _of_information(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    mutual = _number(result, "mutual_information", 3, "mutual_information_standard_error")
    lines = [
        (
            "mutual information",
            f"{mutual} nats, cannot exceed ln N = {_number(result, 'mutual_information_ceiling')}",
        )
    ]
    for name, what in (
        ("mutual_information_upper", "  its upper bound"),
        ("aggregate_kl", "kl of the aggregate"),
        ("total_correlation", "  total correlation"),
        ("dimensionwise_kl", "  dimension by dimension"),
    ):
        if result.get(name) is not None:
            lines.append((what, _number(result, name, 3, f"{name}_standard_error")))
    borderline = ", ".join(map(str, result.get("borderline_units") or []))
    units = f"{result['active_units']} of {result['latent_dim']}"
    return [*lines, ("active units", f"{units}; borderline: {borderline}" if borderline else units)]


def _of_check(check: Mapping[str, Any]) -> list[tuple[str, str]]:
    lines = []
    if "annealing" in check:
        for key, what in (("random", "at random"), ("worst", "of the worst khat")):
            part = check["annealing"][key]
            lines.append(
                (
                    f"annealing, {part['num_sentences']} {what}",
                    f"log p(x) {part['mean']:+.3f} +- {part['standard_error']:.3f} above the nll's",
                )
            )
    if "bidirectional" in check:
        both = check["bidirectional"]
        lines.append(
            (
                f"sandwich, {both['num_sentences']} simulated",
                f"from {both['lower']:.3f} to {both['upper']:.3f}, gap "
                f"{both['gap']:+.3f} +- {both['gap_standard_error']:.3f}",
            )
        )
    gaps = check.get("gaps") or {}
    for name, what in (
        ("amortisation_gap", "amortisation gap"),
        ("approximation_gap", "approximation gap"),
    ):
        if gaps.get(name) is not None:
            lines.append((what, _number(gaps, name, 3, f"{name}_standard_error")))
    return lines


def _remarks(result: Mapping[str, Any]) -> list[str]:
    check = result.get("check") or {}
    remarks = [("warning", text) for text in result.get("warnings") or []]
    for key, what in (("random", "sentences at random"), ("worst", "sentences of the worst khat")):
        part = (check.get("annealing") or {}).get(key) or {}
        if part.get("warns"):
            remarks.append(("warning", f"annealing finds the nll too high on the {what}"))
        if part.get("annealing_falls_short"):
            remarks.append(("warning", f"annealing was too short to check the {what}"))
    if result.get("warnings"):
        remarks.append(("mend", "--proposal refined, or a larger --num-samples"))
    remarks += [("note", text) for text in result.get("notes") or []]
    remarks += [("not checked", text) for text in check.get("left_out") or []]
    return [
        textwrap.fill(f"{kind}: {text}", _WIDTH, initial_indent="  ", subsequent_indent="    ")
        for kind, text in remarks
    ]
