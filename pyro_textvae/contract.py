# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The names that models, guides and batches agree on."""

TEXT_SITE = "x"
"""The sample site of the text."""

DATA_PLATE = "data"
"""The plate that every sample site is in, one entry a datum."""

PARTICLE_PLATE = "num_particles_vectorized"
"""Pyro's name for the plate of vectorised particles, to the left of all others."""

TOKENS = "tokens"
"""The field of a batch with the text's ids, ``(N, T)``; without it a model generates."""

SOURCE = "source"
"""The field with the ids of the text that the text is conditioned on, ``(N, S)``."""

LABELS = "labels"
"""The field with the label of each datum, ``(N,)`` int64; -1 where it is not given."""

NOT_GIVEN = -1
"""The label of a datum that has none."""

SOURCE_ALONE = "source_alone"
"""A model that draws the source too, and its guide, have a method of this name: it returns the
program of the source alone, whose field ``tokens`` is the source, and whose latents are some of
those of the pair."""

TEXT_ALONE = "text_alone"
"""The same for the text, where that can be said."""

OF_TEXT = "of_text"
"""The key in ``infer`` of a site that is observed at what the text itself says, such as its number
of sentences: it is a part of the text's probability, and not beside it."""

COLUMN_SETTINGS = {SOURCE: "source_column", LABELS: "label_column"}
"""The setting that names the column of a field, where the field has one of its own."""

TEXT_FIELDS = (TOKENS, SOURCE)
"""The fields that hold ids, padded on the right with ``<pad>``."""
