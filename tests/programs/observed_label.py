# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pyro
import pyro.distributions as dist

from pyro_textvae.models import SentenceVAE


class ObservedLabelVAE(SentenceVAE):
    """z ~ p(z), y ~ Categorical(1/2), x ~ p(x | z): the label is observed with the text."""

    def forward(self, tokens=None, labels=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            pyro.sample("y", dist.Categorical(logits=z.new_zeros(2)), obs=labels)
            return pyro.sample("x", self.decoder(z), obs=tokens)
