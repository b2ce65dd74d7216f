# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Modules with methods that a subclass must write."""

from __future__ import annotations

from typing import Any

from torch import nn


class AbstractModule(nn.Module):
    """A module of which no object is made while a method marked ``abstractmethod`` is missing.

    As :class:`abc.ABC`, whose metaclass is not Pyro's: ``PyroModule[LSTMDecoder]`` would be refused
    as a conflict of the two.

    >>> from abc import abstractmethod
    >>> class Reader(AbstractModule):
    ...     @abstractmethod
    ...     def read(self): ...
    >>> Reader()
    Traceback (most recent call last):
    ...
    TypeError: Reader does not define read
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> AbstractModule:
        """Make an object.

        :raises TypeError: with the names of the methods that are missing.
        """
        missing = [
            name
            for name in dir(cls)
            if getattr(getattr(cls, name, None), "__isabstractmethod__", False)
        ]
        if missing:
            raise TypeError(f"{cls.__name__} does not define {', '.join(missing)}")
        return super().__new__(cls)
