# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""One of Pyro's autoguides, with a posterior for each sentence: inference that is not amortised.

pyro-textvae train --model docs/programs/autoguide.py:IntensityVAE \
    --guide docs/programs/autoguide.py:Posteriors --procedure sentence_posteriors

A guide whose ``__init__`` names ``model`` is given the model, and one that names ``sentences``
batches of all sentences of the corpus. Each sentence has a row of the autoguide's parameters, which
are saved with the weights. The procedure fits those of the validation and test sentences too, with
the model fixed.

Refused: check_guide: have no posterior
"""

import pyro
import pyro.distributions as dist
from pyro.nn import PyroModule

from pyro_textvae.infer import SentenceAutoGuide


class IntensityVAE(PyroModule):
    """A direction z ~ N(0, I) and an intensity s ~ LogNormal(0, 1/2); x ~ p(x | s z)."""

    def __init__(self, decoder, latent_dim):
        super().__init__("model")
        self.decoder = decoder
        self.latent_dim = latent_dim

    def forward(self, tokens=None, *, size=None):
        zero = next(self.decoder.parameters()).new_zeros(self.latent_dim)
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", dist.Normal(zero, 1.0).to_event(1))
            intensity = pyro.sample("intensity", dist.LogNormal(zero[0], 0.5))
            return pyro.sample("x", self.decoder(intensity.unsqueeze(-1) * z), obs=tokens)


class Posteriors(SentenceAutoGuide):
    """A Gaussian over z and the logarithm of the intensity together, for each sentence."""

    def __init__(self, model, sentences=()):
        super().__init__(model, "AutoMultivariateNormal", sentences)
