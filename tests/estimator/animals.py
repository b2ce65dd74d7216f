# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sentences that an estimator is fitted to in a moment."""

ANIMALS = ("cat", "dog", "bird", "fox")
TEXTS = [
    f"the {animal} {verb} in the {place}"
    for animal in ANIMALS
    for verb in ("sat", "ran", "sang", "slept")
    for place in ("mat", "sun", "box")
]
VALID = ["the cat sang in the sun", "the dog ran in the box"]
TINY = {"embedding_dim": 4, "hidden_dim": 5, "latent_dim": 2, "device": "cpu"}
