# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The default corpus: English sentences from the docstrings of Python's own standard library."""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pyro_textvae.data.english_sentences import paragraphs, sentences, tokenised
from pyro_textvae.data.records import Record, content_digest, split_by_hash, text_hash

_EXCLUDED_FOLDERS = frozenset(
    "test tests idle_test lib2to3 site-packages dist-packages __pycache__".split()
)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class StdlibDocstrings:
    """English sentences of module, class and function docstrings, lower-cased and de-duplicated.

    No download: the text is that of the running Python, so it differs a little between versions.
    The splits are 90/5/5 by hash.

    :param num_sentences: keep at most so many, chosen by hash; None for all.
    """

    name = "stdlib"
    spelling: ClassVar[str] = "stdlib"

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
        """A hash of the source files of the standard library."""
        contents = (path.read_bytes() for path in self._files)
        return content_digest("stdlib", str(self.num_sentences), *contents)

    @cached_property
    def _records(self) -> list[Record]:
        by_text: dict[str, Record] = {}
        duplicates: list[Record] = []
        for path in self._files:
            for docstring in _docstrings(path):
                for paragraph in paragraphs(docstring):
                    for sentence in sentences(paragraph):
                        text = tokenised(sentence)
                        if text is None:
                            continue
                        record = Record(split_by_hash(text), text, path.name)
                        if text in by_text:
                            duplicates.append(replace(record, skipped="duplicate"))
                        else:
                            by_text[text] = record
        kept = sorted(by_text, key=lambda text: text_hash(text, "order"))[: self.num_sentences]
        texts = set(kept)
        return [by_text[text] for text in kept] + [r for r in duplicates if r.text in texts]

    def records(self) -> Iterator[Record]:
        """The sentences in the order of their hashes, then the duplicates that were skipped."""
        yield from self._records


def _docstrings(path: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        # The standard library's own escapes warn while it is parsed, and no user of ours can help.
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
