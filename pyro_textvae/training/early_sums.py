# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sums of gradients over processes that are begun while others are still computed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch.distributed
from torch import nn

from pyro_textvae.errors import UserError
from pyro_textvae.processes import begin_sum, of_the_first, second_group


class EarlySums:
    """Adds the gradients of large parameters over the processes, each as soon as it is there.

    All processes begin the sums in one order, that in which the gradients of the first process came
    in the first step. So a process may have fewer gradients than another, or have them otherwise.

    :param parameters: whose gradients are added so, the same in every process.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = list(parameters)
        self._group = second_group()
        self._order: list[nn.Parameter] | None = None
        self._queue: list[nn.Parameter] = []
        self._came: dict[int, int] = {}
        self._begun: list[torch.distributed.Work] = []
        self._is_open = False
        for place, parameter in enumerate(self._parameters):
            parameter.register_post_accumulate_grad_hook(partial(self._take, place))

    @contextmanager
    def open(self, moving: Collection[nn.Parameter] | None) -> Iterator[None]:
        """Begin sums within the block, which is the last backward pass of a step.

        :param moving: the parameters that get a gradient; None for all.
        """
        of_step = {*map(id, self._parameters if moving is None else moving)}
        self._queue = [p for p in self._order or () if id(p) in of_step]
        self._came.clear()
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False

    def begin_rest(self, with_gradient: Sequence[nn.Parameter]) -> set[int]:
        """Begin what has not begun; the ids of the parameters that are summed.

        :param with_gradient: those that have one in some process, and so in every one by now.
        """
        there = {*map(id, with_gradient)}
        summed = [parameter for parameter in self._queue if id(parameter) in there]
        for parameter in summed[len(self._begun) :]:
            self._begin(parameter)
        if self._order is None:
            first = of_the_first([*self._came.values()])
            rest = [place for place in range(len(self._parameters)) if place not in {*first}]
            self._order = [self._parameters[place] for place in (*first, *rest)]
        return {*map(id, summed)}

    def wait(self) -> None:
        """Wait for all sums."""
        for work in self._begun:
            work.wait()
        self._begun.clear()
        self._queue = []

    def _take(self, place: int, parameter: nn.Parameter) -> None:
        """Note that a gradient came, and begin the sums whose turn it is."""
        if not self._is_open:
            return
        if id(parameter) in self._came:
            raise UserError(
                "a gradient came twice in one backward pass, as under torch's reentrant "
                "checkpoints, when its sum over processes had begun: take use_reentrant=False"
            )
        self._came[id(parameter)] = place
        for waiting in self._queue[len(self._begun) :]:
            if id(waiting) not in self._came:
                break
            self._begin(waiting)

    def _begin(self, parameter: nn.Parameter) -> None:
        assert parameter.grad is not None
        self._begun.append(begin_sum(parameter.grad, self._group))
