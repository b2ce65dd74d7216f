# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Which constant of a program is of another precision than its parameters."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import pyro
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.testing.demands import ContractError

Result = TypeVar("Result")

_LIBRARIES = tuple(str(Path(module.__file__ or "").parent) for module in (torch, pyro))
_OF_PRECISION = re.compile(r"dtype|scalar type|\b(Float|Double|float32|float64)\b")


def explained(what: str, module: nn.Module, call: Callable[[], Result], hint: str = "") -> Result:
    """What ``call`` returns; where it fails, one line that says why.

    :param what: what is called, such as "the model", for the error.
    :param module: whose parameters say in which precision.
    :param call: called again where it fails, to see which tensors meet.
    :param hint: what to do where no constant is at fault.
    :raises ContractError: with the line that makes a constant of another precision than the
        parameters, where that is why; else with the error.
    """
    try:
        return call()
    except UserError:
        raise
    except Exception as error:
        reason = in_one_line(error)
        precision = _precision_of(module)
        watch = _Watch(module, precision)
        try:
            with watch:
                call()
        except Exception:
            if watch.culprit is not None or _OF_PRECISION.search(reason):
                constant = watch.culprit or watch.last
                if constant is not None:
                    raise ContractError(_of_constant(what, precision, constant)) from error
        raise ContractError(f"{what} does not run: {reason}{hint}") from error


def _of_constant(what: str, precision: torch.dtype, constant: tuple[torch.dtype, str]) -> str:
    other, place = constant
    return (
        f"{what} does not run in {_name(precision)}: {place} is {_name(other)} whatever the "
        "parameters are; make it of one of them, such as self.layer.weight.new_zeros(2), or keep "
        "it by register_buffer"
    )


def _precision_of(module: nn.Module) -> torch.dtype:
    kinds = [p.dtype for p in module.parameters() if p.is_floating_point()]
    return kinds[0] if kinds else torch.float64


def _name(precision: torch.dtype) -> str:
    return str(precision).removeprefix("torch.")


class _Watch(TorchFunctionMode):
    """Follows tensors of another precision from where they are made to where they fail.

    culprit
        The precision and place of the one in the call that failed beside one of the right
        precision.
    last
        Those of the one that was used last.
    """

    def __init__(self, module: nn.Module, precision: torch.dtype) -> None:
        super().__init__()
        self.module = module
        self.precision = precision
        self.culprit: tuple[torch.dtype, str] | None = None
        self.last: tuple[torch.dtype, str] | None = None
        # With the tensors themselves, whose numbers are given again when they are gone.
        self._places: dict[int, tuple[Tensor, str]] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call ``func``, and note what is of another precision in and after it."""
        kwargs = kwargs or {}
        given = [tensor for tensor in _tensors((args, kwargs)) if tensor.is_floating_point()]
        others = [tensor for tensor in given if tensor.dtype != self.precision]
        try:
            result = func(*args, **kwargs)
        except Exception:
            if others and len(others) < len(given):
                self.culprit = others[0].dtype, self._place_of(others[0])
            raise
        for tensor in _tensors(result):
            if tensor.is_floating_point() and tensor.dtype != self.precision:
                place = self._place_of(others[0]) if others else _line_of_the_program()
                self._places.setdefault(id(tensor), (tensor, place))
                self.last = tensor.dtype, self._places[id(tensor)][1]
        return result

    def _place_of(self, tensor: Tensor) -> str:
        if id(tensor) in self._places:
            return self._places[id(tensor)][1]
        for module in self.module.modules():
            for name, value in vars(module).items():
                if value is tensor:
                    return f"the attribute {name!r} of {type(module).__name__}"
        return f"a tensor of shape {tuple(tensor.shape)} in {_line_of_the_program()}"


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)


def _line_of_the_program() -> str:
    """The innermost line that is neither PyTorch's nor Pyro's, quoted."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file != __file__ and not file.startswith(_LIBRARIES):
            line = linecache.getline(file, frame.f_lineno).strip()
            return f"`{line}` ({Path(file).name}, line {frame.f_lineno})"
        frame = frame.f_back
    return "a constant"
