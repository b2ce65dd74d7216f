# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A program may be two functions: networks and numbers are arguments, parameters are statements.

pyro-textvae train --model docs/programs/function.py:model --guide docs/programs/function.py:guide

An argument with the name of a setting (``latent_dim``, ``vocab_size``, an option) or of a part
(``decoder``, ``encoder``, ``prior``) is given by the run. All others are fields of the batch, and
``size``, how many sentences to generate. In Python the networks may stand around the functions.
"""

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import constraints


def model(tokens=None, *, size=None, decoder, latent_dim):
    """p(z) = N(0, scale^2) with a learned scale for each dimension, p(x | z) the decoder's."""
    one = next(decoder.parameters()).new_ones(latent_dim)
    scale = pyro.param("prior_scale", one, constraint=constraints.positive)
    with pyro.plate("data", size if tokens is None else len(tokens)):
        z = pyro.sample("z", dist.Normal(torch.zeros_like(scale), scale).to_event(1))
        return pyro.sample("x", decoder(z), obs=tokens)


def guide(tokens, *, encoder, latent_dim):
    """q(z | x) = N(W h(x), scale^2), h the encoder's features and one scale for all sentences."""
    features = encoder(tokens)
    weight = pyro.param("weight", lambda: 0.1 * features.new_ones(latent_dim, features.shape[-1]))
    scale = pyro.param(
        "scale", lambda: features.new_ones(latent_dim), constraint=constraints.positive
    )
    with pyro.plate("data", len(tokens)):
        pyro.sample("z", dist.Normal(features @ weight.T, scale).to_event(1))
