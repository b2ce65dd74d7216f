# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The numbers of an evaluation that are of topics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.data import Batch, Corpus
from pyro_textvae.evaluation import LogLikelihood
from pyro_textvae.evaluation.topics.coherence import WINDOW
from pyro_textvae.evaluation.topics.topic_numbers import has_topics, topic_numbers
from pyro_textvae.runs.build import Pair


def numbers_of_topics(
    pair: Pair, batches: Iterable[Batch], likelihood: LogLikelihood, corpus: Corpus, split: str
) -> dict[str, Any]:
    """Plain values for ``evaluation.json``; nothing for a model that has no topics.

    Coherence is counted in the training split, where there is one, else in the split itself.
    """
    if not has_topics(pair.model):
        return {}
    reference = "train" if len(corpus.train) else split
    numbers = topic_numbers(
        pair.model,
        pair.guide,
        batches,
        corpus.split(reference),
        corpus.tokenizer.decode,
        log_px=likelihood.log_px,
        elbo=likelihood.elbo,
        truth=true_topics(corpus),
    )
    named = f"{reference} split, windows of {WINDOW} words"
    return {"topics": numbers | {"coherence_reference": named}}


def true_topics(corpus: Corpus) -> dict[str, Tensor] | None:
    """p(id | topic) of the topics of the corpus's world by name, ``(V,)``; None without any.

    Such a world has the names of its ``topics``, and ``topic_words`` ``(K, words)`` in the order of
    its lexicon.
    """
    world: Any = corpus.world
    if not hasattr(world, "topic_words"):
        return None
    ids = [corpus.tokenizer.encode(word)[0] for word in world.lexicon]
    of_ids = torch.zeros(len(world.topics), len(corpus.tokenizer), dtype=torch.float64)
    of_ids[:, ids] = torch.from_numpy(world.topic_words)
    return dict(zip(world.topics, of_ids, strict=True))
