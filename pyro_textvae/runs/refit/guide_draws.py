# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Draws of the aggregate posterior of a pair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from torch import Tensor

from pyro_textvae.evaluation.latents.guide_density import draws_of
from pyro_textvae.evaluation.posterior_draws import one_vector
from pyro_textvae.evaluation.sentences import seed_of
from pyro_textvae.infer.plates import find_plates
from pyro_textvae.infer.running import evaluation_mode, to_device
from pyro_textvae.runs.build import Pair


def guide_draws(
    pair: Pair, batches: Iterable[Mapping[str, Tensor]], number: int, seed: int
) -> Iterator[Tensor]:
    """So many draws of the latent of each sentence of each batch, ``(number, N, D)``.

    The guide is run once a batch.

    :param seed: of all of them; every batch has random numbers of its own.
    :raises UserError: for other latents than one vector a sentence.
    """
    for index, batch in enumerate(batches):
        fields = to_device(batch, pair.guide)
        with evaluation_mode(pair.model, pair.guide, seed_of(seed, "refit", index) % 2**32):
            plates = find_plates(pair.model, pair.guide, (), fields)
            drawn = one_vector(draws_of(pair.guide, fields, plates, number))
        yield drawn
