# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Arguments of a wrong type or range are refused by name, before anything is drawn."""

import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.generation import build_method, encode, interpolate, reconstruct, sample

ROWS = torch.tensor([[4, 5, 2, 0], [6, 2, 0, 0]])
BATCH = {"tokens": ROWS}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, g: sample(m, 2, seed="a"), "seed must be int, got 'a'"),
        (lambda m, g: sample(m, 2, seed=[1]), r"seed must be int, got \[1\]"),
        (lambda m, g: encode(g, BATCH, seed=-1), r"seed must lie in \[0, 2\*\*32\), got -1"),
        (lambda m, g: sample(m, "two"), "number of sentences must be int, got 'two'"),
        (lambda m, g: sample(m, 2, unknown="no"), "unknown must be bool, got 'no'"),
        (lambda m, g: sample(m, 2, latents=[ROWS]), "latents map names of sites to tensors"),
        (lambda m, g: sample(m, 2, method=["greedy"]), r"named by text, got \['greedy'\]"),
        (lambda m, g: build_method("greedy", [1]), r"options must be dict, got \[1\]"),
        (lambda m, g: interpolate(m, g, BATCH, steps="3"), "steps must be int, got '3'"),
        (lambda m, g: interpolate(m, g, {"z": ROWS}), "the batch has no field 'tokens': it has z"),
        (
            lambda m, g: interpolate(m, g, BATCH, condition=ROWS),
            "a batch is a dict .* got a Tensor",
        ),
        (lambda m, g: encode(g, ROWS), "a batch is a dict of tensors .* got a Tensor"),
        (lambda m, g: encode(g, {}), "needs the field .tokens., and the batch has none"),
        (lambda m, g: encode(g, {"tokens": ROWS.float()}), r"takes ids, .* got torch\.float32"),
        (lambda m, g: sample(m, {}), "number of sentences must be at least 1, got 0"),
        (lambda m, g: encode(g, {1: ROWS}), "fields of a batch are named by text, got 1"),
        (
            lambda m, g: encode(g, {"tokens": ROWS.tolist()}),
            "field 'tokens' of a batch must be a tensor, got a list",
        ),
        (
            lambda m, g: encode(g, {"tokens": ROWS[0]}),
            r"ids, .* got shape \(4,\) and type torch\.int64",
        ),
        (lambda m, g: encode(g, {"tokens": ROWS.bool()}), r"\(2, 4\) and type torch\.bool"),
        (
            lambda m, g: encode(g, {"tokens": ROWS.to("meta")}),
            r"'tokens' of a batch must .* on meta",
        ),
        (lambda m, g: reconstruct(m, g, {**BATCH, "x": ROWS[:1]}), "a row for each sentence, got"),
    ],
)
def test_refused(pair, call, message):
    with pytest.raises(UserError, match=message):
        call(*pair)
