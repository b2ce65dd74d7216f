# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How good the topics of a model are."""

from __future__ import annotations

from pyro_textvae.run_folder.quantity import NATS, Quantity


def _perplexity(of: str, words: str) -> tuple[Quantity, ...]:
    """By the likelihood and by the bound."""
    name, of_bound = f"topics.perplexity_per_{of}", f"topics.perplexity_per_{of}_of_bound"
    return (
        Quantity(
            name,
            "topics",
            label=f"perplexity of topic words, {words}",
            line=f"perplexity, {words}",
            line_when="known",
            text=f"{{{name}}} a word of a topic ({{{of_bound}}} by the bound)",
            digits=1,
        ),
        Quantity(of_bound, "topics", label=f"{words}, by the bound", digits=1),
    )


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "topics.npmi",
        "topics",
        label="coherence of topics (NPMI)",
        line="topics: coherence",
        line_when="known",
        text="{topics.npmi} NPMI of the 10 likeliest words, {topics.coherence_reference}",
    ),
    Quantity("topics.coherence_reference", "topics", kind="words"),
    Quantity(
        "topics.diversity",
        "topics",
        label="diversity of topics",
        line="  diversity",
        line_when="known",
        text="{topics.diversity} of their 25 likeliest words are different ones",
        kind="share",
        digits=1,
    ),
    Quantity(
        "topics.total_variation",
        "topics",
        label="total variation to the true topics",
        line="  distance to the truth",
        line_when="known",
        text="{topics.total_variation} total variation a topic, after matching",
    ),
    Quantity(
        "topics.nmi",
        "topics",
        label="mutual information of topic and label, normalised",
        line="  with the labels",
        line_when="known",
        text="{topics.nmi} normalised mutual information, purity {topics.purity}",
    ),
    Quantity("topics.purity", "topics", label="purity of topics by label"),
    *_perplexity("document", "mean of each text's"),
    *_perplexity("corpus", "of all texts together"),
    Quantity(
        "topics.posterior_kl",
        "topics",
        label="KL of the topic posterior to the exact one",
        line="KL of the posterior",
        line_when="known",
        text=f"{{topics.posterior_kl}} {NATS}, of q(topics | x) to the exact one",
        unit=NATS,
    ),
    Quantity(
        "topics.log_orders",
        "topics",
        label="nats of the order of the words",
        line="order of the words",
        line_when="known",
        text=f"{{topics.log_orders}} {NATS}: the nll of the counts alone is nll less that",
        unit=NATS,
    ),
)
