# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A pair that a program gives, as a run would build and load it."""

from __future__ import annotations

from collections.abc import Mapping

import pyro

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Corpus
from pyro_textvae.errors import UserError
from pyro_textvae.runs.build import Pair, build_pair, sizes_of
from pyro_textvae.runs.given_corpus import sizes_of_pair
from pyro_textvae.runs.rebuilt import check_rebuilt


def sizes_of_given(pair: Pair, corpus: Corpus) -> dict[str, int]:
    """What a run of this pair has from its text.

    :raises UserError: where the pair was built for another vocabulary, or for shorter texts.
    """
    programs = {"model": pair.model, "guide": pair.guide}
    told = sizes_of_pair(programs, corpus.tokenizer, corpus)
    if told["max_length"] < corpus.max_length:
        raise UserError(
            f"the longest text has {corpus.max_length} tokens, <eos> counted, and the model takes "
            f"{told['max_length']}: load the texts with max_length={told['max_length']}"
        )
    return sizes_of(corpus) | told


def copy_of(pair: Pair, config: TrainConfig, sizes: Mapping[str, int], corpus: Corpus) -> Pair:
    """The pair built anew from its names and settings, with the same weights.

    Its parameters are its own, whatever the pair's are in Pyro's store.

    :raises UserError: where what is built anew is another pair, as a run of it would be.
    """

    def build() -> Pair:
        return build_pair(config, sizes, tokenizer=corpus.tokenizer, specs=pair.specs)

    check_rebuilt(pair, build, next(iter(corpus.batches("train", batch_size=2, shuffle=False))))
    pyro.set_rng_seed(config.seed)
    copy = build()
    copy.modules.load_state_dict(pair.modules.state_dict())
    return copy
