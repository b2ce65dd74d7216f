# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What is known of the topics of a model: of one that has them, by their words and by the texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from pyro_textvae.contract import LABELS, TOKENS
from pyro_textvae.evaluation.latents.posterior_means import posterior_mean
from pyro_textvae.evaluation.sentences import in_corpus_order
from pyro_textvae.evaluation.topics.agreement import normalised_mutual_information, purity
from pyro_textvae.evaluation.topics.coherence import normalised_pmi
from pyro_textvae.evaluation.topics.matching import matched_total_variation
from pyro_textvae.evaluation.topics.top_words import diversity, top_words
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.running import evaluation_mode, to_device
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.special_tokens import UNK


@runtime_checkable
class HasTopics(Protocol):
    """A model of topics; :class:`~pyro_textvae.models.TopicModel` is one."""

    topic_site: str
    """The latent that says how much of each topic a text has."""

    def topics(self) -> Tensor:
        """p(id | topic), ``(K, V)``."""

    def weights(self, z: Tensor) -> Tensor:
        """How much of each topic, ``(..., K)``, of a value of that latent."""


def has_topics(model: nn.Module) -> bool:
    """Whether a model is one of topics."""
    return isinstance(model, HasTopics)


@torch.no_grad()
def topic_numbers(
    model: Any,
    guide: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    reference: Iterable[Tensor],
    decode: Callable[[list[int]], str],
    *,
    log_px: Tensor,
    elbo: Tensor,
    truth: Mapping[str, Tensor] | None = None,
) -> dict[str, Any]:
    """Plain values for ``evaluation.json``.

    ``topics`` lists them, the commonest first: their ``words``, ``share`` of the texts, ``npmi``.
    ``perplexity_per_corpus`` is exp of all nats over all topic words, ``perplexity_per_document``
    exp of the mean over texts of the nats of each by its topic words; the nats of both are of the
    words of topics alone, given their number and places: -log p(x) without what does not hang on
    the topics. ``_of_bound`` are the same of the bound. ``log_orders`` is the mean logarithm of the
    number of orders of a text's words: the nll of the counts, which knows no order, is nll less
    that. ``posterior_kl`` is the mean of KL(q || p(theta | x)), the nll's distance to the bound.

    :param batches: of the texts that are scored.
    :param reference: ids of the words of each text that coherence is counted in.
    :param decode: ids to text.
    :param log_px, elbo: of the texts, in corpus order, ``(N,)``.
    :param truth: true topics by name, a probability of each id ``(V,)``.
    """
    topics = model.topics().cpu()
    words = top_words(topics)
    npmi = normalised_pmi(words, (text[text >= UNK] for text in reference))
    columns = _columns(model, guide, batches)
    shares = columns["shares"]
    order = shares.mean(0).argsort(descending=True, stable=True).tolist()
    listed: dict[int, dict[str, Any]] = {
        topic: {
            "words": [decode([word]) for word in words[topic].tolist()],
            "share": shares[:, topic].mean().item(),
            "npmi": npmi[topic].item(),
        }
        for topic in order
    }
    numbers: dict[str, Any] = {
        "num_topics": len(topics),
        "npmi": npmi.mean().item(),
        "diversity": diversity(topics),
        "log_orders": columns["log_orders"].mean().item(),
    }
    if "beside" in columns:
        # Of a model whose one latent is that of topics.
        numbers["posterior_kl"] = (log_px - elbo).mean().item()
        for name, log_prob in (("", log_px), ("_of_bound", elbo)):
            nats = columns["beside"] - log_prob.double()
            of_both = perplexities(nats, columns["num_words"])
            numbers |= {f"{key}{name}": value for key, value in of_both.items()}
    if truth is not None:
        distances, match = matched_total_variation(topics, torch.stack([*truth.values()]))
        numbers["total_variation"] = distances.mean().item()
        for name, distance, topic in zip(truth, distances.tolist(), match.tolist(), strict=True):
            if topic >= 0:
                listed[topic] |= {"truth": name, "total_variation": distance}
    given = columns.get("labels", torch.tensor([-1]))
    if (given >= 0).any():
        clusters, given = shares.argmax(1)[given >= 0], given[given >= 0]
        numbers["nmi"] = normalised_mutual_information(clusters, given)
        numbers["purity"] = purity(clusters, given)
    return numbers | {"topics": [*listed.values()]}


def perplexities(nats: Tensor, count: Tensor) -> dict[str, float]:
    """Both that papers call perplexity, of texts that have a word at all.

    >>> found = perplexities(torch.tensor([2.0, 8.0]), torch.tensor([1, 8]))
    >>> {name: round(value, 2) for name, value in found.items()}
    {'perplexity_per_document': 4.48, 'perplexity_per_corpus': 3.04}

    :param nats: of each text, ``(N,)``.
    :param count: words of each text, ``(N,)``.
    """
    some = count > 0
    nats, count = nats[some].double(), count[some].double()
    return {
        "perplexity_per_document": (nats / count).mean().exp().item(),
        "perplexity_per_corpus": (nats.sum() / count.sum()).exp().item(),
    }


def _columns(
    model: Any, guide: nn.Module, batches: Iterable[Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """What is known of each text, in corpus order: the rows of every column."""
    rows: dict[str, list[Tensor]] = {}
    indices = []
    for batch in batches:
        tokens = batch[TOKENS]
        of_batch = {"log_orders": _log_orders(tokens), "shares": _mean_weights(model, guide, batch)}
        if hasattr(model, "beside_topics"):
            beside, count = model.beside_topics(to_device(batch, model)[TOKENS])
            of_batch |= {"beside": beside.double(), "num_words": count}
        if LABELS in batch:
            of_batch["labels"] = batch[LABELS]
        for name, column in of_batch.items():
            rows.setdefault(name, []).append(column.cpu())
        indices.append(getattr(batch, "indices", None))
    return in_corpus_order({name: torch.cat(parts) for name, parts in rows.items()}, indices)


def _mean_weights(model: Any, guide: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """How much of each topic the texts of a batch have, at the means of their posteriors."""
    with evaluation_mode(model, guide, seed=0):
        trace = trace_guide(guide, **fields_of(guide, to_device(batch, guide)))
        weights = model.weights(posterior_mean(trace.nodes[model.topic_site]["fn"]))
    return weights.reshape(len(batch[TOKENS]), -1)


def _log_orders(tokens: Tensor) -> Tensor:
    """log of the number of different orders of the words of each row, ``(N,)``."""
    of_equal = []
    rows = tokens.flatten(1)
    for row in rows:
        counts = row[row >= UNK].unique(return_counts=True)[1]
        of_equal.append((counts + 1).double().lgamma().sum())
    return ((rows >= UNK).sum(1) + 1).double().lgamma() - torch.stack(of_equal)
