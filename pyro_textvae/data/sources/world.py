# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Draws from a world, whose probabilities are known: `world:paraphrase`, ..."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from pyro_textvae import zoo
from pyro_textvae.data.records import Record, SplitName, content_digest
from pyro_textvae.data.world import World, open_world
from pyro_textvae.errors import UserError

DEFAULT_NUM_SENTENCES = 20_000
_FEWEST = 10


class WorldTexts:
    """Independent draws from a world, split 80/10/10 by position.

    Duplicates stay: without them the splits would no longer be draws from the world.

    >>> record = next(WorldTexts("paraphrase", num_sentences=10).records())
    >>> record.split, record.source is None
    ('train', False)

    :param location: the world's name.
    :param num_sentences: how many texts; by default 20,000.
    :param data_options: options of the world.
    :param seed: of the draws.
    :raises UserError: for an unknown world or option, and for so few texts that a split is empty.
    """

    spelling: ClassVar[str] = "world:NAME"

    def __init__(
        self,
        location: str,
        num_sentences: int | None = None,
        data_options: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.name = f"world:{location}"
        self.num_sentences = DEFAULT_NUM_SENTENCES if num_sentences is None else num_sentences
        if self.num_sentences < _FEWEST:
            raise UserError(
                f"num_sentences={num_sentences} leaves a split of {self.name} empty; give at least "
                f"{_FEWEST}"
            )
        self.seed = seed
        self._options = dict(data_options or {})
        self.world: World = open_world(location, self._options)

    @cached_property
    def lexicon(self) -> list[str]:
        """All words of the world: with fewer in the vocabulary it would be another language."""
        return self.world.lexicon

    def digest(self) -> str:
        """A hash of the world, its options, the number of texts and the seed."""
        options = json.dumps(self._options, sort_keys=True)
        code = zoo.digest_of(type(self.world))
        return content_digest(
            self.name, code, options, " ".join(self.lexicon), str((self.num_sentences, self.seed))
        )

    def records(self) -> Iterator[Record]:
        """The texts, in the order in which they are drawn."""
        generator = np.random.default_rng(self.seed)
        valid_from, test_from = self.num_sentences * 8 // 10, self.num_sentences * 9 // 10
        for position in range(self.num_sentences):
            split: SplitName = "train"
            if position >= valid_from:
                split = "valid" if position < test_from else "test"
            example = self.world.draw(generator, split)
            place = f"{self.name} text {position + 1}"
            yield Record(
                split,
                example.text,
                place,
                source=example.source,
                label=example.label,
                sentences=tuple(example.text.split("\n")) if self.world.has_documents else None,
            )
