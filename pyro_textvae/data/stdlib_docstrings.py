# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The default corpus: English sentences from the docstrings of Python's own standard library."""

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from pyro_textvae.data.english_sentences import paragraphs, sentences, tokenised
from pyro_textvae.data.records import Record, content_digest, split_by_hash, text_hash

_EXCLUDED_FOLDERS = frozenset(
    "test tests idle_test lib2to3 site-packages dist-packages __pycache__".split()
)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class StdlibDocstrings:
    """English sentences of module, class and function docstrings, lower-cased and de-duplicated.

    No download: the text is that of the running Python, so it differs a little between versions.
    `num_sentences` keeps that many, chosen by hash; the splits are 90/5/5 by hash.
    """

    name = "stdlib"

    def __init__(self, num_sentences: int | None = None) -> None:
        self.num_sentences = num_sentences

    @cached_property
    def _files(self) -> list[Path]:
        root = Path(sysconfig.get_paths()["stdlib"])
        return sorted(
            path
            for path in root.rglob("*.py")
            if not _EXCLUDED_FOLDERS.intersection(path.relative_to(root).parts)
        )

    def digest(self) -> str:
        contents = (path.read_bytes() for path in self._files)
        return content_digest("stdlib", str(self.num_sentences), *contents)

    @cached_property
    def _records(self) -> list[Record]:
        found: dict[str, Record] = {}
        duplicates: list[Record] = []
        for path in self._files:
            for docstring in _docstrings(path):
                for paragraph in paragraphs(docstring):
                    for sentence in sentences(paragraph):
                        text = tokenised(sentence)
                        if text is None:
                            continue
                        record = Record(split_by_hash(text), text, path.name)
                        if text in found:
                            duplicates.append(replace(record, skipped="duplicate"))
                        else:
                            found[text] = record
        kept = sorted(found, key=lambda text: text_hash(text, "order"))[: self.num_sentences]
        chosen = set(kept)
        return [found[text] for text in kept] + [r for r in duplicates if r.text in chosen]

    def records(self) -> Iterator[Record]:
        yield from self._records


def _docstrings(path: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        # The standard library's own escapes warn while it is parsed; that is not our user's affair.
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            return
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring
