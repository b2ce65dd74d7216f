# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Unicode's normal forms: one spelling in code points for what a reader takes for one text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import tokenizers
from tokenizers import normalizers

UnicodeForm = Literal["none", "nfc", "nfd", "nfkc", "nfkd"]

_NORMALIZERS: dict[UnicodeForm, Callable[[], normalizers.Normalizer]] = {
    "nfc": normalizers.NFC,
    "nfd": normalizers.NFD,
    "nfkc": normalizers.NFKC,
    "nfkd": normalizers.NFKD,
}
UNICODE_FORMS: tuple[UnicodeForm, ...] = ("none", *_NORMALIZERS)


def normalised(text: str, form: UnicodeForm) -> str:
    r"""The text in a normal form of Unicode; ``none`` leaves it as it is.

    Source: Unicode Standard Annex #15, https://unicode.org/reports/tr15.

    >>> normalised("cafe\u0301", "nfc") == "caf\u00e9"
    True
    """
    if form == "none" or text.isascii():
        return text
    return _NORMALIZERS[form]().normalize_str(text)


def with_form(backend: tokenizers.Tokenizer, form: UnicodeForm) -> tokenizers.Tokenizer:
    """The tokenizer, which from now on takes text into a normal form before all else.

    So the form is kept in ``tokenizer.json``. A file without one is of text as it is.
    """
    if form == "none":
        return backend
    normalizer = _NORMALIZERS[form]()
    if backend.normalizer is not None:
        normalizer = normalizers.Sequence([normalizer, backend.normalizer])
    backend.normalizer = normalizer
    return backend
