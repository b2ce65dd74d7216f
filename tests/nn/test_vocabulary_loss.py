# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from pyro_textvae.nn import vocabulary_loss as module
from pyro_textvae.nn.vocabulary_loss import vocabulary_loss


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    return (
        torch.randn(23, 5, dtype=torch.float64, requires_grad=True),
        torch.randn(11, 5, dtype=torch.float64, requires_grad=True),
        torch.randn(11, dtype=torch.float64, requires_grad=True),
        torch.randint(0, 11, (23,)),
    )


@pytest.fixture(
    params=itertools.product([1, 4, 7, 23, 40], [0, 11 * 9, 2**24]), ids="{0[0]} {0[1]}".format
)
def _rows_at_once(request, monkeypatch):
    """Parts of every kind: one row, uneven, all, more than all; none, some or all kept."""
    rows, kept = request.param
    monkeypatch.setattr(module, "_SCORES_AT_ONCE", {"cpu": 0})
    monkeypatch.setattr(module, "_FEWEST_ROWS", rows)
    monkeypatch.setattr(module, "_SCORES_KEPT", {"cpu": kept})


def plain(hidden, weight, bias, classes):
    return F.cross_entropy(F.linear(hidden, weight, bias), classes, reduction="none")


@pytest.mark.usefixtures("_rows_at_once")
def test_values_and_gradients_are_those_of_all_scores_at_once(inputs):
    upstream = torch.rand(23, dtype=torch.float64)
    ours, theirs = vocabulary_loss(*inputs), plain(*inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    found = torch.autograd.grad((ours * upstream).sum(), inputs[:3])
    expected = torch.autograd.grad((theirs * upstream).sum(), inputs[:3])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("_rows_at_once")
def test_second_derivatives_are_right(inputs):
    hidden, weight, bias, classes = inputs
    assert torch.autograd.gradgradcheck(
        lambda *values: vocabulary_loss(*values, classes), (hidden, weight, bias)
    )


@pytest.mark.usefixtures("_rows_at_once")
def test_a_second_backward_pass_over_the_same_graph_gives_the_same(inputs):
    loss = vocabulary_loss(*inputs).sum()
    first = torch.autograd.grad(loss, inputs[:3], retain_graph=True)
    again = torch.autograd.grad(loss, inputs[:3])
    torch.testing.assert_close(again, first, rtol=0, atol=0)


@pytest.mark.usefixtures("_rows_at_once")
def test_under_autocast_only_the_products_are_rounded(inputs):
    """bfloat16 keeps 8 bits: products of a few terms are right to a few per cent."""
    hidden, weight, bias = (value.detach().float().requires_grad_() for value in inputs[:3])
    with torch.autocast("cpu", torch.bfloat16):
        losses = vocabulary_loss(hidden, weight, bias, inputs[3])
    assert losses.dtype is torch.float32
    torch.testing.assert_close(losses.double(), plain(*inputs), rtol=0.03, atol=0.03)
    assert not torch.equal(losses, vocabulary_loss(hidden, weight, bias, inputs[3]))
    found = torch.autograd.grad(losses.sum(), (hidden, weight, bias))
    assert all(value.dtype is torch.float32 for value in found)
    expected = torch.autograd.grad(plain(*inputs).sum(), inputs[:3])
    expected = [value.float() for value in expected]
    torch.testing.assert_close(list(found), expected, rtol=0.03, atol=0.1)
    # The sum of each row's shares over classes is zero: its rounding would not be.
    assert abs(found[2].sum().item()) < 1e-4


@pytest.mark.parametrize("place", [0, 1, 2])
def test_only_the_gradient_that_is_asked_for_is_computed(inputs, place, monkeypatch):
    monkeypatch.setattr(module, "_SCORES_AT_ONCE", {"cpu": 0})
    asked = [value.detach().requires_grad_(i == place) for i, value in enumerate(inputs[:3])]
    vocabulary_loss(*asked, inputs[3]).sum().backward()
    expected = torch.autograd.grad(plain(*inputs).sum(), inputs[place])[0]
    torch.testing.assert_close(asked[place].grad, expected, rtol=1e-12, atol=1e-12)
    assert all(value.grad is None for i, value in enumerate(asked) if i != place)


def test_no_rows_and_no_gradient():
    weight, bias = torch.randn(11, 5), torch.randn(11)
    with torch.no_grad():
        empty = vocabulary_loss(torch.empty(0, 5), weight, bias, torch.empty(0, dtype=torch.long))
    assert empty.shape == (0,)


def test_float32_is_within_its_rounding_of_float64(inputs, monkeypatch):
    monkeypatch.setattr(module, "_SCORES_AT_ONCE", {"cpu": 0})
    exact = vocabulary_loss(*inputs)
    single = vocabulary_loss(*(value.float() for value in inputs[:3]), inputs[3])
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-6)


_PEAK = """
import torch
from pyro_textvae.nn.vocabulary_loss import vocabulary_loss
torch.set_num_threads(1)
hidden = torch.randn(800, 32, requires_grad=True)
weight = torch.randn(120_000, 32, requires_grad=True)
bias, classes = torch.zeros(120_000), torch.randint(0, 120_000, (800,))

def peak():
    # Not ru_maxrss, which begins at the peak of the process that started this one.
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

before = peak()
vocabulary_loss(hidden, weight, bias, classes).sum().backward()
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's peak memory")
def test_peak_memory_is_far_below_that_of_all_scores():
    """800 x 120,000 scores are 384 MB, of which 268 may be kept.

    All at once they are there three times: themselves, their logarithms normalised, and their
    gradient. The bound of 0.4 of that leaves room for the allocator.
    """
    done = subprocess.run([sys.executable, "-c", _PEAK], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 0.4 * 3 * 800 * 120_000 * 4


def test_without_a_gradient_no_scores_are_kept(inputs, monkeypatch):
    """Parameters that could be trained are no reason to."""
    seen = []
    apply = module._VocabularyLoss.apply
    monkeypatch.setattr(
        module._VocabularyLoss, "apply", lambda *given: seen.append(given[-1]) or apply(*given)
    )
    vocabulary_loss(*inputs)
    with torch.no_grad():
        vocabulary_loss(*inputs)
    with torch.inference_mode():
        vocabulary_loss(*inputs)
    vocabulary_loss(*(value.detach() for value in inputs))
    assert seen == [module._SCORES_KEPT["cpu"], 0, 0, 0]


def test_strides_make_no_difference(inputs):
    hidden, weight, bias = (value.detach().float() for value in inputs[:3])
    expected = plain(hidden, weight, bias, inputs[3])
    spread = [torch.stack([value, 9 * value], -1)[..., 0] for value in (hidden, weight, bias)]
    assert not any(value.is_contiguous() for value in spread)
    torch.testing.assert_close(vocabulary_loss(*spread, inputs[3]), expected, rtol=1e-5, atol=1e-5)
    alike = torch.full((1,), 3.0).expand(11)
    expected = plain(hidden, weight, alike, inputs[3])
    found = vocabulary_loss(hidden, weight, alike, inputs[3])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
