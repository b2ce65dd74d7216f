# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A corpus of sentences that are ids already, to train a model on what another has written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pyro_textvae.contract import TOKENS
from pyro_textvae.data import Corpus, Tokenizer
from pyro_textvae.data.records import SPLITS
from pyro_textvae.data.split_counts import RawCounts
from pyro_textvae.data.store import SplitWriter, id_dtype
from pyro_textvae.special_tokens import EOS, UNK


def corpus_of_ids(
    folder: Path, splits: Mapping[str, Sequence[Sequence[int]]], tokenizer: Tokenizer
) -> Corpus:
    """A corpus whose rows are these; an empty sentence is a sentence, unlike an empty line.

    :param folder: where its store is written; it must be there.
    :param splits: ids by the name of the split, each row without ``<eos>``; words beyond the
        vocabulary, copied from sources, are ``<unk>`` there.
    """
    digests = []
    for name in SPLITS:
        writer = SplitWriter(folder, name, id_dtype(len(tokenizer)))
        for ids in splits[name]:
            row = np.array([*ids, EOS])
            row[row >= len(tokenizer)] = UNK
            writer.append([row], None, -1, {})
        digests.append(writer.close(None))
    counts = {"dropped_too_long": 0, "truncated": 0, "unknown_token_share": 0.0}
    meta: dict[str, Any] = {
        "fields": [TOKENS],
        "label_names": None,
        "columns": {name: [] for name in SPLITS},
        "counts": dict.fromkeys(SPLITS, counts),
        "raw_counts": dict.fromkeys(SPLITS, asdict(RawCounts())),
        "warnings": [],
        "digests": digests,
    }
    return Corpus(folder, meta, "samples", tokenizer, {"data": "samples"})
