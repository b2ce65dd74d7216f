# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The files that a run's pair and its text's ids are rebuilt from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyro_textvae.data import Corpus, Tokenizer
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.build import Pair
from pyro_textvae.runs.code import COPIES
from pyro_textvae.runs.pretrained import keep_pretrained
from pyro_textvae.siblings import siblings_of


def write_what_rebuilds(
    folder: RunFolder,
    settings: dict[str, Any],
    pair: Pair,
    sizes: Mapping[str, int],
    tokenizer: Tokenizer,
    corpus: Corpus | None,
    *,
    tokenizer_kind: str,
    sources: Mapping[str, Mapping[str, bytes]],
    **further: Any,
) -> dict[str, Any]:
    """Write config.yaml, tokenizer.json, ``source``, ``pretrained`` and, last, config.json.

    :param tokenizer_kind: its name, or the file and class of one of the user's own.
    :param sources: of :func:`read_sources`.
    :param further: what config.json holds besides.
    :returns: what config.json holds besides the settings.
    """
    tokenizer.save(folder.tokenizer)
    contents = {
        "specs": keep_pretrained(_keep_sources(pair.specs, sources, folder), folder),
        **_keep_tokenizer_kind(tokenizer_kind, sources, folder),
        "sizes": dict(sizes),
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "corpus_fingerprint": None if corpus is None else corpus.fingerprint,
        "corpus": {} if corpus is None else corpus.summary(),
        "parameters": pair.num_parameters,
        **further,
    }
    folder.write_config(settings, contents)
    return contents


def read_sources(specs: Mapping[str, str]) -> dict[str, dict[str, bytes]]:
    """Files of the user's own, read before a run that may hold them is replaced.

    :returns: by setting, the contents of the file and of the modules beside it that it imports, by
        the names of the files.
    """
    places = {name: spec.partition(":")[0] for name, spec in specs.items()}
    return {
        name: {file.name: file.read_bytes() for file in (Path(place), *siblings_of(Path(place)))}
        for name, place in places.items()
        if place.endswith(".py")
    }


def _keep_sources(
    specs: Mapping[str, str], sources: Mapping[str, Mapping[str, bytes]], folder: RunFolder
) -> dict[str, str]:
    """Copy files of the user's own into the run, so that it can be loaded wherever it goes."""
    kept = {}
    for name, spec in specs.items():
        place, colon, class_name = spec.partition(":")
        if name in sources:
            copy = folder.path / COPIES / name / Path(place).name
            copy.parent.mkdir(parents=True, exist_ok=True)
            for file_name, content in sources[name].items():
                (copy.parent / file_name).write_bytes(content)
            spec = copy.relative_to(folder.path).as_posix() + colon + class_name
        kept[name] = spec
    return kept


def _keep_tokenizer_kind(
    spec: str, sources: Mapping[str, Mapping[str, bytes]], folder: RunFolder
) -> dict[str, str]:
    """What names a tokenizer of the user's own, or one of a pre-trained model.

    Of the catalogue's, tokenizer.json says which.
    """
    kept = keep_pretrained(_keep_sources({"tokenizer": spec}, sources, folder), folder)["tokenizer"]
    return {"tokenizer_kind": kept} if kept != spec else {}
