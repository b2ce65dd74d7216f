# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The tokenizer of a pre-trained model as a kind of tokenizer: ``--tokenizer hf:PATH``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import tokenizers
from tokenizers.models import Model

from pyro_textvae.data.hugging_face.folder import ModelFolder
from pyro_textvae.data.hugging_face.vocabulary import Vocabulary
from pyro_textvae.data.tokenizer_kind import TokenizerKind
from pyro_textvae.errors import UserError


class HuggingFaceTokenizer(TokenizerKind):
    """The tokenizer of a pre-trained model: nothing is learned from the text.

    Text becomes the same tokens as in ``tokenizers``, under ids of ours, so that a decoder or an
    encoder of that model takes them as they are. Text is in no other normal form than the
    tokenizer itself takes it into.

    :param path: a folder with its ``tokenizer.json``.
    :raises UserError: as :class:`Vocabulary`.
    """

    encodes_any_text: ClassVar[bool] = True

    def __init__(self, path: str) -> None:
        self.path = path
        self.pretrained = Vocabulary(ModelFolder(path))
        self.content_digest = self.pretrained.content_digest

    def pipeline(self, model: Model) -> tokenizers.Tokenizer:
        """That of the pre-trained model, around ``model``."""
        backend = tokenizers.Tokenizer.from_str(self.pretrained.empty_pipeline())
        backend.model = model
        return backend

    def empty_model(self) -> Model:
        """Its model of text, with no token but the specials."""
        return tokenizers.Tokenizer.from_str(self.pretrained.empty_pipeline()).model

    def train(
        self, texts: Iterable[list[str]], min_count: int, vocab_size: int | None
    ) -> tokenizers.Tokenizer:
        """The tokenizer as it is.

        :param texts: not read.
        :raises UserError: for a limit to the vocabulary.
        """
        if min_count != 1 or vocab_size is not None:
            raise UserError(
                f"min_count={min_count} and vocab_size={vocab_size} have no effect on hf:"
                f"{self.path}, which brings its own vocabulary; leave them out"
            )
        return tokenizers.Tokenizer.from_str(self.pretrained.pipeline())
