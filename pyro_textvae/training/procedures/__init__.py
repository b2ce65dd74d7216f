# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Training procedures over whatever objective a run has, one a file."""

from pyro_textvae.training.procedures.aggressive_encoder import AggressiveEncoder
from pyro_textvae.training.procedures.pretrained_encoder import PretrainedEncoder
from pyro_textvae.training.procedures.sentence_posteriors import SentencePosteriors
from pyro_textvae.training.procedures.topic_start import TopicStart

__all__ = ["AggressiveEncoder", "PretrainedEncoder", "SentencePosteriors", "TopicStart"]
