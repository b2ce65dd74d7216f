# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Programs that are functions, as modules: what a trainer steps, and a run saves, are modules."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import pyro
import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.distributions import constraints, transform_to

from pyro_textvae.errors import UserError
from pyro_textvae.infer.autoguides import without_handlers
from pyro_textvae.infer.isolation import isolated
from pyro_textvae.infer.running import same_random_state

_STATEMENTS = "statements"


class FunctionProgram(nn.Module):
    """A function of the fields of a batch as a module with the parameters that the function uses.

    These are the networks that it refers to by name, those that it is given, those of the object
    whose method it is, and, once it has been run with :meth:`collect`, its ``pyro.param``
    statements. Statements that were not collected are those of Pyro's store, as ever.

    >>> import pyro.distributions as dist
    >>> def guide(tokens):
    ...     scale = pyro.param("scale", torch.ones(()), constraint=dist.constraints.positive)
    ...     with pyro.plate("data", len(tokens)):
    ...         pyro.sample("z", dist.Normal(0.0, scale))
    >>> program = FunctionProgram(guide)
    >>> program.collect({"tokens": torch.zeros(2, 3)})
    >>> [name for name, _ in program.named_parameters()]
    ['statements.scale']

    :param function: of the fields that it names, as ``forward`` of a program.
    :param given: further arguments of it, by name: networks and plain values.
    :raises UserError: for what is no function.
    """

    def __init__(
        self, function: Callable[..., Any], given: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        if not callable(function):
            raise UserError(
                f"a program is an nn.Module or a function of the fields of a batch, got a "
                f"{type(function).__name__}"
            )
        self.function = function
        self.given = tuple(given or ())
        for name, value in (given or {}).items():
            setattr(self, name, value)
        self.networks = nn.ModuleDict(networks_of(function))
        self.statements = nn.ParameterDict()
        self._collecting = False
        self._constraints: dict[str, Any] = {}

    @property
    def __name__(self) -> str:
        """The name of the function."""
        return name_of_function(without_handlers(self.function))

    @property
    def fields(self) -> dict[str, inspect.Parameter]:
        """The arguments that it takes of a batch."""
        inner = without_handlers(self.function)
        function = inner.forward if isinstance(inner, nn.Module) else inner
        parameters = inspect.signature(function).parameters
        return {name: each for name, each in parameters.items() if name not in self.given}

    def collect(self, batch: Mapping[str, Any], *, publish: bool = False) -> None:
        """Run it once, so that the parameters of its ``pyro.param`` statements are the module's.

        Those that Pyro's store has keep their values. No random number is used up.

        :param batch: the fields that it names.
        :param publish: put them into Pyro's store, so that the function itself goes on with what
            is trained.
        """
        self._collecting = True
        try:
            with same_random_state(), torch.no_grad(), isolated(self), pyro.poutine.block():
                self(**batch)
        finally:
            self._collecting = False
        store = pyro.get_param_store()
        for attribute, parameter in self.statements.items() if publish else ():
            name = _statement(attribute)
            store._constraints[name] = self._constraints[attribute]
            store._params[name] = parameter
            store._param_to_name[parameter] = name

    def forward(self, *args: Any, **fields: Any) -> Any:
        """Call the function."""
        given = {name: getattr(self, name) for name in self.given}
        with _Statements(self):
            return self.function(*args, **given, **fields)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        of_statements = f"{prefix}{_STATEMENTS}."
        for name, value in state_dict.items():
            attribute = name.removeprefix(of_statements)
            if name.startswith(of_statements) and attribute not in self.statements:
                self.statements[attribute] = nn.Parameter(torch.empty_like(value))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def as_program(program: Any) -> nn.Module:
    """A program as a module: itself, or a :class:`FunctionProgram`.

    :raises UserError: for what is neither a module nor a function.
    """
    return program if isinstance(program, nn.Module) else FunctionProgram(program)


def networks_of(function: Callable[..., Any]) -> dict[str, nn.Module]:
    """The modules that a function refers to by name, in its file or around it."""
    function = without_handlers(function)
    owner = function if isinstance(function, nn.Module) else getattr(function, "__self__", None)
    networks = {"self": owner} if isinstance(owner, nn.Module) else {}
    plain = inspect.unwrap(getattr(function, "__func__", function))
    if not inspect.isfunction(plain):
        return networks
    found = inspect.getclosurevars(plain)
    named = {**found.globals, **found.nonlocals}
    return networks | {n: value for n, value in named.items() if isinstance(value, nn.Module)}


def name_of_function(function: Any) -> str:
    """What a function is called in a message."""
    return getattr(function, "__name__", type(function).__name__)


class _Statements(Messenger):
    """Answers the ``pyro.param`` statements whose parameters a program has."""

    def __init__(self, program: FunctionProgram) -> None:
        super().__init__()
        self.program = program
        self._of_networks = {id(parameter) for parameter in program.parameters()}
        self._of_statements = {id(parameter) for parameter in program.statements.values()}

    def _pyro_param(self, msg: Any) -> None:
        name, *initial = msg["args"]
        statements, attribute = self.program.statements, _attribute(name)
        if initial and id(initial[0]) in self._of_networks:
            # Of a pyro.module statement, whose network the program has.
            self._answer(msg, initial[0], initial[0])
            return
        store = pyro.get_param_store()
        if name in store and id(store._params[name]) in self._of_networks - self._of_statements:
            return  # Of a PyroModule, which answers for itself.
        constraint = msg["kwargs"].get("constraint", constraints.real)
        if attribute not in statements:
            if not self.program._collecting:
                return
            statements[attribute] = _unconstrained(name, initial, constraint)
            self.program._constraints[attribute] = constraint
        parameter = statements[attribute]
        self._answer(msg, transform_to(constraint)(parameter), parameter)

    def _answer(self, msg: Any, value: Tensor, parameter: Tensor) -> None:
        value.unconstrained = weakref.ref(parameter)  # type: ignore[attr-defined]
        msg["value"] = value
        msg["done"] = True


def _unconstrained(name: str, initial: list[Any], constraint: Any) -> nn.Parameter:
    store = pyro.get_param_store()
    if name in store:
        constrained: Any = store[name]
        value = constrained.unconstrained()
        return value if isinstance(value, nn.Parameter) else nn.Parameter(value.detach())
    if not initial:
        raise UserError(f"pyro.param({name!r}) has no initial value: give it one")
    (start,) = initial
    if isinstance(start, nn.Parameter):
        return start
    with torch.no_grad():
        start = start() if callable(start) else start
        return nn.Parameter(transform_to(constraint).inv(start).clone())


def _attribute(name: str) -> str:
    """A name of a parameter of a module, which has no dots, for one of a statement."""
    return name.replace(".", "/")


def _statement(attribute: str) -> str:
    return attribute.replace("/", ".")
