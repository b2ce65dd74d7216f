# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Networks: decoders, encoders and what they are made of.

Members of the two folders below are exported here too, by their line there.
"""

from pyro_textvae.nn import decoders, encoders
from pyro_textvae.nn.decoder import Decoder
from pyro_textvae.nn.decoders import *  # noqa: F403
from pyro_textvae.nn.edit_channel import EditChannel
from pyro_textvae.nn.encoder import EmbeddingEncoder, Encoder
from pyro_textvae.nn.encoders import *  # noqa: F403
from pyro_textvae.nn.guide import Guide
from pyro_textvae.nn.latent_attention import LatentAttention
from pyro_textvae.nn.source_attention import SourceAttention
from pyro_textvae.nn.source_layer import SourceLayer
from pyro_textvae.nn.source_reader import SourceReader
from pyro_textvae.nn.text_and_source_encoder import TextAndSourceEncoder
from pyro_textvae.nn.text_given_source import TextGivenSource
from pyro_textvae.nn.word_and_latent_input import WordAndLatentInput

__all__ = [
    "Decoder",
    "EditChannel",
    "EmbeddingEncoder",
    "Encoder",
    "Guide",
    "LatentAttention",
    "SourceAttention",
    "SourceLayer",
    "SourceReader",
    "TextAndSourceEncoder",
    "TextGivenSource",
    "WordAndLatentInput",
]
__all__ += decoders.__all__
__all__ += encoders.__all__
