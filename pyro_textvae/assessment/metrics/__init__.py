# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Metrics of generated text, one a file."""

from pyro_textvae.assessment.metrics.copying import Copying
from pyro_textvae.assessment.metrics.correction import Correction
from pyro_textvae.assessment.metrics.criticism import Criticism
from pyro_textvae.assessment.metrics.dialogue import Dialogue
from pyro_textvae.assessment.metrics.distinct import Distinct
from pyro_textvae.assessment.metrics.frechet import Frechet
from pyro_textvae.assessment.metrics.headlines import Headlines
from pyro_textvae.assessment.metrics.known_language import KnownLanguage
from pyro_textvae.assessment.metrics.ngram_entropy import NGramEntropy
from pyro_textvae.assessment.metrics.paraphrase import Paraphrase
from pyro_textvae.assessment.metrics.perplexity import Perplexity
from pyro_textvae.assessment.metrics.reconstruction import Reconstruction
from pyro_textvae.assessment.metrics.reconstruction_overlap import ReconstructionOverlap
from pyro_textvae.assessment.metrics.repetition import Repetition
from pyro_textvae.assessment.metrics.self_bleu import SelfBleu
from pyro_textvae.assessment.metrics.summaries import Summaries
from pyro_textvae.assessment.metrics.text_distance import TextDistance
from pyro_textvae.assessment.metrics.verse import Verse

__all__ = [
    "Copying",
    "Correction",
    "Criticism",
    "Dialogue",
    "Distinct",
    "Frechet",
    "Headlines",
    "KnownLanguage",
    "NGramEntropy",
    "Paraphrase",
    "Perplexity",
    "Reconstruction",
    "ReconstructionOverlap",
    "Repetition",
    "SelfBleu",
    "Summaries",
    "TextDistance",
    "Verse",
]
