# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A pre-trained model on disk, in the layout of Hugging Face's ``save_pretrained``."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from pyro_textvae.errors import UserError

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

_OF_TOKENIZER = (TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", CONFIG)


class ModelFolder:
    """What is where in the folder of a pre-trained model. Nothing is executed or downloaded.

    :raises UserError: when there is no such folder.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path).expanduser()
        if not self.path.is_dir():
            raise UserError(
                f"hf:{path} names no folder: a pre-trained model is read from disk and never "
                "downloaded; save it first with save_pretrained of transformers, model and "
                "tokenizer into one folder"
            )

    def __str__(self) -> str:
        """How it is named on the command line."""
        return f"hf:{self.path}"

    @cached_property
    def config(self) -> dict[str, Any]:
        """The contents of config.json.

        :raises UserError: when it is missing or damaged, or when the model needs code of its own.
        """
        config = self._read(CONFIG)
        if code := _code_of(config):
            raise UserError(
                f"{self} has code of its own ({', '.join(code)}), which is never executed: give a "
                "model whose architecture transformers itself has"
            )
        if "quantization_config" in config:
            raise UserError(f"{self} is quantised, and is trained in float32: give it as it was")
        if not isinstance(config.get("model_type"), str):
            raise UserError(f"{self / CONFIG} names no model_type, so it is no model's folder")
        return config

    def check(self) -> None:
        """Refuse what cannot be a pre-trained model.

        :raises UserError: as :attr:`config`.
        """
        _ = self.config

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def tokenizer_files(self) -> list[Path]:
        """The files that a tokenizer is read from.

        :raises UserError: when there is no tokenizer.json.
        """
        if not (self / TOKENIZER).is_file():
            raise UserError(
                f"{self} has no {TOKENIZER}: write one with "
                "AutoTokenizer.from_pretrained(...).save_pretrained into that folder"
            )
        return [self / name for name in _OF_TOKENIZER if (self / name).is_file()]

    @property
    def weight_files(self) -> list[Path]:
        """The files that weights are read from.

        :raises UserError: when there are none, or none but pickled ones.
        """
        if (self / WEIGHTS).is_file():
            return [self / WEIGHTS]
        if (self / INDEX).is_file():
            named = self._read(INDEX).get("weight_map")
            shards = sorted({str(n) for n in named.values()} if isinstance(named, dict) else [])
            missing = [n for n in shards if Path(n).name != n or not (self / n).is_file()]
            if missing:
                raise UserError(f"{self} lacks {missing[0]}, a part of its weights")
            return [self / INDEX, *(self / name for name in shards)]
        pickled = [path.name for path in sorted(self.path.glob("*.bin"))]
        hint = f", and {pickled[0]} is pickled, which is never opened" if pickled else ""
        raise UserError(
            f"{self} has no weights ({WEIGHTS}){hint}: save the model there with save_pretrained "
            "of transformers"
        )

    @property
    def model_files(self) -> list[Path]:
        """All that a network is built from, its tokenizer included.

        :raises UserError: when a file is missing, or the model needs code of its own.
        """
        self.check()
        return [*self.tokenizer_files, *self.weight_files]

    def special_tokens(self) -> dict[str, str]:
        """The tokens that have a role, such as ``eos_token``, by the name of the role."""
        roles: dict[str, str] = {}
        for name in ("special_tokens_map.json", "tokenizer_config.json"):
            settings = self._read(name) if (self / name).is_file() else {}
            for role, token in settings.items():
                content = token.get("content") if isinstance(token, dict) else token
                if role.endswith("_token") and isinstance(content, str):
                    roles[role] = content
        return roles

    def _read(self, name: str) -> dict[str, Any]:
        path = self / name
        try:
            contents = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{self} has no {name}, so it is no model's folder") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read ({error}): save the model again") from None
        if not isinstance(contents, dict):
            raise UserError(f"{path} holds no JSON object: save the model again")
        return contents


def _code_of(config: dict[str, Any]) -> list[str]:
    """The code that a config.json asks for: classes of the folder, and kernels of a hub."""
    named = config.get("auto_map") or {}
    code = {str(each) for each in named.values()} if isinstance(named, dict) else {"auto_map"}
    for key, value in config.items():
        if key.endswith("_implementation") and "/" in str(value):
            code.add(str(value))
    return sorted(code)


def digest_of_files(files: list[Path]) -> str:
    """SHA-256 of the names and contents of files."""
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda file: file.name):
        with open(path, "rb") as file:
            of_file = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {of_file}\n".encode())
    return digest.hexdigest()
