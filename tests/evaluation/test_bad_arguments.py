# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Arguments of a wrong type or range are refused by name, before anything is scored."""

from types import SimpleNamespace

import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import compare, information, log_likelihood

ROWS = torch.tensor([[4, 5, 2, 0], [6, 2, 0, 0]])
BATCHES = [{"tokens": ROWS}]
SCORED = SimpleNamespace(
    log_px=torch.tensor([-5.0, -7.0]),
    standard_error=torch.zeros(2),
    num_tokens_per_sentence=torch.tensor([3, 2]),
)


@pytest.mark.parametrize("function", [log_likelihood, information])
@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (ROWS, "batches must be a list, or another iterable, .* got a Tensor"),
        (BATCHES[0], r"batches is one batch: give a list of them, \[batch\]"),
        (3, "batches must be a list, or another iterable, .* got a int"),
        ([ROWS], "a batch is a dict of tensors .* got a Tensor"),
        ([{"tokens": ROWS.numpy()}], "field 'tokens' of a batch must be a tensor, got a ndarray"),
        ([{"tokens": ROWS[:0]}], "a batch must have at least 1 sentence, got 0"),
        ([{"labels": ROWS[:, 0]}], "the batch has no field 'tokens': it has labels"),
    ],
)
def test_no_batches(pair, function, batches, message):
    with pytest.raises(UserError, match=message):
        function(*pair, batches)


@pytest.mark.parametrize(
    ("function", "given", "message"),
    [
        (log_likelihood, {"num_samples": "2"}, "num_samples must be int, got '2'"),
        (log_likelihood, {"num_samples": 2.0}, r"num_samples must be int, got 2\.0"),
        (log_likelihood, {"seed": None}, "seed must be int, got None"),
        (log_likelihood, {"quasi_random": "no"}, "quasi_random must be bool, got 'no'"),
        (log_likelihood, {"most_rounds": []}, r"most_rounds must be int, got \[\]"),
        (log_likelihood, {"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
        (log_likelihood, {"target_standard_error": "x"}, "target_standard_error must be float"),
        (log_likelihood, {"partial": 3}, "partial must be str, got 3"),
        (information, {"num_draws": "x"}, "num_draws must be int, got 'x'"),
        (information, {"costly_pairs": -1}, "costly_pairs must be at least 0, got -1"),
        (information, {"seed": {}}, "seed must be int, got {}"),
    ],
)
def test_wrong_argument(pair, function, given, message):
    with pytest.raises(UserError, match=message):
        function(*pair, BATCHES, **given)


def test_a_comparison():
    with pytest.raises(UserError, match="seed must be int, got ''"):
        compare(SCORED, SCORED, seed="")
    with pytest.raises(UserError, match="num_resamples must be at least 1000, got 2"):
        compare(SCORED, SCORED, num_resamples=2)
