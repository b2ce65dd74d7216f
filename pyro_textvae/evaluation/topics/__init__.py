# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How good topics are: their words, against each other, against labels and against the truth."""

from pyro_textvae.evaluation.topics.agreement import normalised_mutual_information, purity
from pyro_textvae.evaluation.topics.coherence import normalised_pmi
from pyro_textvae.evaluation.topics.matching import matched_total_variation
from pyro_textvae.evaluation.topics.top_words import diversity, top_words

__all__ = [
    "diversity",
    "matched_total_variation",
    "normalised_mutual_information",
    "normalised_pmi",
    "purity",
    "top_words",
]
