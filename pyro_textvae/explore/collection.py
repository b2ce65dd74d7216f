# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A collection of text in the latent space of a run: what the page shows, without a browser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from threading import Lock

import numpy as np
import torch
from torch import Tensor, nn

from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.contract import LABELS, NOT_GIVEN, TOKENS
from pyro_textvae.data import Batch, Tokenizer
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.sentences import batch_of
from pyro_textvae.explore.clusters import Grouping, find_clusters
from pyro_textvae.explore.likelihoods import Likelihoods
from pyro_textvae.explore.plane import Plane, make_plane
from pyro_textvae.explore.sentence import Score, Sentence, Way
from pyro_textvae.generation import generate_interpolation, generate_reconstructions
from pyro_textvae.generation.decoding import latents_between
from pyro_textvae.generation.latent_space import (
    distances_of_points,
    embed,
    moved_latents,
    traverse,
)
from pyro_textvae.infer.batches import Fields
from pyro_textvae.report.projection import FEWEST, has_something_to_see
from pyro_textvae.runs.evaluate import build_proposal
from pyro_textvae.special_tokens import EOS, UNK

_BATCH_SIZE = 256
_MOST_SLIDERS = 8
_DRAWS_OF_A_SCORE = 300


class Collection:
    """Sentences where their posterior means are, and what the model makes of those.

    >>> from pyro_textvae.data import load_corpus
    >>> from pyro_textvae.evaluation.sentences import single_sentences
    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> corpus = load_corpus("grammar", num_sentences=100)
    >>> sizes = {"vocab_size": len(corpus.tokenizer), "embedding_dim": 4, "hidden_dim": 5}
    >>> decoder = LSTMDecoder(**sizes, latent_dim=2, max_length=corpus.max_length)
    >>> model = SentenceVAE(StandardNormal(2), decoder)
    >>> guide = GaussianGuide(LSTMEncoder(**sizes), 2)
    >>> batch = corpus.train.batch(np.arange(20))
    >>> collection = Collection("mine", model, guide, corpus.tokenizer, single_sentences(batch))
    >>> collection.plane("pca").positions.shape
    (20, 2)
    >>> collection.sentence(3).index, len(collection.neighbours(collection.sentence(3), 4))
    (3, 4)

    :param title: what it is called.
    :param model: in evaluation mode, and so the guide.
    :param fields: a batch of one for each sentence, with its label where labels are given.
    :param label_names: in the order of their indices.
    :param likelihoods: of the sentences.
    :param max_length: tokens that the model takes at most, ``<eos>`` counted; None for any number.
    :param num_clusters: groups that are told apart at first.
    :raises UserError: for a model without a latent vector of sentences, and where there is nothing
        to see.
    """

    def __init__(
        self,
        title: str,
        model: nn.Module,
        guide: nn.Module,
        tokenizer: Tokenizer,
        fields: Sequence[Fields],
        *,
        label_names: Sequence[str] = (),
        likelihoods: Likelihoods | None = None,
        max_length: int | None = None,
        num_clusters: int = 10,
        seed: int = 0,
    ) -> None:
        self.title = title
        self.likelihoods = likelihoods
        self.seed = seed
        self._model, self._guide, self._tokenizer = model, guide, tokenizer
        self._fields, self._max_length = fields, max_length
        self._planes: dict[str, Plane] = {}
        self._lock = Lock()
        self.texts = tuple(tokenizer.decode(each[TOKENS][0].tolist()) for each in fields)
        self.lengths = np.array([each[TOKENS].shape[1] for each in fields])
        self.labels = _names_of_labels(fields, label_names)
        """The name of each sentence's label, None where it is not given; None without labels."""
        self.points, self.sites = self._embed()
        """Latents of all sentences by site, ``(N, ...)``, and the sites that the map is of."""
        self.vectors = self._vectors(self.points)
        """Those of the map side by side, ``(N, D)`` float64."""
        if not has_something_to_see(self.vectors):
            raise UserError(
                f"the posterior means of {title} all coincide, or there are fewer than {FEWEST}: "
                "there is no map to draw"
            )
        self.num_clusters = num_clusters

    def __len__(self) -> int:
        return len(self.texts)

    def batches(self) -> Iterator[Batch]:
        """The sentences in batches of similar lengths, which know their places."""
        order = np.argsort(self.lengths, kind="stable")
        for start in range(0, len(order), _BATCH_SIZE):
            rows = order[start : start + _BATCH_SIZE]
            yield Batch(batch_of([self._fields[row] for row in rows]), torch.from_numpy(rows))

    def plane(self, name: str) -> Plane:
        """The map of a name of :data:`~pyro_textvae.explore.plane.PLANES`, made once."""
        with self._lock:
            if name not in self._planes:
                self._planes[name] = make_plane(name, self.vectors, self.seed)
            return self._planes[name]

    def has_plane(self, name: str) -> bool:
        """Whether the map is made already."""
        return name in self._planes

    def grouping(self, number: int) -> Grouping:
        """The sentences in so many clusters by k-means, or in as many as there are vectors."""
        words = [text.split() for text in self.texts]
        return find_clusters(self.vectors, words, number, self.seed)

    def sentence(self, index: int) -> Sentence:
        """A sentence of the collection."""
        fields = self._fields[index]
        points = {name: value[index : index + 1] for name, value in self.points.items()}
        unknown = int((fields[TOKENS] == UNK).sum())
        vector = self.vectors[index : index + 1]
        return Sentence(self.texts[index], fields, points, vector, index, unknown)

    def typed(self, text: str) -> Sentence:
        """A sentence of the user's own; a label that others have is not given of it.

        :raises UserError: for a text without a word, and one longer than the model takes.
        """
        ids = self._tokenizer.encode(text)
        if not ids:
            raise UserError("The sentence has no word: type at least one.")
        if self._max_length is not None and len(ids) + 1 > self._max_length:
            raise UserError(
                f"The sentence has {len(ids) + 1} tokens, <eos> counted, and the model takes "
                f"{self._max_length} at most: make it shorter."
            )
        batch = without_label(Fields({**self._fields[0], TOKENS: torch.tensor([[*ids, EOS]])}))
        points = next(iter(embed(self._guide, [batch], seed=self.seed))).points
        read = self._tokenizer.decode(ids)
        return Sentence(read, batch, points, self._vectors(points), None, ids.count(UNK))

    def neighbours(self, sentence: Sentence, size: int = 8) -> list[tuple[int, float]]:
        """The nearest other sentences by posterior mean: place in the collection, and distance."""
        sites = self.sites
        distances = distances_of_points(
            {name: sentence.points[name] for name in sites},
            {name: self.points[name] for name in sites},
        )
        if sentence.index is not None:
            distances[sentence.index] = torch.inf
        size = min(size, len(self) - (sentence.index is not None))
        nearest = distances.argsort(stable=True)[:size].tolist()
        return [(place, distances[place].item()) for place in nearest]

    def decoded(self, sentence: Sentence) -> str:
        """The sentence decoded again, greedily, from its posterior mean."""
        generated = generate_reconstructions(
            self._model, self._guide, sentence.fields, seed=self.seed
        )
        return self._texts(generated.tokens)[0]

    def walk(self, start: Sentence, end: Sentence, steps: int = 7) -> Way:
        """Sentences on the line between two, both ends decoded too; on a sphere on the arc."""
        ends = batch_of([start.fields, end.fields])
        walk = generate_interpolation(self._model, self._guide, ends, steps=steps, seed=self.seed)
        latents = latents_between(self._guide, ends, steps=steps, seed=self.seed)
        return Way(tuple(self._texts(walk.tokens)), self._vectors(latents))

    def moved(self, sentence: Sentence, offsets: Mapping[int, float]) -> Way:
        """The sentence decoded from its latent with some dimensions moved.

        :param offsets: by the number of a dimension of :attr:`moving_site`, 0 for where it is.
        :raises UserError: where no latent is one vector of real numbers.
        """
        site = self.moving_site
        direction = torch.zeros(self.points[site].shape[1])
        for dimension, offset in offsets.items():
            direction[dimension] = offset
        # Of no direction at all a step of length zero is taken along any.
        step = torch.ones(1) if direction.any() else torch.zeros(1)
        way: Tensor | int = direction if direction.any() else 0
        walked = traverse(
            self._model, self._guide, sentence.fields, way, step, site=site, seed=self.seed
        )
        latents = moved_latents(self._guide, sentence.fields, way, step, site=site, seed=self.seed)
        return Way(tuple(self._texts(walked.tokens)), self._vectors(latents))

    @cached_property
    def moving_site(self) -> str:
        """The latent whose dimensions can be moved: the largest of those of the map."""
        return max(self.sites, key=lambda name: self.points[name].shape[1])

    @cached_property
    def moving_dimensions(self) -> list[int]:
        """Its dimensions whose posterior mean varies most over the sentences, at most eight."""
        spread = self.points[self.moving_site].double().var(0)
        return spread.argsort(descending=True, stable=True)[:_MOST_SLIDERS].tolist()

    def score(self, sentence: Sentence) -> Score:
        """log p(x) of one sentence by the proposal ``auto``.

        :raises UserError: for a model whose text has no likelihood of its own.
        """
        proposal = build_proposal(EvaluationConfig(num_samples=_DRAWS_OF_A_SCORE))
        try:
            result = log_likelihood(
                self._model,
                self._guide,
                [without_label(sentence.fields)],
                _DRAWS_OF_A_SCORE,
                self.seed,
                proposal=proposal,
            )
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"the sentence cannot be scored: {in_one_line(error)}") from error
        if result.points or result.beside_text:
            raise UserError("the model has no likelihood of the text alone")
        return Score(
            -result.log_px.item(),
            result.standard_error.item(),
            result.khat.item(),
            bool(result.settled[0]),
        )

    def _embed(self) -> tuple[dict[str, Tensor], tuple[str, ...]]:
        batches = list(self.batches())
        if not batches:
            raise UserError(f"{self.title} has no sentence: there is no map to draw")
        embedded = list(embed(self._guide, batches, seed=self.seed))
        back = torch.cat([batch.indices for batch in batches]).argsort()
        points = {}
        for name, value in embedded[0].points.items():
            if name in embedded[0].discrete:
                continue
            if value.dim() != 2:
                raise UserError(
                    f"the latent {name!r} of {self.title} is not one vector a sentence, and a map "
                    "is of vectors: take a model that has one"
                )
            points[name] = torch.cat([part.points[name] for part in embedded])[back]
        if not points:
            raise UserError(f"{self.title} has no latent of real numbers to draw a map of")
        return points, tuple(points)

    def _vectors(self, latents: Mapping[str, Tensor]) -> np.ndarray:
        """Latents of the map side by side, ``(N, D)`` float64."""
        parts = [latents[name].detach().double().cpu() for name in self.sites]
        vectors: np.ndarray = torch.cat(parts, 1).numpy()
        return vectors

    def _texts(self, rows: Tensor) -> list[str]:
        return [self._tokenizer.decode_parts(row) for row in rows.tolist()]


def without_label(fields: Fields) -> Fields:
    """The fields of one sentence, whose label, if they have one, is not given."""
    if LABELS not in fields:
        return fields
    return Fields({**fields, LABELS: torch.tensor([NOT_GIVEN])}, fields.text_fields)


def _names_of_labels(
    fields: Sequence[Fields], names: Sequence[str]
) -> tuple[str | None, ...] | None:
    if not fields or LABELS not in fields[0]:
        return None
    given = [int(each[LABELS][0]) for each in fields]
    labels = tuple(names[label] if label >= 0 else None for label in given)
    return labels if any(label is not None for label in labels) else None
