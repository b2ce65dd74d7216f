# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Bags of words on one topic or two, whose words and shares are known."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from pyro_textvae.data.labelled_world import LabelledWorld
from pyro_textvae.data.records import SplitName
from pyro_textvae.data.world import Example
from pyro_textvae.errors import UserError

# The words of each topic, the first ones most often; neighbours lend each other some.
_WORDS = """
cooking: oven flour butter onion recipe garlic pepper soup kitchen salt
farming: wheat tractor barn harvest cattle soil plough sheep farmer hay
sailing: sail harbour anchor captain mast deck tide rope island wave
weather: rain storm cloud wind snow frost thunder fog sunshine drizzle
mountains: summit glacier ridge climber valley cliff peak tent trail avalanche
forests: oak pine moss fern timber squirrel root branch leaf mushroom
music: piano violin melody concert singer chord rhythm drum choir tune
theatre: actor stage curtain audience comedy scene director mask costume applause
painting: canvas brush portrait gallery colour sketch palette frame museum landscape
schools: teacher pupil lesson exam homework classroom chalk textbook grade desk
law: judge court lawyer trial verdict witness crime jury prison sentence
banking: loan interest bank credit debt account savings cheque coin deposit
trade: market price export merchant tariff goods buyer seller contract cargo
railways: train station track engine conductor ticket tunnel carriage signal platform
football: goal referee striker stadium penalty match coach league whistle pitch
chess: bishop pawn knight castle checkmate opening rook endgame gambit queen
medicine: doctor nurse fever vaccine surgery patient tablet hospital symptom bandage
astronomy: star planet telescope orbit comet galaxy moon eclipse meteor nebula
chemistry: acid molecule solvent crystal catalyst flask oxygen carbon reaction sulphur
computers: program memory keyboard screen software network file processor password server
"""
_COMMON = "the and of was had they time people day made long many good first year away house small"
_OF_TOPIC, _OF_NEXT = 0.6, 0.15
_SHARES = (0.5, 0.625, 0.75, 0.875, 1.0)


class TopicsWorld(LabelledWorld):
    r"""A text is a bag of words on a main topic a and another one b.

    Topics are drawn uniformly, b other than a, and the share s of the main one from ``shares``: at
    1 the text is on one topic alone. The words are independent given these.

    .. math:: p(x) = \sum_{a, b, s} p(a)\, p(b \mid a)\, p(s) \prod_i \big( s\, \beta_a(x_i) + (1 -
        s)\, \beta_b(x_i) \big)

    A topic has words of its own, fewer of those of the next topic, and words that all share. The
    order of the words tells nothing, and their number is always the same.

    >>> world = TopicsWorld()
    >>> text = " ".join(["garlic onion soup the recipe had oven garlic"] * 5)
    >>> posterior = world.topic_posterior(text)
    >>> world.topics[int(posterior.argmax())], round(float(posterior.sum()), 6)
    ('cooking', 1.0)

    :param num_topics: how many of the 20 there are, at least 2.
    :param num_words: words of a text.
    :param labels: whether the main topic is given as a label.
    :raises UserError: for an option out of its range.
    """

    shares = _SHARES
    """The shares of the main topic, all equally likely."""

    def __init__(self, num_topics: int = 20, num_words: int = 40, labels: bool = False) -> None:
        of_topics = dict(line.split(": ") for line in _WORDS.strip().splitlines())
        if not 2 <= num_topics <= len(of_topics):
            raise UserError(f"num_topics must be between 2 and {len(of_topics)}, got {num_topics}")
        if num_words < 1:
            raise UserError(f"num_words must be at least 1, got {num_words}")
        self.num_words = num_words
        self.has_labels = labels
        self.topics = tuple(of_topics)[:num_topics]
        """The names of the topics, which are the labels."""
        self._own_words = [of_topics[name].split() for name in self.topics]

    @cached_property
    def lexicon(self) -> list[str]:
        """All words, in alphabetical order."""
        return sorted({*_COMMON.split(), *(word for words in self._own_words for word in words)})

    @cached_property
    def topic_words(self) -> np.ndarray:
        """p(word | topic), ``(K, V)``, words in the order of the lexicon."""
        column = {word: index for index, word in enumerate(self.lexicon)}
        rows = np.zeros((len(self.topics), len(column)))
        common = _COMMON.split()
        for row, words in enumerate(self._own_words):
            lent = self._own_words[(row + 1) % len(self._own_words)][::2]
            for part, of_part in (
                (words, _OF_TOPIC),
                (lent, _OF_NEXT),
                (common, 1 - _OF_TOPIC - _OF_NEXT),
            ):
                weights = 1 / np.arange(2, len(part) + 2)
                rows[row, [column[word] for word in part]] += of_part * weights / weights.sum()
        return rows

    def draw(self, generator: np.random.Generator, split: SplitName = "train") -> Example:
        """One text, and the main topic where labels are asked for."""
        main = int(generator.integers(len(self.topics)))
        other = (main + 1 + int(generator.integers(len(self.topics) - 1))) % len(self.topics)
        share = _SHARES[int(generator.integers(len(_SHARES)))]
        shares = share * self.topic_words[main] + (1 - share) * self.topic_words[other]
        drawn = generator.choice(len(self.lexicon), size=self.num_words, p=shares)
        text = " ".join(self.lexicon[index] for index in drawn)
        return Example(text, label=self.topics[main] if self.has_labels else None)

    def log_prob(self, text: str, *, source: str | None = None, label: str | None = None) -> float:
        """log p(text), or log p(text | main topic), in nats."""
        if source is not None:
            raise UserError(f"world:topics has no sources, got {source!r}")
        joint = self._joint(text)
        if label is not None:
            joint = joint[self._topic(label)] + math.log(len(self.topics))
        return float(np.logaddexp.reduce(joint, axis=None))

    def mixture_posterior(self, text: str) -> np.ndarray:
        """p(main topic, other topic, share | text), exact, ``(K, K, 5)``.

        :raises UserError: for a text that the world never draws.
        """
        joint = self._joint(text)
        total = np.logaddexp.reduce(joint, axis=None)
        if total == -np.inf:
            raise UserError(f"world:topics never draws {text[:60]!r}")
        return np.asarray(np.exp(joint - total))

    def topic_posterior(self, text: str) -> np.ndarray:
        """The share of each topic in the text, its exact posterior mean, ``(K,)``.

        :raises UserError: for a text that the world never draws.
        """
        posterior = self.mixture_posterior(text)
        main = (posterior * np.array(_SHARES)).sum((1, 2))
        other = (posterior * (1 - np.array(_SHARES))).sum((0, 2))
        return np.asarray(main + other)

    def label_posterior(self, text: str) -> dict[str, float]:
        """p(main topic | text), exact.

        :raises UserError: for a text that the world never draws.
        """
        return dict(zip(self.topics, self.mixture_posterior(text).sum((1, 2)), strict=True))

    def _topic(self, label: str) -> int:
        if label not in self.topics:
            raise UserError(f"world:topics has the labels {', '.join(self.topics)}, not {label!r}")
        return self.topics.index(label)

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {word: index for index, word in enumerate(self.lexicon)}

    def _joint(self, text: str) -> np.ndarray:
        """log p(text, main topic, other topic, share), ``(K, K, 5)``."""
        words = text.split(" ")
        if len(words) != self.num_words or not all(word in self._columns for word in words):
            return np.full(self._log_mixed.shape[:-1], -np.inf)
        count = len(self.topics)
        prior = -math.log(count * (count - 1) * len(_SHARES))
        of_words = self._log_mixed[..., [self._columns[word] for word in words]]
        return np.asarray(prior + of_words.sum(-1))

    @cached_property
    def _log_mixed(self) -> np.ndarray:
        """log p(word | main topic, other topic, share), ``(K, K, 5, V)``; the two differ."""
        of_topics = self.topic_words
        share = np.array(_SHARES)[:, None]
        mixed = share * of_topics[:, None, None] + (1 - share) * of_topics[None, :, None]
        mixed[np.eye(len(of_topics), dtype=bool)] = 0
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(mixed))
