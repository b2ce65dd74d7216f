# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The channel of edits against a sum over all edits, and its draws."""

import itertools

import pytest
import torch

from pyro_textvae.nn import EditChannel
from pyro_textvae.special_tokens import EOS, UNK

TEXT = torch.tensor([[4, 3, EOS], [4, EOS, 0], [EOS, 0, 0]])


@pytest.fixture(scope="module")
def channel():
    torch.manual_seed(0)
    made = EditChannel(vocab_size=5, embedding_dim=3)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made.double()


def by_recursion(channel, text, read):
    """p(read | text), lists of words, over every way to read on."""
    out, written, more, no_more = (rate.exp() for rate in channel.log_rates())
    if read:
        put_in = channel.log_put_in(torch.tensor(read[:1])).exp() * more
        rest = put_in * by_recursion(channel, text, read[1:])
    else:
        rest = torch.tensor(0.0).double()
    return rest + no_more * after_gap(channel, text, read, out, written)


def after_gap(channel, text, read, out, written):
    if not text:
        return torch.tensor(float(not read)).double()
    total = out * by_recursion(channel, text[1:], read)
    if read:
        word = channel.log_written(torch.tensor(text[:1]), torch.tensor(read[:1])).exp()[0, 0]
        total = total + written * word * by_recursion(channel, text[1:], read[1:])
    return total


@torch.no_grad()
def test_density_is_the_sum_over_all_edits(channel):
    """Of every source of up to three words, padded or not, with texts side by side."""
    for length in range(4):
        for words in itertools.product((UNK, 4), repeat=length):
            row = torch.tensor([*words, EOS] + [0] * (3 - length))
            found = channel(TEXT).log_prob(row)
            alone = channel(TEXT[:2, :2]).log_prob(row[: length + 1])[1]
            assert torch.allclose(found[1], alone, atol=1e-12)
            for text, value in zip(([4, 3], [4], []), found, strict=True):
                truth = by_recursion(channel, text, [*words]).log()
                assert torch.allclose(value, truth, atol=1e-10)


@torch.no_grad()
def test_probabilities_of_all_sources_of_a_length_sum_to_that_of_the_length(channel):
    """Which is that of as many words written down and put in: a binomial and a negative one."""
    out, _, more, _ = (rate.exp().item() for rate in channel.log_rates())
    for length in range(4):
        rows = torch.tensor([[*w, EOS] for w in itertools.product((UNK, 4), repeat=length)])
        total = channel(TEXT[0]).log_prob(rows).logsumexp(0).exp()
        truth = 0.0
        for kept, ways in enumerate((1, 2, 1)):
            others = length - kept
            if others >= 0:
                share = ways * (1 - out) ** kept * out ** (2 - kept)
                truth += share * (others + 2) * (others + 1) / 2 * (1 - more) ** 3 * more**others
        assert total.item() == pytest.approx(truth, abs=1e-10)


@torch.no_grad()
def test_what_every_class_may_have_written_is_what_it_writes(channel):
    read = torch.tensor([[4, UNK, EOS], [UNK, EOS, 0]])
    every = channel.log_written_for_all(read)
    assert every.shape == (2, 3, 3)
    assert (every[..., 0] == -torch.inf).all()
    for word in (UNK, 4):
        of_word = channel.log_written(torch.full((2, 1), word), read)[:, 0]
        assert torch.allclose(every[..., word - EOS], of_word, atol=1e-12)


@torch.no_grad()
def test_draws_have_the_probabilities_that_they_are_scored_by(channel):
    """Lengths 0 to 3 and first words of 1,500 draws; |z| < 4.5."""
    torch.manual_seed(0)
    drawn = channel(TEXT[0]).sample((800,))
    ended = (drawn == EOS).int().argmax(1)
    for length in range(4):
        for first in (UNK, 4) if length else (EOS,):
            words = itertools.product((UNK, 4), repeat=max(length - 1, 0))
            rows = [[first, *w, EOS] if length else [EOS] for w in words]
            share = channel(TEXT[0]).log_prob(torch.tensor(rows)).exp().sum().item()
            found = ((ended == length) & (drawn[:, 0] == first)).double().mean().item()
            assert abs(found - share) < 4.5 * (share * (1 - share) / 800) ** 0.5
