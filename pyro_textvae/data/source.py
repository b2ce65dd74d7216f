# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where sentences come from: what a source has to have, and how ``--data`` names one."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, Protocol

from pyro_textvae import zoo
from pyro_textvae.data.records import SPLITS, Record, content_digest
from pyro_textvae.data.world import World
from pyro_textvae.errors import UserError, in_one_line

_FILES = "text_files"
"""The source that takes every path which names no other source."""

_LOCATION = "location"
"""The parameter of a source for what follows its name: the corpus of ``nltk:NAME``, or a path."""


class Source(Protocol):
    """A place that sentences come from.

    A class of your own, given as ``--data path/to/file.py:Class``, has these three and derives from
    nothing. Its ``__init__`` may name ``num_sentences``, ``seed``, ``text_column``,
    ``source_column`` and ``label_column``: it is given those settings, and one that it does not
    name is refused. With an attribute ``world``, a :class:`~pyro_textvae.data.world.World`,
    ``evaluate`` tells the excess of a model over the truth.

    >>> class Countdown:
    ...     name = "countdown"
    ...
    ...     def digest(self):
    ...         return "1"
    ...
    ...     def records(self):
    ...         for number in range(100, 0, -1):
    ...             split = "test" if number < 10 else "valid" if number < 20 else "train"
    ...             yield Record(split, f"{number} seconds left", f"number {number}")
    """

    name: str
    """What the corpus is called in messages and results."""

    def digest(self) -> str:
        """A hash of the content and of every option, at far less cost than reading all."""
        ...

    def records(self) -> Iterator[Record]:
        """The sentences, one by one; may be called several times, and gives the same each time."""
        ...


def open_source(spec: str, settings: Mapping[str, Any], seed: int = 0) -> Source:
    """The source that ``spec`` names.

    :param spec: a name of the catalogue (``stdlib``), with what it is to read after a colon
        (``nltk:brown``); ``file.py:Class`` for one of the user's own; or a path to text files.
    :param settings: options of sources; None for one that was not given.
    :param seed: for sources that draw at random.
    :raises UserError: when there is no such source, it does not take a setting that was given, or
        it cannot be opened.
    """
    source_class, location = _named(spec)
    accepted = inspect.signature(source_class).parameters
    for name, value in settings.items():
        if value is not None and name not in accepted:
            *others, last = _takers(name) or ["sources of your own"]
            takers = f"{', '.join(others)} and {last}" if others else last
            raise UserError(f"{name}={value!r} applies to {takers}, not to {spec!r}; leave it out")
    values = {n: value for n, value in {**settings, "seed": seed}.items() if n in accepted}
    if _LOCATION in accepted and location:
        values[_LOCATION] = location
    elif _LOCATION in accepted:
        raise UserError(f"{spec!r} does not say what to read; give {source_class.spelling}")
    elif location:
        raise UserError(f"{spec!r} has {location!r} too much; give {source_class.spelling}")
    if zoo.name_of("sources", source_class) is not None:
        return source_class(**values)
    return _CheckedSource(zoo.build(source_class, values), spec)


def spellings() -> list[str]:
    """How each source of the catalogue is named, for messages."""
    members: list[Any] = [zoo.load("sources", name) for name in zoo.names("sources")]
    return [cls.spelling for cls in members]


def _takers(setting: str) -> list[str]:
    """How the sources that take a setting are named."""
    members: list[Any] = [zoo.load("sources", name) for name in zoo.names("sources")]
    return [cls.spelling for cls in members if setting in inspect.signature(cls).parameters]


def _named(spec: str) -> tuple[Any, str]:
    """The class of a source, and what follows its name."""
    name, _, rest = spec.partition(":")
    is_path = os.path.exists(spec)
    if name in zoo.names("sources"):
        source_class = zoo.load("sources", name)
        takes_location = _LOCATION in inspect.signature(source_class).parameters
        if takes_location == bool(rest) or not is_path:
            return source_class, rest
    if is_own_source(spec):
        return zoo.load("sources", spec), ""
    return zoo.load("sources", _FILES), spec


def is_relative_path(spec: str) -> bool:
    """Whether ``spec`` names text files by a path that depends on the working folder.

    >>> is_relative_path("data/ptb"), is_relative_path("/data/ptb"), is_relative_path("stdlib")
    (True, False, False)
    """
    if is_own_source(spec):
        return False
    source_class, location = _named(spec)
    is_path = zoo.name_of("sources", source_class) == _FILES
    return is_path and not location.startswith("~") and not os.path.isabs(location)


def is_own_source(spec: str) -> bool:
    """Whether ``spec`` names a class of the user's own, whose code is executed; not a path."""
    name, _, rest = spec.partition(":")
    if name in zoo.names("sources"):
        return False
    return name.endswith(".py") or (not os.path.exists(spec) and _is_imported(name, rest))


def _is_imported(module: str, class_name: str) -> bool:
    """Whether this is ``package.module:Class``, and not a path with a colon in it."""
    if not (re.fullmatch(r"[^\W\d][\w.]*", module) and class_name.isidentifier()):
        return False
    return find_spec(module.partition(".")[0]) is not None


class _CheckedSource:
    """A source of the user's own: what is wrong with what it yields is told in one line."""

    def __init__(self, source: Any, spec: str) -> None:
        missing = [name for name in ("name", "digest", "records") if not hasattr(source, name)]
        if missing:
            raise UserError(
                f"{spec} is no source, as it has no {missing[0]!r}: it needs name, digest() and "
                "records()"
            )
        if str(source.name) in zoo.names("sources"):
            raise UserError(
                f"{spec} calls itself {source.name!r}, as a source of the catalogue does; give it "
                "another name"
            )
        self.name = str(source.name)
        self._source = source
        self._spec = spec

    @property
    def lexicon(self) -> list[str] | None:
        return getattr(self._source, "lexicon", None)

    @property
    def world(self) -> World | None:
        world = getattr(self._source, "world", None)
        if world is not None and not isinstance(world, World):
            raise UserError(
                f"world of {self._spec} is a {type(world).__name__}: derive its class from "
                "pyro_textvae.data.world.World"
            )
        return world

    def digest(self) -> str:
        with_code = zoo.digest_of(type(self._source))
        try:
            return content_digest(self._spec.rpartition(":")[2], with_code, self._source.digest())
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"digest() of {self._spec} fails: {in_one_line(error)}") from error

    def records(self) -> Iterator[Record]:
        number, has_source = 0, None
        try:
            for number, record in enumerate(self._source.records(), start=1):
                self._check(record, number)
                if record.skipped is None:
                    has_source = record.source is not None if has_source is None else has_source
                    self._check_source(record, has_source)
                yield record
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"{self._spec} fails after {number} records: {in_one_line(error)}"
            ) from error

    def _check(self, record: Any, number: int) -> None:
        if not isinstance(record, Record):
            raise UserError(
                f"{self._spec} yields {type(record).__name__} as record {number}; it must be a "
                "pyro_textvae.data.Record"
            )
        if record.split not in SPLITS:
            raise UserError(
                f"{record.place} is in the split {record.split!r}; it must be one of "
                f"{', '.join(SPLITS)}"
            )
        if record.sentences is not None and record.text != "\n".join(record.sentences):
            raise UserError(
                f"{record.place}: text is {record.text!r}, and must be the sentences with a line "
                "end between"
            )
        for name in ("text", "source", "label"):
            value = getattr(record, name)
            if not isinstance(value, str) and (name == "text" or value is not None):
                raise UserError(f"{record.place}: {name} is {value!r}, not a string")

    def _check_source(self, record: Record, has_source: bool) -> None:
        if (record.source is not None) != has_source:
            raise UserError(
                f"{record.place} has {'no' if has_source else 'a'} source, and the first sentence "
                f"has {'one' if has_source else 'none'}; give every sentence one, or none"
            )
