# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Words drawn from topics, each without regard to the others, and how many there are."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from pyro_textvae.distributions import AutoregressiveCategorical, Context
from pyro_textvae.errors import UserError
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.special_tokens import EOS, FIRST_EMITTED, UNK

TopicKind = Literal["lda", "etm", "prodlda", "nvdm"]
_MIXTURES = ("lda", "etm")


class TopicWords(nn.Module):
    r"""p(x | theta): a number of words, then each word from the topics that theta weighs.

    .. math::
        p(x \mid \theta) = p(L) \prod_{i=1}^{L} p(x_i \mid \theta)

    Words are exchangeable: it is the probability of the words in the order in which they stand,
    not of their counts, which is larger by the multinomial coefficient. By ``kind``, for one theta

    ===========  ================================================================  ============
    kind         p(word)                                                           theta
    ===========  ================================================================  ============
    ``lda``      theta @ softmax(beta), a mixture of topics                        on a simplex
    ``etm``      the same with beta = alpha @ rho, vectors of topics and of words  on a simplex
    ``prodlda``  softmax(theta @ beta + b), a product of experts                   on a simplex
    ``nvdm``     softmax(theta @ beta + b)                                         any vector
    ===========  ================================================================  ============

    ``<unk>`` and stop words are in no topic: of each place it is first drawn whether it has a word
    of a topic or which of these, from one distribution for all texts. So all of a text is scored,
    and nothing is left out of it. ``<eos>`` is no word: the number of words is a categorical of its
    own, the same for all texts.

    >>> words = TopicWords(vocab_size=9, num_topics=2, max_length=6, embedding_dim=4)
    >>> text = words(torch.tensor([[0.3, 0.7]]))
    >>> text.log_prob(torch.tensor([[4, 5, 2], [5, 4, 2]])).diff().abs() < 1e-6
    tensor([True])
    >>> words.topics().shape, round(words.topics().sum().item(), 5)
    (torch.Size([2, 9]), 2.0)

    Source: Blei et al. (2003), Latent Dirichlet Allocation,
    https://www.jmlr.org/papers/v3/blei03a.html; Srivastava and Sutton (2017), Autoencoding
    Variational Inference for Topic Models, https://arxiv.org/abs/1703.01488; Dieng et al. (2020),
    Topic Modeling in Embedding Spaces, https://aclanthology.org/2020.tacl-1.29/; Miao et al.
    (2016), Neural Variational Inference for Text Processing, https://arxiv.org/abs/1511.06038.

    :param num_topics: size of theta.
    :param max_length: the longest row, ``<eos>`` counted.
    :param embedding_dim: size of the vectors of ``etm``.
    :param stop_words: their ids.
    :raises ValueError: for an unknown kind, and where fewer than two words are left to topics.
    """

    def __init__(
        self,
        vocab_size: int,
        num_topics: int,
        max_length: int,
        embedding_dim: int,
        kind: TopicKind = "lda",
        stop_words: Collection[int] = (),
    ) -> None:
        check_sizes(vocab_size=vocab_size, max_length=max_length, embedding_dim=embedding_dim)
        check_sizes(minimum=2, num_topics=num_topics)
        if kind not in get_args(TopicKind):
            raise ValueError(f"kind must be one of {', '.join(get_args(TopicKind))}, got {kind!r}")
        super().__init__()
        self.vocab_size = vocab_size
        self.num_topics = num_topics
        self.max_length = max_length
        self.kind = kind
        outside = sorted({UNK, *stop_words})
        inside = sorted({*range(FIRST_EMITTED, vocab_size)} - {EOS, *outside})
        if len(inside) < 2:
            raise ValueError(
                f"stop_words leave {len(inside)} of {vocab_size - UNK} words to the topics: give "
                "fewer stop words, or text with a larger vocabulary"
            )
        self.register_buffer("of_topics", torch.tensor(inside), persistent=False)
        self.register_buffer("outside", torch.tensor(outside), persistent=False)
        place = torch.full((vocab_size,), -1)
        place[inside] = torch.arange(len(inside))
        self.register_buffer("place_in_topics", place, persistent=False)
        place = torch.full((vocab_size,), len(outside))
        place[outside] = torch.arange(len(outside))
        self.register_buffer("place_outside", place, persistent=False)
        self.of_topics: Tensor
        self.outside: Tensor
        self.place_in_topics: Tensor
        self.place_outside: Tensor
        if kind == "etm":
            # Scores of about the size of those of the other kinds.
            scale = embedding_dim**-0.5
            self.topic_vectors = nn.Parameter(scale * torch.randn(num_topics, embedding_dim))
            self.word_vectors = nn.Parameter(torch.randn(embedding_dim, len(inside)))
        else:
            # Topics that begin far apart: those that begin alike stay so.
            scale = 4.0 if kind == "lda" else 1.0
            self.beta = nn.Parameter(scale * torch.randn(num_topics, len(inside)))
        if kind not in _MIXTURES:
            self.bias = nn.Parameter(torch.zeros(len(inside)))
        # Of the words outside topics, and last of all that are in one.
        self.outside_scores = nn.Parameter(torch.zeros(len(outside) + 1))
        self.length_scores = nn.Parameter(torch.zeros(max_length + 1))

    def forward(self, theta: Tensor) -> AutoregressiveCategorical:
        """The distribution of a text given ``theta`` ``(..., num_topics)``."""
        return AutoregressiveCategorical(self, Context(theta), self.max_length)

    def topics(self) -> Tensor:
        """p(id | all of theta in topic k), of the words in topics, ``(num_topics, vocab_size)``."""
        one_hot = torch.eye(self.num_topics, device=self.of_topics.device)
        log_prob = self.log_prob_in_topics(one_hot.to(self.outside_scores.dtype))
        ids = log_prob.new_zeros(self.num_topics, self.vocab_size)
        return ids.index_copy(1, self.of_topics, log_prob.exp())

    @torch.no_grad()
    def begin_topics_at(self, topics: Tensor) -> None:
        """Set the topics to probabilities of ids ``(num_topics, vocab_size)``; to the nearest.

        Vectors of topics, fewer numbers than there are words, come as near as least squares.

        :raises UserError: for ``nvdm``, where theta weighs directions and no topics.
        """
        if self.kind == "nvdm":
            raise UserError("nvdm has no topics to begin at: choose another kind")
        log_prob = topics[:, self.of_topics.cpu()].clamp(min=1e-6).log().to(self.outside_scores)
        if self.kind == "etm":
            log_prob = log_prob - log_prob.mean(-1, keepdim=True)
            solved = torch.linalg.lstsq(self.word_vectors.T, log_prob.T).solution
            self.topic_vectors.copy_(solved.T)
        elif self.kind == "prodlda":
            self.bias.copy_(log_prob.mean(0))
            self.beta.copy_(log_prob - log_prob.mean(0))
        else:
            self.beta.copy_(log_prob)

    @torch.no_grad()
    def begin_beside_topics_at(self, counts: Tensor, lengths: Tensor) -> None:
        """Set what hangs on no topic to the shares of some text, a tenth added to each count.

        :param counts: of each id, ``(vocab_size,)``.
        :param lengths: numbers of words of texts, ``(N,)``.
        """
        outside = torch.cat([counts[self.outside.cpu()], counts[self.of_topics.cpu()].sum()[None]])
        of_length = lengths.bincount(minlength=len(self.length_scores))
        for scores, count in ((self.outside_scores, outside), (self.length_scores, of_length)):
            scores.copy_((count + 0.1).log())

    def log_prob_in_topics(self, theta: Tensor) -> Tensor:
        """log p(word | theta, it is of a topic), ``(..., words in topics)``; sums to one."""
        if self.kind in _MIXTURES:
            mixture = theta @ self._scores().softmax(-1)
            return mixture.clamp(min=torch.finfo(mixture.dtype).tiny).log()
        return (theta @ self._scores() + self.bias).log_softmax(-1)

    def log_prob_of_parts(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What of a text's log-probability does not hang on theta, and where its topic words are.

        :returns: log p of the number of words, ``(*B,)``; log p of which places have no topic word
            and of the words there, ``(*B, T)``; whether a place has a topic word, ``(*B, T)``.
        """
        is_word = mask & (tokens != EOS)
        log_length = self.length_scores.log_softmax(-1)[is_word.sum(-1)]
        outside = self.outside_scores.log_softmax(-1)[self.place_outside[tokens]]
        return (
            log_length,
            outside.where(is_word, 0.0),
            is_word & (self.place_in_topics[tokens] >= 0),
        )

    def token_log_prob(self, tokens: Tensor, mask: Tensor, context: Context) -> Tensor:
        """Log-probability of every token; see ``SequenceNetwork``."""
        assert context.z is not None
        shape = torch.broadcast_shapes(tokens.shape[:-1], context.batch_shape)
        more, ends = self._log_length(torch.arange(tokens.shape[-1], device=tokens.device))
        _, outside, in_topic = self.log_prob_of_parts(tokens, mask)
        beside = torch.where(mask, torch.where(tokens == EOS, ends, more), 0.0) + outside
        place = self.place_in_topics[tokens].clamp(min=0)
        of_words = self._of_words(context.z, place, shape)
        return beside + torch.where(in_topic, of_words, 0.0)

    def _of_words(self, theta: Tensor, place: Tensor, shape: torch.Size) -> Tensor:
        """log p of single words, ``(*shape, T)``, given theta ``(*S, K)``; place ``(*B, T)``."""
        if self.kind in _MIXTURES:
            # Of the words that are there alone, and not of the vocabulary for every theta.
            of_topics = self._scores().softmax(-1).T[place]
            mixture = (of_topics @ theta.unsqueeze(-1)).squeeze(-1)
            return mixture.clamp(min=torch.finfo(mixture.dtype).tiny).log()
        every = self.log_prob_in_topics(theta)
        return every.expand(*shape, -1).gather(-1, place.expand(*shape, -1))

    def initial_state(self, context: Context) -> Any:
        """How many words there are so far; see ``SequenceNetwork``."""
        assert context.z is not None
        return torch.zeros(len(context.z), dtype=torch.long, device=context.z.device)

    def step(self, previous: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        """Scores of the next token and the number of words so far; see ``SequenceNetwork``."""
        assert context.z is not None
        more, ends = self._log_length(state)
        outside = self.outside_scores.log_softmax(-1)
        in_topics = self.log_prob_in_topics(context.z) + outside[-1]
        scores = in_topics.new_full((len(in_topics), self.vocab_size), -torch.inf)
        scores[:, self.of_topics] = in_topics + more.unsqueeze(-1)
        scores[:, self.outside] = outside[:-1] + more.unsqueeze(-1)
        scores[:, EOS] = ends
        return scores[:, FIRST_EMITTED:], state + 1

    def _scores(self) -> Tensor:
        return self.topic_vectors @ self.word_vectors if self.kind == "etm" else self.beta

    def _log_length(self, so_far: Tensor) -> tuple[Tensor, Tensor]:
        """log p(there is another word) and log p(there is none), after so many words."""
        log_length = self.length_scores.log_softmax(-1)
        at_least = log_length.flip(-1).logcumsumexp(-1).flip(-1)
        return at_least[so_far + 1] - at_least[so_far], log_length[so_far] - at_least[so_far]
