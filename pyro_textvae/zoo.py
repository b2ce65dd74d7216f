# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Find a member of the catalogue, or a class of the user's own, by its name; build it."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.siblings import builtins_with, content_of

FOLDERS = {
    "models": "pyro_textvae.models",
    "guides": "pyro_textvae.guides",
    "priors": "pyro_textvae.priors",
    "conditional_priors": "pyro_textvae.conditional_priors",
    "decoders": "pyro_textvae.nn.decoders",
    "encoders": "pyro_textvae.nn.encoders",
    "objectives": "pyro_textvae.infer.objectives",
    "constraints": "pyro_textvae.infer.constraints",
    "auxiliaries": "pyro_textvae.infer.auxiliaries",
    "kl_schedules": "pyro_textvae.infer.kl_schedules",
    "proposals": "pyro_textvae.evaluation.proposals",
    "procedures": "pyro_textvae.training.procedures",
    "loggers": "pyro_textvae.training.loggers",
    "sources": "pyro_textvae.data.sources",
    "formats": "pyro_textvae.data.formats",
    "layouts": "pyro_textvae.data.layouts",
    "tokenizers": "pyro_textvae.data.tokenizers",
    "worlds": "pyro_textvae.data.worlds",
    "methods": "pyro_textvae.generation.methods",
    "metrics": "pyro_textvae.assessment.metrics",
}
"""Every kind and its folder: a file there is a member by existing."""

PRETRAINED = "hf"
"""What stands before the path of a pre-trained model, as in ``hf:path/to/gpt2``."""

_PRETRAINED = {
    "decoders": "pyro_textvae.nn.hugging_face.decoder:HuggingFaceDecoder",
    "encoders": "pyro_textvae.nn.hugging_face.encoder:HuggingFaceEncoder",
    "tokenizers": "pyro_textvae.data.hugging_face.tokenizer_kind:HuggingFaceTokenizer",
}
"""What takes the path of a pre-trained model, by kind."""
PROGRAMS = ("models", "guides")
"""The kinds whose members may be functions too, in files of the user's own."""

FORMER_NAMES: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "constraints": {
        "free_bits_per_site": ("free_bits", {"per": "site", "over": "sentence"}),
        "free_bits_per_dimension": ("free_bits", {"per": "dimension", "over": "sentence"}),
        "free_bits_per_site_of_batch_mean": (
            "free_bits",
            {"per": "site", "over": "batch_mean"},
        ),
        "free_bits_per_dimension_of_batch_mean": (
            "free_bits",
            {"per": "dimension", "over": "batch_mean"},
        ),
    },
}
"""Names that members had in earlier versions, by kind: the member of today and its options."""


_MODULE = "torch.nn:Module"
_BASES = {
    "models": _MODULE,
    "guides": _MODULE,
    "priors": _MODULE,
    "conditional_priors": _MODULE,
    "decoders": _MODULE,
    "encoders": _MODULE,
    "objectives": "pyro.infer:ELBO",
    "constraints": "pyro_textvae.infer:KLConstraint",
    "auxiliaries": "pyro_textvae.infer:AuxiliaryLoss",
    "kl_schedules": "pyro_textvae.infer:KLSchedule",
    "proposals": "pyro_textvae.evaluation.importance.proposal:Proposal",
    "procedures": "pyro_textvae.training:Procedure",
    "loggers": "pyro_textvae.training:Callback",
    "formats": "pyro_textvae.data.file_format:FileFormat",
    "layouts": "pyro_textvae.data.layout:Layout",
    "tokenizers": "pyro_textvae.data.tokenizer_kind:TokenizerKind",
    "worlds": "pyro_textvae.data.world:World",
    "methods": "pyro_textvae.generation:DecodingMethod",
    "metrics": "pyro_textvae.assessment:Metric",
}
"""What the members of a kind derive from, imported when one is loaded; sources: from nothing."""

_NOUNS = {
    "kl_schedules": "KL schedule",
    "constraints": "KL constraint",
    "conditional_priors": "conditional prior",
    "auxiliaries": "auxiliary loss",
    "methods": "decoding method",
}
"""What a member is called where the name of its kind does not say it."""


def _singular(kind: str) -> str:
    return f"{kind[:-3]}y" if kind.endswith("ies") else kind.removesuffix("s")


def names(kind: str) -> list[str]:
    """Names of the members of a kind: the files of its folder.

    :raises UserError: for an unknown kind.
    """
    if kind not in FOLDERS:
        raise UserError(f"unknown kind {kind!r}: one of {', '.join(FOLDERS)}")
    folder = Path(__file__).parent.joinpath(*FOLDERS[kind].split(".")[1:]).resolve()
    return list(_names_in(str(folder), folder.stat().st_mtime_ns))


@cache
def _names_in(folder: str, changed: int) -> tuple[str, ...]:
    return tuple(sorted(module.name for module in pkgutil.iter_modules([folder])))


def is_member(kind: str, spec: str) -> bool:
    """Whether the catalogue has a member of this name, today's or a former one.

    A pre-trained model counts as one: of it, nothing is executed.

    :raises UserError: for an unknown kind.
    """
    if pretrained_path(spec) is not None:
        return kind in _PRETRAINED
    return spec in names(kind) or spec in FORMER_NAMES.get(kind, {})


def pretrained_path(spec: str) -> str | None:
    """The folder of a pre-trained model that is named as ``hf:PATH``; None for another name.

    >>> pretrained_path("hf:models/gpt2")
    'models/gpt2'
    """
    place, colon, path = spec.partition(":")
    return path if colon and place == PRETRAINED else None


def check_name(kind: str, spec: str) -> None:
    """Refuse what is neither a member's name nor a class of the user's own; import nothing.

    :raises UserError: with the nearest name, and all of them.
    """
    members = names(kind)
    if not isinstance(spec, str):
        raise UserError(
            f"a member of {kind} is named by text, got {spec!r}: one of {', '.join(members)}"
        )
    place, _, class_name = spec.partition(":")
    if is_member(kind, spec):
        if pretrained_path(spec) == "":
            raise UserError(f"{spec} names no folder: give {PRETRAINED}:path/to/folder")
        return
    if pretrained_path(spec) is not None:
        raise UserError(
            f"{spec} names a pre-trained model, which can be {' or '.join(_PRETRAINED)}, and no "
            f"{_NOUNS.get(kind, kind.removesuffix('s'))}"
        )
    if place.endswith(".py") or class_name:
        return
    near = difflib.get_close_matches(spec, members, n=1)
    hint = f"did you mean {near[0]!r}? Known" if near else "known"
    raise UserError(
        f"there is no {_singular(kind)} {spec!r}; {hint}: {', '.join(members)}; "
        "your own goes as path/to/file.py:Class"
    )


def load(kind: str, spec: str) -> type:
    """The class that ``spec`` names; of a program, a function may be named too.

    :param spec: a member's name (``"sentence_vae"``), ``"package.module:Class"``, or a file
        ``"path/to/mine.py:Class"``; the class may be left out where the file defines just one. A
        decoder, an encoder and a tokenizer also by the folder of a pre-trained model,
        ``"hf:path/to/gpt2"``.
    :raises UserError: when there is no such member, file, module or class, and when the class does
        not derive from what its kind derives from.
    """
    cls = _load(kind, spec)
    if kind in _BASES and inspect.isclass(cls):
        package, _, name = _BASES[kind].partition(":")
        if not issubclass(cls, getattr(importlib.import_module(package), name)):
            noun = _NOUNS.get(kind, _singular(kind))
            raise UserError(f"{spec} is no {noun}: derive it from {package}.{name}")
    return cls


def _load(kind: str, spec: str) -> type:
    check_name(kind, spec)
    if spec in FORMER_NAMES.get(kind, {}):
        name, options = FORMER_NAMES[kind][spec]
        return _with_options(load(kind, name), options)
    path = pretrained_path(spec)
    if path is not None:
        package, _, name = _PRETRAINED[kind].partition(":")
        return _with_options(getattr(importlib.import_module(package), name), {"path": path})
    if spec in names(kind):
        return _only_class(importlib.import_module(f"{FOLDERS[kind]}.{spec}"), spec)
    place, _, class_name = spec.partition(":")
    if place.endswith(".py"):
        module = _import_file(Path(place))
    else:
        try:
            module = importlib.import_module(place)
        except ImportError as error:
            raise UserError(f"cannot import {place!r} of {spec!r}: {error}") from error
    if not class_name:
        return _only_class(module, spec)
    named = getattr(module, class_name, None)
    if kind in PROGRAMS and inspect.isfunction(named):
        return named  # type: ignore[return-value]
    if not inspect.isclass(named):
        function = ", and no function of that name" if kind in PROGRAMS else ""
        raise UserError(f"{place} defines no class {class_name!r}{function}")
    return named


def load_function(spec: str) -> Callable[..., Any]:
    """A function of the user's own.

    :param spec: ``"path/to/mine.py:function"``, or ``"package.module:function"``.
    :raises UserError: when there is no such file, module or function.
    """
    place, _, name = spec.partition(":")
    if place.endswith(".py"):
        module = _import_file(Path(place))
    else:
        try:
            module = importlib.import_module(place)
        except ImportError as error:
            raise UserError(f"cannot import {place!r} of {spec!r}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function) or inspect.isclass(function):
        raise UserError(f"{place} defines no function {name!r}")
    return function


def name_of(kind: str, cls: type) -> str | None:
    """The name of a class in the catalogue; None for a class from elsewhere.

    ``"hf"`` for what a pre-trained model's folder is read by.

    >>> from pyro_textvae.data.tokenizers import WordTokenizer
    >>> name_of("tokenizers", WordTokenizer)
    'word'

    :raises UserError: for an unknown kind.
    """
    if cls.__module__ == _PRETRAINED.get(kind, "").partition(":")[0]:
        return PRETRAINED
    folder, _, name = cls.__module__.rpartition(".")
    return name if name in names(kind) and folder == FOLDERS[kind] else None


def digest_of(cls: type) -> str:
    """A short hash of the file that defines a class, its siblings, and which of its classes it is.

    The same for a copy of the file elsewhere. Of a class without a file, of its name alone.
    """
    digest = hashlib.sha256(cls.__qualname__.encode())
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if file is not None and Path(file).is_file():
        digest.update(content_of(Path(file)))
    return digest.hexdigest()[:16]


def parameters(cls: Callable[..., Any]) -> list[str]:
    """What ``cls`` takes by name: what :func:`build` looks for among the values."""
    return [
        parameter.name
        for parameter in inspect.signature(cls).parameters.values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


def build(cls: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """Call ``cls`` with those of ``values`` that its ``__init__`` names.

    :raises UserError: when a parameter without a default has no value, or a value is refused.
    """
    taken = {}
    signature = inspect.signature(cls).parameters
    for name in parameters(cls):
        if name in values:
            taken[name] = values[name]
        elif signature[name].default is inspect.Parameter.empty:
            raise UserError(
                f"{cls.__name__} needs {name!r}, which is not among "
                f"{', '.join(sorted(values))}: give it in options"
            )
    try:
        return cls(**taken)
    except (TypeError, ValueError) as error:
        raise UserError(f"cannot build {cls.__name__}: {error}") from error
    except Exception as error:
        raise UserError(f"cannot build {cls.__name__}: {in_one_line(error)}") from error


def _with_options(cls: type, options: Mapping[str, Any]) -> type:
    """A subclass of ``cls`` with these options given, so that it takes them no more."""
    signature = inspect.signature(cls)
    kept = [each for name, each in signature.parameters.items() if name not in options]

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        cls.__init__(self, *args, **kwargs, **options)  # type: ignore[misc]

    body = {
        "__init__": init,
        "__signature__": signature.replace(parameters=kept),
        "__module__": cls.__module__,
        "__doc__": cls.__doc__,
    }
    return type(cls.__name__, (cls,), body)


def _only_class(module: ModuleType, spec: str) -> type:
    public = [
        value
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and name[0] != "_"
    ]
    if len(public) != 1:
        classes = ", ".join(cls.__name__ for cls in public) or "none"
        raise UserError(
            f"{spec} must define one public class, found {classes}: say which as :Class"
        )
    return public[0]


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    # The contents are in the name: an edited file is another module, and two runs' copies differ.
    content = path.read_bytes()
    digest = hashlib.sha256(content_of(path)).hexdigest()[:12]
    name = f"pyro_textvae_user_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise UserError(f"cannot import {path}: it is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    module.__dict__["__builtins__"] = builtins_with(path, _import_file)
    try:
        # Not by the loader, which would take a compiled file beside it, whatever that holds.
        exec(compile(content, str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UserError(f"cannot import {path}: {in_one_line(error)}") from error
    return module
