# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import itertools

import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.generation.completion import Template
from tests.generation.completion.truth import GAP, TEMPLATES, WORD, matching, sentences


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_sentence_matches_as_the_regular_expression_says(name):
    template, pattern = TEMPLATES[name]
    rows = torch.tensor([[*row, *[0] * (6 - len(row))] for row in sentences()])
    found = rows[template.log_readings(rows) > -torch.inf]
    assert set(map(tuple, found.tolist())) == set(map(tuple, matching(pattern).tolist()))


def test_readings_are_counted():
    """[gap] 4 [gap] 5 <eos> is read in as many ways as there are fours before the last five."""
    template, pattern = TEMPLATES["two gaps"]
    rows = matching(pattern)
    fours = (rows == 4).sum(-1).double()
    torch.testing.assert_close(template.log_readings(rows).exp(), fours)


def test_a_word_and_a_gap_after_each_other_leave_no_choice():
    template = Template(((), (), (2,)), (WORD, GAP))
    rows = torch.tensor([[*w, 2] for w in itertools.product((3, 4), repeat=3)])
    assert torch.equal(template.log_readings(rows), torch.zeros(8).double())


def test_lengths():
    assert Template(((4,), (5, 2)), (GAP,)).fewest_tokens == 3
    assert Template(((4,), (5, 2)), (WORD,)).fewest_tokens == 4
    assert Template(((4,), (2,)), (GAP,)).is_open
    assert not Template(((4,), (2,)), (WORD,)).is_open
    assert not Template(((4,), (5, 2)), (GAP,)).is_open


def test_what_is_no_template():
    with pytest.raises(UserError, match="there is nothing to complete"):
        Template(((4, 2),), ())
    with pytest.raises(ValueError, match="ends in <eos>"):
        Template(((4,), (5,)), (WORD,))
