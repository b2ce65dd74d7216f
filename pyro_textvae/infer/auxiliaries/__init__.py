# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Auxiliary losses, one a file; each is added to the loss of any objective of this package."""

from pyro_textvae.infer.auxiliaries.attribute_consistency import AttributeConsistency
from pyro_textvae.infer.auxiliaries.bag_of_words import BagOfWords
from pyro_textvae.infer.auxiliaries.label_classification import LabelClassification
from pyro_textvae.infer.auxiliaries.length import Length

__all__ = [
    "AttributeConsistency",
    "BagOfWords",
    "LabelClassification",
    "Length",
]
