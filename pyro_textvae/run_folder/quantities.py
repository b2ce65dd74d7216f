# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every number of an evaluation, once: its key, its names, its unit, and where it is shown.

The terminal table, the report page, the comparisons of runs and of grids, and the readers of
``evaluation.json`` go through :data:`QUANTITIES`. A new number is one entry here, beside the line
that computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

NATS = "nats per sentence"

Group = Literal[
    "text",
    "draws",
    "likelihood",
    "bound",
    "tokens",
    "information",
    "training",
    "trust",
    "annealing",
    "bounds",
    "sandwich",
    "gaps",
]
TERMINAL: tuple[Group, ...] = (
    *("text", "likelihood", "draws", "trust", "bound", "tokens", "information"),
    *("annealing", "bounds", "sandwich", "gaps"),
)
"""Order of the groups in the table that ``evaluate`` prints."""
PAGE: tuple[Group, ...] = (
    *("text", "draws", "likelihood", "bound", "tokens", "information", "trust"),
)
"""Order of the groups on the report page."""
COLUMNS: tuple[Group, ...] = (
    *("text", "likelihood", "bound", "tokens", "information", "draws", "training", "trust"),
)
"""Order of the groups in the columns of a comparison, of runs or of a grid."""


@dataclass(frozen=True)
class Quantity:
    """One number of an evaluation.

    :param name: its key in ``evaluation.json``; dots lead into a part of it.
    :param group: what it stands with; each table has an order of groups.
    :param label: its name in the summary of the report page; empty: not there.
    :param heading: its name over a column, where a short one is needed.
    :param line: its name in the terminal table, two spaces deeper for a part of the line above;
        empty: no line of its own. Holds fields in braces, as ``text`` does.
    :param text: what stands in that line: fields in braces are the names of quantities, ``:.2``
        asks for other digits, ``:d`` for no separator of thousands, ``:+`` for a sign and
        ``:value`` for no error. Default: the value.
    :param unknown: what stands there instead where the value is not known, with fields in braces.
    :param exact: line and text where nothing is drawn, so that the value is no estimate.
    :param line_when: whether the line is always there, or only for a value that is known, or that
        is not zero.
    :param unit: empty for a pure number.
    :param kind: what is in the file; a share is shown in per cent.
    :param digits: after the point.
    :param signed: whether a plus stands before what is not negative.
    :param error: name of its standard error.
    :param count: name of the number of sentences that it is a mean over, where those are a sample.
    :param warning: of a flag: what the terminal table warns of where it is set.
    :param page_warning: of a flag: what the report page does, with fields in braces.
    :param needs_latent: whether it means nothing without a latent.
    :param compared: whether it is a column of the comparison of runs, and so must be in the file.
    :param added_later: whether files of earlier versions may lack it all the same.
    :param averaged: heading and digits of its column in the comparison of a grid, the mean over the
        seeds of a cell; None: no such column.
    :param aliases: keys of the same number in files of earlier versions.
    :param of: how it is worked out from the others, where the file does not hold it.

    >>> kl = QUANTITIES[names().index("kl")]
    >>> kl.label, kl.unit, kl.digits, kl.needs_latent
    ('KL', 'nats per sentence', 3, True)
    """

    name: str
    group: Group
    label: str = ""
    heading: str = ""
    line: str = ""
    text: str = ""
    unknown: str = ""
    exact: tuple[str, str] | None = None
    line_when: Literal["always", "known", "nonzero"] = "always"
    unit: str = ""
    kind: Literal["number", "share", "count", "flag", "words"] = "number"
    digits: int = 3
    signed: bool = False
    error: str = ""
    count: str = ""
    warning: str = ""
    page_warning: str = ""
    needs_latent: bool = True
    compared: bool = False
    added_later: bool = False
    averaged: tuple[str, int] | None = None
    aliases: tuple[str, ...] = ()
    of: Callable[[Mapping[str, Any]], Any] | None = None

    def value(self, result: Mapping[str, Any]) -> Any:
        """The value in an evaluation; None where there is none."""
        return stored(result, self.name) if self.of is None else self.of(result)

    @property
    def title(self) -> str:
        """Over a column of the report page."""
        return self.heading or self.label or self.name

    @property
    def types(self) -> tuple[type, ...]:
        """What JSON may hold under its key."""
        if self.kind in ("flag", "words"):
            return (bool,) if self.kind == "flag" else (str,)
        return (int, float, type(None))


def stored(result: Mapping[str, Any], name: str) -> Any:
    """What an evaluation holds under a name; None where there is nothing.

    >>> stored({"check": {"gaps": {"num_sentences": 50}}}, "check.gaps.num_sentences")
    50
    """
    value: Any = result
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _gap(result: Mapping[str, Any]) -> float | None:
    elbo, nll = result.get("elbo"), result.get("nll")
    return None if elbo is None or nll is None else elbo - nll


def _evaluations_of_a_sentence(result: Mapping[str, Any]) -> float | None:
    total, count = result.get("decoder_evaluations"), result.get("num_sentences")
    return total / count if total is not None and count else None


def _proposal_and_settings(result: Mapping[str, Any]) -> str | None:
    if result.get("proposal") is None:
        return None
    settings = [
        name.replace("_", " ") if value is True else f"{name.replace('_', ' ')} {value}"
        for name, value in (result.get("proposal_settings") or {}).items()
        if value not in (None, False)
    ]
    return ", ".join([str(result["proposal"]), *settings])


def _no_interval(result: Mapping[str, Any]) -> str:
    """Why there is no interval of the nll, as far as files of earlier versions tell."""
    return str(result.get("no_interval") or "less than half of the sentences are settled")


def _no_khat(result: Mapping[str, Any]) -> str:
    """Why no sentence has a k-hat."""
    if result.get("proposal") == "annealed":
        return "annealed populations have none"
    if result.get("proposal") == "auto" and (result.get("num_samples") or 0) >= 100:
        return "all sentences were annealed, and their populations have none"
    return "needs K >= 100, and draws that differ"


def _active_of_all(result: Mapping[str, Any]) -> str | None:
    active, dims = result.get("active_units"), result.get("latent_dim")
    if active is None or not dims:
        return None
    # Some dimensions have no variance to go by.
    counted = [value for value in result.get("unit_variance") or [] if value is not None]
    return f"{active} of {len(counted) or dims}"


def _borderline(result: Mapping[str, Any]) -> str:
    units = ", ".join(map(str, result.get("borderline_units") or []))
    return f"; borderline: {units}" if units else ""


def _of_annealing(key: str, line: str, sentences: str, label: str) -> tuple[Quantity, ...]:
    """Annealed less evaluated log p(x) on some sentences, and what it warns of.

    :param key: of these sentences in ``check.annealing``.
    :param line: what they are in a line of the terminal table; ``sentences``: in a warning there.
    :param label: what they are on the report page.
    """
    part = f"check.annealing.{key}"
    return (
        Quantity(f"{part}.num_sentences", "annealing", heading="sentences", kind="count"),
        Quantity(
            f"{part}.mean",
            "annealing",
            label=label,
            heading="annealed minus evaluated log p(x)",
            line=f"annealing, {{{part}.num_sentences:d}} {line}",
            text=f"log p(x) {{{part}.mean}} above the nll's",
            line_when="known",
            unit=NATS,
            signed=True,
            error=f"{part}.standard_error",
            count=f"{part}.num_sentences",
        ),
        Quantity(f"{part}.standard_error", "annealing", unit=NATS),
        Quantity(
            f"{part}.warns",
            "annealing",
            kind="flag",
            warning=f"annealing finds the nll too high on the {sentences}",
            page_warning=f"Annealing finds a log p(x) that is higher by {{{part}.mean}} nats on "
            f"the {label}: the nll of the evaluation is too high there.",
        ),
        Quantity(
            f"{part}.annealing_falls_short",
            "annealing",
            kind="flag",
            warning=f"annealing was too short to check the {sentences}",
            page_warning=f"Annealing finds a lower log p(x) ({{{part}.mean}} nats) on the "
            f"{label}: it was too short to check anything.",
        ),
    )


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "num_sentences",
        "text",
        label="sentences",
        line="sentences",
        kind="count",
        needs_latent=False,
    ),
    Quantity(
        "num_given",
        "text",
        line="  of the text given",
        text="{num_sentences} of {num_given}",
        line_when="known",
        kind="count",
        needs_latent=False,
    ),
    Quantity(
        "num_tokens",
        "text",
        label="tokens, <eos> counted",
        line="tokens, <eos> counted",
        kind="count",
        needs_latent=False,
    ),
    Quantity(
        "unicode_form",
        "text",
        label="normal form of Unicode",
        line="normal form of Unicode",
        line_when="known",
        kind="words",
        needs_latent=False,
    ),
    Quantity(
        "num_left_out",
        "text",
        label="sentences left out as too long",
        line="left out as too long",
        line_when="nonzero",
        kind="count",
        needs_latent=False,
    ),
    Quantity(
        "num_cut",
        "text",
        label="sentences cut short",
        line="of them cut short",
        line_when="nonzero",
        kind="count",
        needs_latent=False,
    ),
    Quantity(
        "num_samples",
        "draws",
        label="K, draws for each sentence",
        heading="K",
        kind="count",
        compared=True,
    ),
    Quantity("mean_draws", "draws", label="mean of the draws used", digits=1),
    Quantity("decoder_evaluations", "draws", label="decoder evaluations", kind="count"),
    Quantity(
        "decoder_evaluations_of_a_sentence",
        "draws",
        kind="count",
        of=_evaluations_of_a_sentence,
    ),
    Quantity(
        "proposal",
        "draws",
        heading="proposal",
        line="  draws",
        text="from the {proposal} proposal, {decoder_evaluations_of_a_sentence} decoder "
        "evaluations a sentence",
        kind="words",
        compared=True,
    ),
    Quantity(
        "proposal_and_settings",
        "draws",
        label="proposal of the draws",
        kind="words",
        of=_proposal_and_settings,
    ),
    Quantity("exact", "draws", kind="flag", needs_latent=False),
    Quantity(
        "nll",
        "likelihood",
        label="nll ± Monte Carlo error",
        heading="nll",
        line="nll, K = {num_samples:d}",
        text=f"{{nll}} (Monte Carlo) {NATS}",
        unknown="- (see below)",
        exact=("nll", f"{{nll}} {NATS}, exact: there is no latent"),
        unit=NATS,
        error="nll_standard_error",
        needs_latent=False,
        compared=True,
        averaged=("nll", 3),
    ),
    Quantity(
        "nll_joint",
        "likelihood",
        label="nll of the text and of what is observed beside it ± Monte Carlo error",
        heading="nll_joint",
        line="nll_joint, K = {num_samples:d}",
        text=f"{{nll_joint}} (Monte Carlo) {NATS}, of the text and of what is observed beside it",
        exact=("nll_joint", f"{{nll_joint}} {NATS}, of the text and of what is observed beside it"),
        line_when="known",
        unit=NATS,
        error="nll_joint_standard_error",
        needs_latent=False,
        of=lambda result: result.get("nll_joint"),
    ),
    Quantity(
        "nll_joint_standard_error",
        "likelihood",
        unit=NATS,
        of=lambda result: result.get("nll_joint_standard_error"),
    ),
    Quantity("nll_standard_error", "likelihood", heading="Monte Carlo error", unit=NATS),
    Quantity(
        "nll_interval_low",
        "likelihood",
        label="95 % interval of the nll, lower end",
        line="  95 % interval",
        text="{nll_interval_low} to {nll_interval_high}, bias allowed for",
        unknown="- ({no_interval})",
        unit=NATS,
    ),
    Quantity("nll_interval_high", "likelihood", label="its upper end", unit=NATS),
    Quantity("no_interval", "likelihood", kind="words", of=_no_interval),
    Quantity(
        "nll_smoothed",
        "likelihood",
        label="nll by Pareto-smoothed weights",
        line="  Pareto-smoothed",
        text="{nll_smoothed} by weights with a smoothed tail",
        line_when="known",
        unit=NATS,
    ),
    Quantity(
        "nll_jackknife",
        "likelihood",
        label="nll by the jackknife",
        line="  jackknife",
        text="{nll_jackknife} without its bias of order 1 / K",
        line_when="known",
        unit=NATS,
    ),
    Quantity(
        "by_guide.nll",
        "likelihood",
        label="nll by the guide's weights, K = 1,000",
        line="  by the guide's weights",
        text="{by_guide.nll} on {by_guide.num_sentences:d} sentences, K = "
        "{by_guide.num_samples:d}, as published elsewhere; {by_guide.nll_of_these} by the above",
        line_when="known",
        unit=NATS,
        error="by_guide.nll_standard_error",
        count="by_guide.num_sentences",
    ),
    Quantity("by_guide.nll_standard_error", "likelihood", unit=NATS),
    Quantity("by_guide.nll_of_these", "likelihood", label="of it on those sentences", unit=NATS),
    Quantity("by_guide.num_sentences", "likelihood", kind="count"),
    Quantity("by_guide.num_samples", "likelihood", kind="count"),
    Quantity(
        "truth.excess",
        "likelihood",
        label="excess over the truth",
        heading="excess",
        line="  excess over the truth",
        text="{truth.excess} +- {truth.excess_standard_error} above the {truth.nll} of the "
        "language itself",
        line_when="known",
        unit=NATS,
        signed=True,
        needs_latent=False,
        added_later=True,
        averaged=("excess", 3),
    ),
    Quantity(
        "truth.excess_standard_error",
        "likelihood",
        label="standard error of the excess",
        unit=NATS,
        needs_latent=False,
    ),
    Quantity(
        "truth.nll",
        "likelihood",
        label="nll of the language itself",
        unit=NATS,
        needs_latent=False,
    ),
    Quantity(
        "truth.is_below",
        "trust",
        kind="flag",
        needs_latent=False,
        warning="the nll is below that of the language itself by more than three errors, which no "
        "model can be: text leaks into what it is scored by, or the likelihood is wrong",
        page_warning="The nll is below that of the language itself by {truth.excess} nats, more "
        "than three errors, which no model can be.",
    ),
    Quantity(
        "global_latents.nll_global_error",
        "likelihood",
        label="error of the nll by draws of global latents",
        line="  by global latents",
        text="+- {global_latents.nll_global_error} by {global_latents.num_draws:d} draws of them, "
        "+- {global_latents.nll_local_error} by those of each sentence",
        line_when="known",
        unit=NATS,
    ),
    Quantity(
        "global_latents.nll_local_error",
        "likelihood",
        label="error of the nll by draws of each sentence's latents",
        unit=NATS,
    ),
    Quantity(
        "global_latents.num_draws",
        "likelihood",
        label="draws of global latents",
        kind="count",
    ),
    Quantity(
        "nll_sampling_error",
        "likelihood",
        label="sampling error of the nll",
        line="  over sentences",
        text="+- {nll_sampling_error} (another test set)",
        unknown="-",
        unit=NATS,
        needs_latent=False,
    ),
    Quantity(
        "unknown_token_share",
        "likelihood",
        label="share of unknown tokens",
        heading="unk %",
        line="  unknown tokens",
        text="{unknown_token_share} of tokens",
        line_when="known",
        kind="share",
        digits=1,
        needs_latent=False,
        compared=True,
        added_later=True,
        averaged=("unk %", 1),
    ),
    Quantity(
        "elbo",
        "bound",
        label="minus the evidence lower bound",
        heading="-elbo",
        line="-elbo",
        text=f"{{elbo}} {NATS} (an upper bound of the nll, up to the error of the draws)",
        unit=NATS,
        compared=True,
        averaged=("-elbo", 2),
    ),
    Quantity(
        "global_latents.kl",
        "bound",
        label="KL of global latents, of the whole corpus",
        line="  of global latents",
        text="{global_latents.kl} nats of the whole corpus, in none of the above",
        line_when="known",
        unit="nats",
    ),
    Quantity("gap", "bound", unit=NATS, averaged=("gap", 2), of=_gap),
    Quantity("reconstruction", "bound", label="reconstruction", line="  reconstruction", unit=NATS),
    Quantity(
        "kl",
        "bound",
        label="KL",
        heading="kl",
        line="  kl",
        unit=NATS,
        compared=True,
        averaged=("kl", 2),
    ),
    Quantity("sampled_kl", "bound", unit=NATS),
    Quantity(
        "ppl",
        "tokens",
        label="perplexity per token",
        heading="ppl",
        line="perplexity",
        text="{ppl} (from the elbo {ppl_elbo})",
        unknown="-",
        digits=2,
        needs_latent=False,
        compared=True,
    ),
    Quantity("ppl_elbo", "tokens", label="perplexity per token by the bound", digits=2),
    Quantity("ppl_per_word", "tokens", digits=2, needs_latent=False),
    Quantity(
        "bits_per_word",
        "tokens",
        label="bits per word",
        line="bits per word",
        needs_latent=False,
    ),
    Quantity(
        "bits_per_character",
        "tokens",
        label="bits per character",
        line="bits per character",
        line_when="known",
        needs_latent=False,
    ),
    Quantity(
        "mutual_information",
        "information",
        label="mutual information",
        line="mutual information",
        text="{mutual_information} nats, cannot exceed ln N = {mutual_information_ceiling}",
        unknown="-",
        unit="nats",
        error="mutual_information_standard_error",
        averaged=("mi", 2),
    ),
    Quantity("mutual_information_standard_error", "information", unit="nats"),
    Quantity(
        "mutual_information_upper",
        "information",
        label="its upper bound, own sentence left out",
        line="  its upper bound",
        line_when="known",
        unit="nats",
    ),
    Quantity("mutual_information_ceiling", "information", label="its ceiling, ln N", unit="nats"),
    Quantity(
        "given_source.mutual_information",
        "information",
        label="mutual information given the source",
        line="  given the source",
        line_when="known",
        unit="nats",
        error="given_source.standard_error",
    ),
    Quantity("given_source.standard_error", "information", unit="nats"),
    Quantity(
        "given_source.upper",
        "information",
        label="its upper bound, own text left out",
        line="    its upper bound",
        line_when="known",
        unit="nats",
    ),
    Quantity(
        "aggregate_kl",
        "information",
        label="KL of the aggregate posterior to the prior",
        line="kl of the aggregate",
        line_when="known",
        unit="nats",
        error="aggregate_kl_standard_error",
    ),
    Quantity("aggregate_kl_standard_error", "information", unit="nats"),
    Quantity(
        "total_correlation",
        "information",
        label="of it, total correlation",
        line="  total correlation",
        line_when="known",
        unit="nats",
        error="total_correlation_standard_error",
    ),
    Quantity("total_correlation_standard_error", "information", unit="nats"),
    Quantity(
        "dimensionwise_kl",
        "information",
        label="of it, dimension by dimension",
        line="  dimension by dimension",
        line_when="known",
        unit="nats",
        error="dimensionwise_kl_standard_error",
    ),
    Quantity("dimensionwise_kl_standard_error", "information", unit="nats"),
    Quantity(
        "active_units",
        "information",
        line="active units",
        text="{active_of_all}{borderline}",
        kind="count",
        averaged=("au", 1),
    ),
    Quantity("active_of_all", "information", label="active units", kind="words", of=_active_of_all),
    Quantity("borderline", "information", kind="words", of=_borderline),
    Quantity("latent_dim", "information", kind="count", needs_latent=False),
    Quantity(
        "median_ess",
        "trust",
        label="median effective sample size",
        line="  effective sample size",
        text="median {median_ess}; {flagged_sentences} sentences rest on few draws",
        digits=1,
    ),
    Quantity(
        "settled_share",
        "trust",
        label="sentences that are settled",
        line="  settled",
        text="{settled_share} of sentences",
        kind="share",
        digits=1,
    ),
    Quantity("flagged_sentences", "trust", label="sentences that rest on few draws", kind="count"),
    Quantity(
        "heavy_tail_share",
        "trust",
        label="sentences with k-hat above 0.7",
        heading="share with k-hat above 0.7",
        line="  khat above 0.7",
        text="{heavy_tail_share} of sentences",
        unknown="- ({no_khat})",
        kind="share",
        digits=1,
        averaged=("khat %", 0),
        aliases=("khat_above_0_7",),
    ),
    Quantity("no_khat", "trust", kind="words", of=_no_khat),
    Quantity(
        "doubling_increment",
        "trust",
        label="gain of the last doubling of K, D_K",
        line="  last doubling of K",
        text="-{doubling_increment:.3} nats, about {remaining_bias:.3} more to come",
        line_when="known",
        unit=NATS,
        digits=4,
    ),
    Quantity("doubling_ratio", "trust", label="its ratio to the doubling before, ρ", digits=2),
    Quantity("remaining_bias", "trust", label="estimated remaining bias", unit=NATS, digits=4),
    # The independent check, where it was asked for.
    *_of_annealing("random", "at random", "sentences at random", "sentences drawn at random"),
    *_of_annealing(
        *("worst", "of the worst khat", "sentences of the worst khat", "sentences of worst k-hat")
    ),
    Quantity("check.annealing.sandwich.num_sentences", "bounds", heading="sentences", kind="count"),
    Quantity("check.annealing.sandwich.closed", "bounds", unit=NATS, digits=1),
    Quantity(
        "check.annealing.sandwich.num_closed",
        "bounds",
        label="sentences whose bounds are closed",
        line="sandwich, {check.annealing.sandwich.num_sentences:d} of the text",
        text="{check.annealing.sandwich.num_closed} within {check.annealing.sandwich.closed} nats, "
        "mean from {check.annealing.sandwich.lower} to {check.annealing.sandwich.upper} (the upper "
        "approximate); {check.annealing.sandwich.num_outside} evaluated outside",
        line_when="known",
        kind="count",
        count="check.annealing.sandwich.num_sentences",
    ),
    Quantity(
        "check.annealing.sandwich.lower",
        "bounds",
        label="lower bound of log p(x)",
        unit=NATS,
        count="check.annealing.sandwich.num_sentences",
    ),
    Quantity(
        "check.annealing.sandwich.upper",
        "bounds",
        label="upper bound of log p(x), approximate",
        unit=NATS,
        count="check.annealing.sandwich.num_sentences",
    ),
    Quantity(
        "check.annealing.sandwich.gap",
        "bounds",
        label="gap of the bounds",
        unit=NATS,
        error="check.annealing.sandwich.gap_standard_error",
        count="check.annealing.sandwich.num_sentences",
    ),
    Quantity("check.annealing.sandwich.gap_standard_error", "bounds", unit=NATS),
    Quantity(
        "check.annealing.sandwich.num_outside",
        "bounds",
        label="sentences whose evaluated log p(x) is outside of them",
        kind="count",
        count="check.annealing.sandwich.num_sentences",
    ),
    Quantity("check.bidirectional.num_sentences", "sandwich", heading="sentences", kind="count"),
    Quantity(
        "check.bidirectional.lower",
        "sandwich",
        label="lower bound of log p(x)",
        unit=NATS,
        error="check.bidirectional.lower_standard_error",
        count="check.bidirectional.num_sentences",
    ),
    Quantity("check.bidirectional.lower_standard_error", "sandwich", unit=NATS),
    Quantity(
        "check.bidirectional.upper",
        "sandwich",
        label="upper bound of log p(x)",
        unit=NATS,
        error="check.bidirectional.upper_standard_error",
        count="check.bidirectional.num_sentences",
    ),
    Quantity("check.bidirectional.upper_standard_error", "sandwich", unit=NATS),
    Quantity(
        "check.bidirectional.gap",
        "sandwich",
        label="gap",
        line="sandwich, {check.bidirectional.num_sentences:d} simulated",
        text="from {check.bidirectional.lower:value} to {check.bidirectional.upper:value}, "
        "gap {check.bidirectional.gap:+}",
        line_when="known",
        unit=NATS,
        error="check.bidirectional.gap_standard_error",
        count="check.bidirectional.num_sentences",
    ),
    Quantity("check.bidirectional.gap_standard_error", "sandwich", unit=NATS),
    Quantity("check.gaps.num_sentences", "gaps", heading="sentences", kind="count"),
    Quantity(
        "check.gaps.inference_gap",
        "gaps",
        label="inference gap: log p(x) less the guide's bound",
        unit=NATS,
        count="check.gaps.num_sentences",
    ),
    Quantity(
        "check.gaps.amortisation_gap",
        "gaps",
        label="of it, amortisation: the guide's bound against its own best",
        line="amortisation gap",
        line_when="known",
        unit=NATS,
        error="check.gaps.amortisation_gap_standard_error",
        count="check.gaps.num_sentences",
    ),
    Quantity("check.gaps.amortisation_gap_standard_error", "gaps", unit=NATS),
    Quantity(
        "check.gaps.approximation_gap",
        "gaps",
        label="of it, approximation: the best of its family against log p(x)",
        line="approximation gap",
        line_when="known",
        unit=NATS,
        count="check.gaps.num_sentences",
    ),
    # What a grid measures of its runs besides.
    Quantity("gradient_signal_guide", "training", averaged=("snr q", 2), needs_latent=False),
    Quantity("gradient_signal_model", "training", averaged=("snr p", 2), needs_latent=False),
    Quantity("seconds", "training", unit="s", averaged=("sec", 0), needs_latent=False),
    Quantity(
        "tokens_per_second", "training", unit="1/s", averaged=("tok/s", 0), needs_latent=False
    ),
)


def names() -> list[str]:
    """Names of all quantities."""
    return [each.name for each in QUANTITIES]


def quantity(name: str) -> Quantity:
    """The quantity of this name.

    :raises KeyError: for a name that none has.
    """
    for each in QUANTITIES:
        if each.name == name:
            return each
    raise KeyError(name)


def ordered(groups: Iterable[Group]) -> list[Quantity]:
    """The quantities of these groups, group by group."""
    return [each for group in groups for each in QUANTITIES if each.group == group]


def compared() -> list[Quantity]:
    """Columns of the comparison of runs, in their order."""
    return [each for each in ordered(COLUMNS) if each.compared]


def averaged() -> list[Quantity]:
    """Columns of the comparison of a grid, in their order."""
    return [each for each in ordered(COLUMNS) if each.averaged is not None]


def with_current_names(result: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation with the keys of today, whatever version wrote it.

    >>> with_current_names({"nll": 1.5, "khat_above_0_7": 0.25})
    {'nll': 1.5, 'heavy_tail_share': 0.25}
    """
    current = {alias: each.name for each in QUANTITIES for alias in each.aliases}
    renamed = {current.get(key, key): value for key, value in result.items()}
    if isinstance(renamed.get("proposals"), list):
        renamed["proposals"] = [
            with_current_names(row) if isinstance(row, Mapping) else row
            for row in renamed["proposals"]
        ]
    return renamed
