# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Generative Pyro programs, one a file."""

import os

# Debuggers match breakpoints by real path, and this folder is reached through a link.
__path__ = [os.path.realpath(path) for path in __path__]

from pyro_textvae.models.conditional_language_model import ConditionalLanguageModel
from pyro_textvae.models.conditional_vae import ConditionalVAE
from pyro_textvae.models.conversation_vae import ConversationVAE
from pyro_textvae.models.dialogue_vae import DialogueVAE
from pyro_textvae.models.document_vae import DocumentVAE
from pyro_textvae.models.labelled_mixture_vae import LabelledMixtureVAE
from pyro_textvae.models.labelled_vae import LabelledVAE
from pyro_textvae.models.language_model import LanguageModel
from pyro_textvae.models.noisy_channel import NoisyChannel
from pyro_textvae.models.paraphrase_vae import ParaphraseVAE
from pyro_textvae.models.poem_vae import PoemVAE
from pyro_textvae.models.review_group_vae import ReviewGroupVAE
from pyro_textvae.models.sentence_vae import SentenceVAE
from pyro_textvae.models.topic_model import TopicModel
from pyro_textvae.models.topic_sentence_vae import TopicSentenceVAE

__all__ = [
    "ConditionalLanguageModel",
    "ConditionalVAE",
    "ConversationVAE",
    "DialogueVAE",
    "DocumentVAE",
    "LabelledMixtureVAE",
    "LabelledVAE",
    "LanguageModel",
    "NoisyChannel",
    "ParaphraseVAE",
    "PoemVAE",
    "ReviewGroupVAE",
    "SentenceVAE",
    "TopicModel",
    "TopicSentenceVAE",
]
