# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The tokenizer of a pre-trained model with ids of ours, and which of its ids each one is."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import tokenizers

from pyro_textvae.data.hugging_face.folder import TOKENIZER, ModelFolder
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.special_tokens import SPECIAL_TOKENS, UNK

ABSENT = -1
"""In the place of an id that the pre-trained model has not."""

_RESERVED = {"type": "Replace", "pattern": {"Regex": "<(pad|bos|eos)>"}, "content": "<unk>"}


class Vocabulary:
    """Ids of ours for the tokens of a pre-trained model, in the order of its own.

    Ours are ``<pad>``, ``<bos>``, ``<eos>`` and ``<unk>`` first, which stand for its tokens of
    those roles (``[CLS]`` and ``[SEP]`` where it has no others), then all tokens that text is
    encoded with. Its further special tokens, such as ``[MASK]``, get none: no text has them.

    :param folder: a model's, or of a tokenizer alone.
    :raises UserError: for a tokenizer that cannot be read, or has no token for the end of a text.
    """

    def __init__(self, folder: ModelFolder) -> None:
        self.folder = folder
        self._content = self._read()
        self._roles = self._find_roles()

    @cached_property
    def content_digest(self) -> str:
        """A short hash of all that decides how text is encoded."""
        return hashlib.sha256(self.pipeline().encode()).hexdigest()[:16]

    @property
    def their_ids(self) -> list[int]:
        """The pre-trained model's id of each of ours.

        :data:`ABSENT` for ``<unk>`` where it has no token for what is unknown; that of the end
        for ``<pad>`` and ``<bos>`` where it has none.
        """
        ids, roles = self._ids, self._roles
        specials = [ids[roles["pad"]], ids[roles["bos"]], ids[roles["eos"]]]
        unknown = ids[roles["unk"]] if "unk" in roles else ABSENT
        return [*specials, unknown, *(ids[token] for token in self._ordinary)]

    def pipeline(self) -> str:
        """The tokenizer with ids of ours, as JSON of Hugging Face's ``tokenizers``."""
        content = self._without_model()
        content["model"] = self._model([*SPECIAL_TOKENS, *self._ordinary])
        return json.dumps(content)

    def empty_pipeline(self) -> str:
        """The same with no token but the specials."""
        content = self._without_model()
        content["model"] = self._model([*SPECIAL_TOKENS])
        return json.dumps(content)

    def original(self) -> tokenizers.Tokenizer:
        """The tokenizer with its own ids and special tokens, neither cut off nor padded."""
        backend = tokenizers.Tokenizer.from_str(json.dumps(self._content))
        backend.no_padding()
        backend.no_truncation()
        # Else a literal "[SEP]" in a text would be one.
        backend.encode_special_tokens = True
        return backend

    def around_text(self) -> tuple[list[int], list[int]]:
        """Its own ids that it puts before and after a text, such as ``[CLS]`` and ``[SEP]``."""
        backend = self.original()
        ids = backend.encode("a", add_special_tokens=True)
        inside = [place for place, special in enumerate(ids.special_tokens_mask) if not special]
        first, last = (inside[0], inside[-1]) if inside else (len(ids.ids), len(ids.ids))
        return ids.ids[:first], ids.ids[last + 1 :]

    def _read(self) -> dict[str, Any]:
        path = self.folder.tokenizer_files[0]
        try:
            text = path.read_text(encoding="utf-8")
            # In its own words, as files of earlier versions leave out what is there today.
            return json.loads(tokenizers.Tokenizer.from_str(text).to_str())
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {in_one_line(error)}") from None
        except Exception as error:  # the Rust side raises plain Exception
            raise UserError(f"{path} is no {TOKENIZER}: {in_one_line(error)}") from None

    @cached_property
    def _ids(self) -> dict[str, int]:
        """Its own id of each of its tokens."""
        vocabulary = self._content["model"]["vocab"]
        ids = _ids_of(vocabulary)
        return ids | {each["content"]: each["id"] for each in self._content["added_tokens"]}

    def _find_roles(self) -> dict[str, str]:
        named = {
            role: token
            for role, token in self.folder.special_tokens().items()
            if token in self._ids
        }
        tokens = {index: token for token, index in self._ids.items()}
        eos = named.get("eos_token") or named.get("sep_token") or self._of_config("eos", tokens)
        if eos is None:
            raise UserError(
                f"{self.folder} has no token for the end of a text (eos_token or sep_token in "
                "tokenizer_config.json), and a sentence ends in one: name it there"
            )
        bos = named.get("bos_token") or named.get("cls_token") or self._of_config("bos", tokens)
        roles = {"eos": eos, "bos": bos or eos, "pad": named.get("pad_token") or eos}
        unknown = self._unknown
        # Byte-level models name the end of a text as what is unknown, which for them nothing is.
        if unknown is not None and unknown not in roles.values():
            roles["unk"] = unknown
        return roles

    def _of_config(self, role: str, tokens: Mapping[int, str]) -> str | None:
        if not (self.folder / "config.json").is_file():
            return None
        index = self.folder.config.get(f"{role}_token_id")
        index = index[0] if isinstance(index, list) and index else index
        return tokens.get(index) if isinstance(index, int) else None

    @property
    def _unknown(self) -> str | None:
        """The token that its model encodes the unknown with."""
        model = self._content["model"]
        if model.get("unk_id") is not None:
            return model["vocab"][model["unk_id"]][0]
        unknown = model.get("unk_token")
        return unknown if unknown in self._ids else None

    @cached_property
    def _ordinary(self) -> list[str]:
        """The tokens that text is encoded with, in the order of their own ids."""
        special = {each["content"] for each in self._content["added_tokens"] if each["special"]}
        left_out = {*special, *self._roles.values(), *SPECIAL_TOKENS}
        ids = _ids_of(self._content["model"]["vocab"])
        return sorted((token for token in ids if token not in left_out), key=ids.__getitem__)

    def _without_model(self) -> dict[str, Any]:
        content = copy.deepcopy({k: v for k, v in self._content.items() if k != "model"})
        content |= {
            "added_tokens": [],
            "post_processor": None,
            "truncation": None,
            "padding": None,
        }
        if self._content["model"]["type"] != "BPE":
            # A vocabulary of whole words or pieces would find our specials in a text. The merges of
            # a BPE never make them.
            steps = [_RESERVED, *([content["normalizer"]] if content["normalizer"] else [])]
            content["normalizer"] = {"type": "Sequence", "normalizers": steps}
        return content

    def _model(self, tokens: list[str]) -> dict[str, Any]:
        """Its model of text with these tokens alone, whose ids are their places."""
        model = {k: v for k, v in self._content["model"].items() if k not in ("vocab", "merges")}
        if model["type"] == "Unigram":
            scores = dict(map(tuple, self._content["model"]["vocab"]))
            lowest = min(scores.values())
            model["vocab"] = [[token, scores.get(token, lowest)] for token in tokens]
            model["unk_id"] = None if model["unk_id"] is None else UNK
            return model
        model["vocab"] = {token: place for place, token in enumerate(tokens)}
        if model.get("unk_token") is not None:
            model["unk_token"] = SPECIAL_TOKENS[UNK] if "unk" in self._roles else None
        if "merges" in self._content["model"]:
            pairs = [
                pair.split(" ") if isinstance(pair, str) else pair
                for pair in self._content["model"]["merges"]
            ]
            kept = model["vocab"]
            model["merges"] = [
                [a, b] for a, b in pairs if a in kept and b in kept and a + b in kept
            ]
        return model


def _ids_of(vocabulary: Any) -> dict[str, int]:
    if isinstance(vocabulary, dict):
        return dict(vocabulary)
    return {token: index for index, (token, _) in enumerate(vocabulary)}
