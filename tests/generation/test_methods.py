# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Decoding methods: by name, from a file, as an instance, with options."""

import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.data import train_tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.generation import (
    Ancestral,
    DecodingMethod,
    Greedy,
    build_method,
    reconstruct,
    sample,
)
from pyro_textvae.special_tokens import UNK

RANK = """
from pyro_textvae.generation import DecodingMethod


class Rank(DecodingMethod):
    is_random = False

    def __init__(self, rank=0):
        self.rank = rank

    def choose(self, scores):
        return scores.argsort(-1, descending=True)[:, self.rank]
"""


@pytest.fixture
def rank_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(RANK)
    return f"{path}:Rank"


@pytest.mark.parametrize("name", zoo.names("methods"))
def test_method_chooses_classes_that_may_be_chosen(name):
    if name == "minimum_bayes_risk":
        pytest.importorskip("sacrebleu", reason="the extra [eval] is not installed")
    method = build_method(name, tokenizer=train_tokenizer(["a b c"]))
    scores = torch.randn(50, 6)
    scores[:, 2] = -torch.inf
    classes = method.choose(scores)
    assert classes.shape == (50,)
    assert classes.dtype == torch.long
    assert not (classes == 2).any()
    assert 0 <= classes.min() <= classes.max() < 6


def test_names_files_and_instances_are_the_same_method(pair, rank_file):
    model, _ = pair
    z = 3 * torch.randn(9, 2).double()
    greedy = sample(model, 9, method="greedy", latents={"z": z})
    assert torch.equal(greedy, sample(model, 9, method=Greedy(), latents={"z": z}))
    assert torch.equal(greedy, sample(model, 9, method=rank_file, latents={"z": z}))
    second = build_method(rank_file, {"rank": 1})
    rows = sample(model, 9, method=second, latents={"z": z})
    assert not torch.equal(rows, greedy)
    without = sample(model, 9, method=second, unknown=False, latents={"z": z})
    assert not (without == UNK).any()
    drawn = sample(model, 9, method=Ancestral(), seed=3)
    assert torch.equal(drawn, sample(model, 9, method="ancestral", seed=3))


def test_a_method_that_does_not_draw_reconstructs_from_the_posterior_mean(pair, tokens, rank_file):
    model, guide = pair
    batch = {"tokens": tokens}
    greedy = reconstruct(model, guide, batch, method="greedy", seed=1)
    assert torch.equal(reconstruct(model, guide, batch, method=rank_file, seed=2), greedy)


def test_a_method_may_decode_as_a_whole(pair):
    class Shortest(DecodingMethod):
        def choose(self, scores):
            raise AssertionError

        def decode(self, text, *, unknown=True):
            return torch.tensor([2, 0, 0, 0, 0, 0]).expand(*text.batch_shape, 6)

    assert sample(pair[0], 3, method=Shortest()).tolist() == [[2, 0, 0, 0, 0, 0]] * 3


def test_options_that_a_method_does_not_take_are_refused(rank_file):
    with pytest.raises(UserError, match="the greedy method has no option 'k'; it takes: none"):
        build_method("greedy", {"k": 3})
    with pytest.raises(UserError, match="has no option 'rnak'; it takes: rank"):
        build_method(rank_file, {"rnak": 3})
