# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Decoders and encoders around a pre-trained model of Hugging Face: ``--decoder hf:PATH``."""

from pyro_textvae.nn.hugging_face.decoder import HuggingFaceDecoder
from pyro_textvae.nn.hugging_face.encoder import HuggingFaceEncoder

__all__ = ["HuggingFaceDecoder", "HuggingFaceEncoder"]
