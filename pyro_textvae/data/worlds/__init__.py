# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Languages of known truth, one world a file, found by its name (``--data world:paraphrase``)."""

from pyro_textvae.data.worlds.conversations import ConversationsWorld
from pyro_textvae.data.worlds.dialogue import DialogueWorld
from pyro_textvae.data.worlds.documents import DocumentsWorld
from pyro_textvae.data.worlds.grammar import GrammarWorld
from pyro_textvae.data.worlds.headlines import HeadlinesWorld
from pyro_textvae.data.worlds.paraphrase import ParaphraseWorld
from pyro_textvae.data.worlds.reviews import ReviewsWorld
from pyro_textvae.data.worlds.sentiment import SentimentWorld
from pyro_textvae.data.worlds.topics import TopicsWorld
from pyro_textvae.data.worlds.typos import TyposWorld
from pyro_textvae.data.worlds.verse import VerseWorld

__all__ = [
    "ConversationsWorld",
    "DialogueWorld",
    "DocumentsWorld",
    "GrammarWorld",
    "HeadlinesWorld",
    "ParaphraseWorld",
    "ReviewsWorld",
    "SentimentWorld",
    "TopicsWorld",
    "TyposWorld",
    "VerseWorld",
]
