# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The mixture of seeds as the language that it is: exact sums over all its sentences."""

import math

import pytest
import torch

from pyro_textvae.grid.mixture_of_seeds import mixture_of_seeds


def test_mixture_is_the_language_of_a_seed_and_then_its_text():
    """Of texts drawn from it, nll is its entropy and the information that of text and seed."""
    generator = torch.Generator().manual_seed(0)
    languages = torch.rand(3, 6, generator=generator, dtype=torch.float64).pow(3)
    languages /= languages.sum(1, keepdim=True)
    mixed = languages.mean(0)
    # A text as often as the mixture says it: 6 texts, their shares exact in 20,000.
    counts = (mixed * 20_000).round().long()
    mixed_counted = counts / counts.sum()
    texts = torch.arange(6).repeat_interleave(counts)
    found = mixture_of_seeds([language.log()[texts] for language in languages])
    entropy = torch.special.entr(mixed).sum()
    information = entropy - torch.special.entr(languages).sum(1).mean()
    # Shares are rounded to 1 / 20,000, and both numbers are smooth in them.
    assert (mixed_counted - mixed).abs().max() < 1e-4
    assert found["nll_mixed"] == pytest.approx(entropy.item(), abs=1e-3)
    assert found["seed_information"] == pytest.approx(information.item(), abs=1e-3)


def test_mixture_of_one_model_with_itself_is_that_model():
    log_px = torch.tensor([-3.0, -900.0, -41.5])
    found = mixture_of_seeds([log_px] * 4)
    assert found["nll_mixed"] == pytest.approx(-log_px.double().mean().item(), abs=1e-12)
    assert found["seed_information"] == pytest.approx(0.0, abs=1e-12)


def test_models_of_texts_apart_cost_the_seed_and_tell_it():
    """Each text is sure under one model: log S nats for the seed, which the text tells wholly."""
    log_px = torch.full((2, 2), -1e6).fill_diagonal_(0.0)
    found = mixture_of_seeds(list(log_px))
    assert found["nll_mixed"] == pytest.approx(math.log(2))
    assert found["seed_information"] == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    "log_px",
    [
        [],
        [torch.tensor([-1.0, -2.0])],
        [torch.tensor([-1.0, -torch.inf]), torch.tensor([-1.0, -2.0])],
    ],
    ids=["none", "one", "impossible"],
)
def test_nothing_is_said_of_less_than_two_seeds_or_an_impossible_sentence(log_px):
    assert mixture_of_seeds(log_px) == {"nll_mixed": None, "seed_information": None}
