# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Reviews of one product by several reviewers: what it is like, and what each makes of it."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import product

import numpy as np

from pyro_textvae.data.information_of_lines import information_of_lines
from pyro_textvae.data.languages.slot import Slot
from pyro_textvae.data.records import SplitName
from pyro_textvae.data.world import Estimate, Example, World
from pyro_textvae.errors import UserError

_ASPECTS = ("room", "food", "staff", "view", "price")
# By quality: bad and good; the last word of each is said of both.
_WORDS = ({"bad": 0.5, "awful": 0.35, "fair": 0.15}, {"good": 0.5, "great": 0.35, "fair": 0.15})
_NOTHING = "we came and went"
_GOOD_IF = (0.15, 0.85)  # p(an aspect is good | the product is bad, good)
_PRAISED_IF = ((0.05, 0.75), (0.25, 0.95))  # p(praised | a strict, a kind reviewer; bad, good)
_MENTIONED = 0.6


class ReviewsWorld(World):
    r"""A text is the reviews of one product, each of them a sentence.

    A product is good or bad on the whole, and each aspect q of it mostly likewise. A reviewer is
    strict or kind (r), mentions each aspect with the probability of 0.6, and praises a good one
    more often than a bad one, a kind reviewer both. There are 1 to ``most_reviews``, all equally
    likely.

    .. math:: p(x) = p(R) \sum_q p(q) \prod_i \sum_r p(r) \prod_a p(x_{ia} \mid q_a, r)

    The sum is over all :math:`2^5` products.

    >>> world = ReviewsWorld()
    >>> text = "the food is great and the view is good\nthe food is good"
    >>> round(world.quality_posterior(text)["food"], 2)
    0.98
    >>> ReviewsWorld(num_aspects=2).summary("the food is great\nthe food is good")
    'the room is good and the food is good'

    :param most_reviews: of a product.
    :param num_aspects: how many of the 5 there are.
    :raises UserError: for an option out of its range.
    """

    has_documents = True

    def __init__(self, most_reviews: int = 8, num_aspects: int = 5) -> None:
        if most_reviews < 1:
            raise UserError(f"most_reviews must be at least 1, got {most_reviews}")
        if not 1 <= num_aspects <= len(_ASPECTS):
            raise UserError(f"num_aspects must be between 1 and {len(_ASPECTS)}, got {num_aspects}")
        self.most_reviews = most_reviews
        self.aspects = _ASPECTS[:num_aspects]
        self.words = Slot(_WORDS)

    @cached_property
    def lexicon(self) -> list[str]:
        """All words, in alphabetical order."""
        return sorted({*self.aspects, *self.words.words, *_NOTHING.split(), "the", "is", "and"})

    @cached_property
    def qualities(self) -> np.ndarray:
        """Which aspects are good, of every product that there can be, ``(Q, A)``."""
        return np.array(list(product((0, 1), repeat=len(self.aspects))))

    @cached_property
    def quality_probabilities(self) -> np.ndarray:
        """p(which aspects are good), ``(Q,)``."""
        good = np.array(_GOOD_IF)[:, None, None]
        return np.asarray(np.where(self.qualities, good, 1 - good).prod(2).mean(0))

    def draw(self, generator: np.random.Generator, split: SplitName = "train") -> Example:
        """The reviews of one product."""
        count = 1 + int(generator.integers(self.most_reviews))
        row = int(generator.choice(len(self.qualities), p=self.quality_probabilities))
        return Example(
            "\n".join(self._review(self.qualities[row], generator) for _ in range(count))
        )

    def log_prob(self, text: str, *, source: str | None = None, label: str | None = None) -> float:
        """log p(reviews), their number included, in nats."""
        if source is not None or label is not None:
            raise UserError("world:reviews has neither sources nor labels")
        joint = self._joint(text)
        total = np.logaddexp.reduce(joint)
        return float(total - math.log(self.most_reviews))

    def review_log_prob(self, review: str) -> float:
        """log p(review), alone, in nats."""
        total = self.quality_probabilities @ self._given_quality(review)
        return math.log(total) if total > 0 else -math.inf

    def information(self, num_examples: int = 2000, seed: int = 0) -> Estimate:
        """What reviews of one product tell of each other, nats a product, over draws.

        The most that a model of groups can gain over one of reviews one by one.
        """
        return information_of_lines(
            self, self.review_log_prob, self.most_reviews, num_examples, seed
        )

    def quality_posterior(self, text: str) -> dict[str, float]:
        """p(each aspect is good | reviews), exact.

        :raises UserError: for a text that the world never draws.
        """
        joint = self._joint(text)
        total = np.logaddexp.reduce(joint)
        if total == -np.inf:
            raise UserError(f"world:reviews never draws {text[:60]!r}")
        of_aspects = np.exp(joint - total) @ self.qualities
        return dict(zip(self.aspects, of_aspects.tolist(), strict=True))

    def summary(self, text: str) -> str:
        """What the best reader says of every aspect of the product, in one review.

        :raises UserError: for a text that the world never draws.
        """
        posterior = self.quality_posterior(text)
        return self._say({name: "good" if p > 0.5 else "bad" for name, p in posterior.items()})

    def _review(self, quality: np.ndarray, generator: np.random.Generator) -> str:
        praised_if = _PRAISED_IF[int(generator.integers(2))]
        said = {}
        for aspect, is_good in zip(self.aspects, quality, strict=True):
            if generator.random() < _MENTIONED:
                praised = int(generator.random() < praised_if[is_good])
                said[aspect] = self.words.draw_word(praised, generator)
        return self._say(said)

    def _say(self, said: dict[str, str]) -> str:
        return " and ".join(f"the {name} is {word}" for name, word in said.items()) or _NOTHING

    def _parse(self, review: str) -> dict[str, str] | None:
        """The words said of each aspect that is mentioned; None for what is no review."""
        if review == _NOTHING:
            return {}
        parts = [part.split(" ") for part in review.split(" and ")]
        if any(len(part) != 4 for part in parts):
            return None
        said = {part[1]: part[3] for part in parts}
        in_order = [name for name in self.aspects if name in said]
        known = set(said.values()) <= set(self.words.words)
        return said if known and self._say({n: said[n] for n in in_order}) == review else None

    def _given_quality(self, review: str) -> np.ndarray:
        """p(review | which aspects are good), ``(Q,)``."""
        said = self._parse(review)
        if said is None:
            return np.zeros(len(self.qualities))
        columns = [self._columns[said.get(aspect)] for aspect in self.aspects]
        of_aspects = self._of_words[:, range(len(columns)), columns]
        return np.asarray(of_aspects.prod(1).mean(0))

    @cached_property
    def _columns(self) -> dict[str | None, int]:
        """The place of each word in :attr:`_of_words`; None is that an aspect is not mentioned."""
        return {word: column for column, word in enumerate([*self.words.words, None])}

    @cached_property
    def _of_words(self) -> np.ndarray:
        """p(word of an aspect | reviewer, which aspects are good), ``(2, A, W + 1, Q)``."""
        praised = np.array(_PRAISED_IF)[:, self.qualities.T, None]
        bad, good = self.words.emission
        mentioned = _MENTIONED * (praised * good + (1 - praised) * bad)
        silent = np.full((*praised.shape[:-1], 1), 1 - _MENTIONED)
        return np.moveaxis(np.concatenate([mentioned, silent], axis=-1), -1, 2)

    def _joint(self, text: str) -> np.ndarray:
        """log p(reviews, which aspects are good | R), ``(Q,)``."""
        reviews = text.split("\n")
        if len(reviews) > self.most_reviews:
            return np.full(len(self.qualities), -np.inf)
        with np.errstate(divide="ignore"):
            of_reviews = np.log([self._given_quality(review) for review in reviews]).sum(0)
            return np.asarray(np.log(self.quality_probabilities) + of_reviews)
