# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sums of gradients that begin as they come: in one order in all processes, each once."""

import pytest
import torch
from torch import nn

from pyro_textvae.errors import UserError
from pyro_textvae.training import early_sums, sum_gradients
from pyro_textvae.training.early_sums import EarlySums


class Process:
    """One of several processes; what it begins to sum, in its order, by the names of parameters."""

    def __init__(self, monkeypatch, first=None):
        self.monkeypatch = monkeypatch
        self.first = first
        """What the first process says of its order; by default this one is the first."""
        self.parameters = {name: nn.Parameter(torch.ones(2)) for name in "abcd"}
        self.early = EarlySums([*self.parameters.values()])
        self.begun = []

    def begin(self, values, group):
        name = next(n for n, p in self.parameters.items() if p.grad is values)
        self.begun.append(name)
        return self

    def wait(self):
        self.begun.append("waited")

    def step(self, used, with_gradient="abcd", moving=None):
        """Gradients come in the order of ``used``; returns the begun before and after the pass."""
        self.monkeypatch.setattr(early_sums, "begin_sum", self.begin)
        self.monkeypatch.setattr(early_sums, "of_the_first", lambda own: self.first or own)
        self.begun.clear()
        loss = torch.zeros(())
        for parameter in self.parameters.values():
            parameter.grad = None
        # What is added last comes first.
        for name in reversed(used):
            loss = (loss + self.parameters[name].sum()) * 1.0
        inputs = None if moving is None else [self.parameters[name] for name in moving]
        with self.early.open(inputs):
            loss.backward(inputs=inputs)
        before = "".join(self.begun)
        there = [self.parameters[name] for name in with_gradient]
        for parameter in there:
            parameter.grad = torch.zeros(2) if parameter.grad is None else parameter.grad
        summed = self.early.begin_rest(there)
        after = "".join(self.begun)[len(before) :]
        assert summed == {id(self.parameters[name]) for name in before + after}
        self.early.wait()
        assert self.begun[len(before + after) :] == ["waited"] * len(before + after)
        return before, after


def test_sums_begin_as_gradients_come_from_the_second_step_on(monkeypatch):
    process = Process(monkeypatch)
    assert process.step("cbad") == ("", "")
    assert process.step("cbad") == ("cbad", "")
    # What comes before its turn waits for it.
    assert process.step("bacd") == ("cbad", "")
    assert process.step("bacd", moving="ab") == ("ba", "")


def test_processes_with_other_gradients_begin_the_same_sums_in_the_same_order(monkeypatch):
    first, second = Process(monkeypatch), Process(monkeypatch, first=[2, 1, 0, 3])
    first.step("cbad")
    second.step("dabc")
    assert first.step("cbad") == ("cbad", "")
    assert second.step("cad") == ("c", "bad")
    assert first.step("cad", with_gradient="acd") == ("c", "ad")
    assert second.step("ca", with_gradient="acd") == ("c", "ad")


def test_sums_are_of_the_last_pass_of_a_step_alone(monkeypatch):
    process = Process(monkeypatch)
    process.step("abcd")
    process.parameters["a"].sum().backward()
    assert process.begun == []


def test_a_gradient_that_comes_twice_is_refused(monkeypatch):
    process = Process(monkeypatch)
    a = process.parameters["a"]
    with process.early.open(None):
        a.sum().backward()
        with pytest.raises(UserError, match="use_reentrant=False"):
            a.sum().backward()


def test_what_is_summed_early_is_large_dense_and_without_gaps(monkeypatch):
    monkeypatch.setattr(sum_gradients, "SMALL", 6)
    table = nn.Embedding(3, 2).weight
    large, small = nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.ones(5))
    parameters = [table, large, small, nn.Parameter(torch.ones(2, 3).T)]
    early = [p for p in parameters if sum_gradients.is_dense_and_large(p, {id(table)})]
    assert [id(parameter) for parameter in early] == [id(large)]
