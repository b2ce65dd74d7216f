# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Results as text that a person reads."""

from __future__ import annotations

import math
from typing import Any

UNTRUSTED_SHARE = 0.25
"""With more sentences than this above khat 0.7, the error of the nll does not cover its bias."""


def evaluation_table(result: dict[str, Any]) -> str:
    """The numbers of one evaluation, a line each, with units and errors."""

    def number(name: str, digits: int = 3) -> str:
        value = result[name]
        return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"

    lines = [
        ("sentences", f"{result['num_sentences']:,}"),
        ("tokens, <eos> counted", f"{result['num_tokens']:,}"),
    ]
    for name, what in (("num_left_out", "left out as too long"), ("num_cut", "of them cut short")):
        if result[name]:
            lines.append((what, f"{result[name]:,}"))
    if result["latent_dim"] == 0:
        lines.append(("nll", f"{number('nll')} nats per sentence, exact: there is no latent"))
    else:
        monte_carlo = f"{number('nll')} +- {number('nll_standard_error')} (Monte Carlo)"
        lines += [
            (f"nll, K = {result['num_samples']}", f"{monte_carlo} nats per sentence"),
            ("elbo", f"{number('elbo')} nats per sentence (an upper bound of the nll)"),
            ("  reconstruction", number("reconstruction")),
            ("  kl", number("kl")),
        ]
    lines += [
        ("perplexity", f"{number('ppl', 2)} (from the elbo {number('ppl_elbo', 2)})"),
        ("bits per word", number("bits_per_word")),
    ]
    if result["bits_per_character"] is not None:
        lines.append(("bits per character", number("bits_per_character")))
    if result["latent_dim"] > 0:
        ceiling = f"cannot exceed ln N = {number('mutual_information_ceiling')}"
        khat = result["khat_above_0_7"]
        tail = "- (needs K >= 100)" if khat is None else f"{100 * khat:.1f} % of sentences"
        if khat is not None and khat > UNTRUSTED_SHARE:
            tail += ": the nll may be too high by more than its error; raise --num-samples"
        lines += [
            ("mutual information", f"{number('mutual_information')} nats, {ceiling}"),
            ("active units", f"{result['active_units']} of {result['latent_dim']}"),
            ("khat above 0.7", tail),
        ]
    width = max(len(name) for name, _ in lines)
    title = f"{result['run']} on {result['data']}, {result['split']} split"
    return "\n".join([title, *(f"  {name:{width}s}  {value}" for name, value in lines)])
