# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The topic model: how much of each topic, then words without regard to their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.data import Tokenizer
from pyro_textvae.distributions import scorable_rows, sentence_mask
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.number_of_sentences import sentences_there
from pyro_textvae.nn.topic_words import TopicKind, TopicWords
from pyro_textvae.special_tokens import PAD, UNK

TopicPrior = Literal["logistic_normal", "dirichlet"]


class TopicModel(PyroModule):
    r"""theta, a weight of each topic; L ~ p(L) words, each ~ p(word | theta).

    .. math::
        p(x, \theta) = p(\theta) \, p(L) \prod_{i=1}^{L} p(x_i \mid \theta)

    ======  =========  ===================================================
    symbol  site       shape
    ======  =========  ===================================================
    z       ``z``      ``(N, latent_dim)``, of a logistic normal, and NVDM
    theta   ``theta``  ``(N, latent_dim)``, of a Dirichlet
    x       ``x``      ``(N, T)`` int64 ids, ``<pad>`` = 0
    ======  =========  ===================================================

    All sites are in the plate ``"data"`` of N texts. A logistic normal is theta = softmax(z), with
    mean and variances of z in the Laplace approximation of a Dirichlet; NVDM takes z ~ N(0, I) as
    it is. The words by ``kind``, their order, stop words and the number of words:
    :class:`~pyro_textvae.nn.topic_words.TopicWords`. Its guide is ``topic``.

    Of documents, with ``max_sentences``, x is ``(N, S, T)`` and the topics ``(N, 1, latent_dim)``:
    each sentence is of the document's topics, and how many there are, drawn at ``num_sentences``,
    is scored as words are.

    >>> model = TopicModel(latent_dim=3, vocab_size=9, max_length=6, embedding_dim=4)
    >>> model(size=2).shape
    torch.Size([2, 6])

    Source: Srivastava and Sutton (2017), Autoencoding Variational Inference for Topic Models,
    https://arxiv.org/abs/1703.01488; Dieng et al. (2020), Topic Modeling in Embedding Spaces,
    https://aclanthology.org/2020.tacl-1.29/; Miao et al. (2016), Neural Variational Inference for
    Text Processing, https://arxiv.org/abs/1511.06038.

    :param latent_dim: number of topics, at least 2.
    :param kind: ``prodlda``, ``etm``, ``nvdm`` or ``lda``.
    :param topic_prior: ``logistic_normal`` or ``dirichlet``.
    :param concentration: of the symmetric Dirichlet: below 1, texts of few topics.
    :param stop_words: words that are in no topic, or how many of the most frequent ones are not.
    :param max_sentences: the most sentences of a document; None where texts are no documents.
    :param tokenizer: knows the ids of stop words that are given as words.
    :raises ValueError: for an unknown name, a stop word that is not in the vocabulary, a Dirichlet
        for ``nvdm``, and where stop words leave nothing to the topics.
    """

    def __init__(
        self,
        latent_dim: int,
        vocab_size: int,
        max_length: int,
        embedding_dim: int,
        kind: TopicKind = "prodlda",
        topic_prior: TopicPrior = "logistic_normal",
        concentration: float = 1.0,
        stop_words: int | Sequence[str] = 0,
        max_sentences: int | None = None,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        if topic_prior not in get_args(TopicPrior):
            names = ", ".join(get_args(TopicPrior))
            raise ValueError(f"topic_prior must be one of {names}, got {topic_prior!r}")
        if kind == "nvdm" and (topic_prior == "dirichlet" or concentration != 1.0):
            raise ValueError(
                "nvdm takes z ~ N(0, I) itself, so there is no Dirichlet: leave topic_prior and "
                "concentration out, or choose another kind"
            )
        if not concentration > 0:
            raise ValueError(f"concentration must be above 0, got {concentration}")
        super().__init__("model")
        self.topic_prior = topic_prior
        self.concentration = concentration
        self.words = TopicWords(
            vocab_size,
            latent_dim,
            max_length,
            embedding_dim,
            kind,
            stop_word_ids(stop_words, tokenizer),
        )
        self.max_sentences = max_sentences
        if max_sentences is not None:
            check_sizes(max_sentences=max_sentences)
            self.number_scores = nn.Parameter(torch.zeros(max_sentences))

    def forward(self, tokens: Tensor | None = None, *, size: int | None = None) -> Tensor:
        """Score ``tokens`` ``(N, T)``, of documents ``(N, S, T)``, or generate ``size`` texts."""
        size = size if tokens is None else len(tokens)
        if self.max_sentences is None:
            with pyro.plate("data", size):
                return pyro.sample("x", self.words(self.theta()), obs=tokens)
        rows, given = (None, None) if tokens is None else scorable_rows(tokens)
        with pyro.plate("data", size, dim=-2):
            theta = self.theta()
            there: Any = sentences_there(self.number_scores, given)
            with pyro.plate("sentences", there.shape[-1], dim=-1), poutine.mask(mask=there):
                return pyro.sample("x", self.words(theta).mask(there), obs=rows)

    def theta(self) -> Tensor:
        """Draw what the words of a text are drawn given."""
        ones = self.words.outside_scores.new_ones(self.words.num_topics)
        if self.topic_prior == "dirichlet":
            return pyro.sample("theta", dist.Dirichlet(self.concentration * ones))
        return self.weights(pyro.sample("z", dist.Normal(0 * ones, self.scale).to_event(1)))

    @property
    def topic_site(self) -> str:
        """The latent that says how much of each topic a text has."""
        return "theta" if self.topic_prior == "dirichlet" else "z"

    def topics(self) -> Tensor:
        """p(id | topic), ``(latent_dim, vocab_size)``."""
        return self.words.topics()

    def begin_topics_at(self, topics: Tensor) -> None:
        """Set the topics that training begins at, ``(latent_dim, vocab_size)``.

        :raises UserError: for ``nvdm``, whose directions are no topics.
        """
        self.words.begin_topics_at(topics)

    def begin_beside_topics_at(self, counts: Tensor, lengths: Tensor, numbers: Tensor) -> None:
        """Set what hangs on no topic to what it is in some texts.

        :param counts: of each id, ``(vocab_size,)``.
        :param lengths: numbers of words of texts, or of the sentences of documents.
        :param numbers: of the sentences of documents, which other texts have none of.
        """
        self.words.begin_beside_topics_at(counts, lengths)
        if self.max_sentences is not None:
            of_number = numbers.bincount(minlength=self.max_sentences + 1)[1:]
            self.number_scores.data.copy_((of_number + 0.1).log())

    def beside_topics(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """What of log p(x) does not hang on topics, and how many words do, ``(N,)`` each."""
        length, outside, in_topic = self.words.log_prob_of_parts(tokens, sentence_mask(tokens))
        beside, count = length + outside.sum(-1), in_topic.sum(-1)
        if self.max_sentences is None:
            return beside, count
        given = (tokens != PAD).any(-1)
        of_number = self.number_scores.log_softmax(-1)[given.sum(-1) - 1]
        return of_number + beside.where(given, 0.0).sum(-1), count.where(given, 0).sum(-1)

    @property
    def scale(self) -> float:
        """Of every z: for equal concentrations a, variance (1 - 1 / K) / a; of NVDM, 1."""
        if self.words.kind == "nvdm":
            return 1.0
        return ((1 - 1 / self.words.num_topics) / self.concentration) ** 0.5

    def weights(self, z: Tensor) -> Tensor:
        """What words are drawn given, of the latent ``(..., latent_dim)`` of either prior."""
        if self.topic_prior == "dirichlet" or self.words.kind == "nvdm":
            return z
        return z.softmax(-1)


def stop_word_ids(stop_words: int | Sequence[str], tokenizer: Tokenizer | None) -> list[int]:
    """Ids of stop words that are given as words, or as a number of the most frequent.

    :raises ValueError: for a word that is no single token of the vocabulary.
    """
    if isinstance(stop_words, int):
        check_sizes(minimum=0, stop_words=stop_words)
        return [*range(UNK + 1, UNK + 1 + stop_words)]
    if tokenizer is None:
        raise ValueError("stop_words that are words need a tokenizer, which knows their ids")
    ids = []
    for word in stop_words:
        of_word = tokenizer.encode(word)
        if len(of_word) != 1 or of_word[0] == UNK:
            raise ValueError(f"the stop word {word!r} is no word of the vocabulary: leave it out")
        ids += of_word
    return ids
