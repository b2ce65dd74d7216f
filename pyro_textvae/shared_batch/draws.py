# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Random numbers of a share that are those of the whole batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pyro_textvae.shared_batch.layout import Place, is_drawn_for_all_at_once, present_layout
from pyro_textvae.shared_batch.share import Share, present_share
from pyro_textvae.shared_batch.whole_batch import gathered

_FILL = 0.5
"""A parameter in the place of other sentences', which takes as many random numbers as any."""
_TAKE_AS_NEEDED = frozenset({"_standard_gamma", "_sample_dirichlet", "poisson", "binomial"})
"""How many random numbers they take hangs on their parameters."""
_OF_NO_SENTENCE = frozenset({"randperm"})
_RATES = ("dropout_p", "dropout")


class SharedDraws(TorchDispatchMode):
    """Within the block a pass over a share of a batch draws what a pass over the batch would.

    Every random operation draws for the whole batch, from the generator as it is, and keeps what is
    of the share's sentences. So all processes go through the same states of the generator, and take
    the random numbers that one process takes, however many they are.

    >>> from pyro_textvae.shared_batch import Share, sharing
    >>> whole = torch.manual_seed(0) and torch.rand(4, 2)
    >>> torch.manual_seed(0) and None
    >>> with sharing(Share(1, 4, total=4)), SharedDraws():
    ...     torch.equal(torch.rand(3, 2), whole[1:])
    True

    :raises ValueError: at an operation whose sentences cannot be told apart.
    """

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        share = present_share()
        if share is None or torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **given)
        name = func.overloadpacket.__name__
        if name in _OF_NO_SENTENCE or _drops_nothing(func, args, given):
            return func(*args, **given)
        if name == "native_dropout":
            return _dropout(func, share, *args)
        if name == "multinomial":
            return _multinomial(func, share, args, given)
        if name in _TAKE_AS_NEEDED:
            return _gathered_draw(func, share, args, given)
        if name.endswith("_"):
            return _in_place(func, share, args, given)
        return _functional(func, share, args, given)


def _find(shape: Sequence[int], share: Share) -> Place | None:
    return present_layout().find(shape, share)


def _drops_nothing(func: Any, args: Sequence[Any], given: Mapping[str, Any]) -> bool:
    """Whether it is an operation with a rate of dropout, which is 0."""
    for at, argument in enumerate(func._schema.arguments):
        if argument.name in _RATES:
            rate = given.get(argument.name, args[at] if at < len(args) else argument.default_value)
            return not rate
    return False


def _in_place(func: Any, share: Share, args: Sequence[Any], given: Mapping[str, Any]) -> Tensor:
    target, *parameters = args
    place = _find(target.shape, share)
    if place is None:
        return func(*args, **given)
    whole = _empty_like(target, place)
    spread = [_spread(value, target.shape, place) for value in parameters]
    named = {name: _spread(value, target.shape, place) for name, value in given.items()}
    return target.copy_(place.narrow(func(whole, *spread, **named)))


def _functional(func: Any, share: Share, args: Sequence[Any], given: Mapping[str, Any]) -> Tensor:
    """Of parameters, or of a size alone."""
    tensors = [value for value in args if isinstance(value, Tensor)]
    sizes = [at for at, value in enumerate(args) if isinstance(value, list | tuple)]
    if not tensors and not sizes:
        raise ValueError(f"{func} draws random numbers in a way that cannot be shared")
    shape = (
        torch.broadcast_shapes(*(value.shape for value in tensors)) if tensors else args[sizes[0]]
    )
    place = _find(shape, share)
    if place is None:
        return func(*args, **given)
    changed = [_spread(value, shape, place) for value in args]
    if not tensors:
        changed[sizes[0]] = place.whole_shape(shape)
    return place.narrow(func(*changed, **given)).contiguous()


def _gathered_draw(
    func: Any, share: Share, args: Sequence[Any], given: Mapping[str, Any]
) -> Tensor:
    shape = torch.broadcast_shapes(*(v.shape for v in args if isinstance(v, Tensor)))
    place = _find(shape, share)
    if place is None:
        return func(*args, **given)
    whole = [
        gathered(value.expand(shape), place, share) if isinstance(value, Tensor) else value
        for value in args
    ]
    return place.narrow(func(*whole, **given)).contiguous()


def _multinomial(
    func: Callable[..., Tensor], share: Share, args: Sequence[Any], given: Mapping[str, Any]
) -> Tensor:
    weights, count, *rest = args
    if is_drawn_for_all_at_once():
        place = _find((count,), share)
        if place is None:
            return func(*args, **given)
        (whole,) = place.whole_shape((count,))
        columns = Place(weights.dim() - 1, place.outer, place.first, place.size, place.whole)
        return columns.narrow(func(weights, whole, *rest, **given)).contiguous()
    place = _find(weights.shape[:-1], share)
    if place is None:
        return func(*args, **given)
    whole_weights = place.spread(weights, _FILL)
    return place.narrow(func(whole_weights, count, *rest, **given)).contiguous()


def _dropout(
    func: Any, share: Share, values: Tensor, rate: float, train: bool | None
) -> tuple[Tensor, Tensor]:
    """The fused operation of GPUs, whose mask is drawn for the whole batch."""
    place = _find(values.shape, share)
    if place is None or train is False:
        return func(values, rate, train)
    _, mask = func(_empty_like(values, place).fill_(1.0), rate, True)
    own = place.narrow(mask).contiguous()
    kept = 0.0 if rate == 1 else 1 / (1 - rate)
    return values * own * kept, own


def _spread(value: Any, shape: Sequence[int], place: Place) -> Any:
    """A parameter for the whole batch; a number as it is."""
    if not isinstance(value, Tensor) or not value.dim():
        return value
    return place.spread(value.expand(tuple(shape)), _FILL)


def _empty_like(values: Tensor, place: Place) -> Tensor:
    """One of the whole batch, its dimensions in the same order in memory."""
    strides = values.stride()
    order = sorted(range(values.dim()), key=lambda dim: -strides[dim])
    shape = place.whole_shape(values.shape)
    empty = values.new_empty([shape[dim] for dim in order])
    return empty.permute([order.index(dim) for dim in range(values.dim())])
