# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Folders in Hugging Face's layout, and their tokenizers with ids of ours."""

from pyro_textvae.data.hugging_face.folder import ModelFolder
from pyro_textvae.data.hugging_face.tokenizer_kind import HuggingFaceTokenizer
from pyro_textvae.data.hugging_face.vocabulary import Vocabulary

__all__ = ["HuggingFaceTokenizer", "ModelFolder", "Vocabulary"]
