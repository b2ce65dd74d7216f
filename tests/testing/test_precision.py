# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A constant of another precision is named, with its line, in the place of a table of shapes."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from pyro_textvae.guides import GaussianGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal
from pyro_textvae.testing import ContractError, check_guide, check_model


def vae(cls):
    decoder = LSTMDecoder(vocab_size=9, embedding_dim=4, hidden_dim=5, latent_dim=2, max_length=10)
    return cls(StandardNormal(2), decoder)


class ZerosOfAPrior(SentenceVAE):
    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1))
            return pyro.sample("x", self.decoder(z), obs=tokens)


class PythonNumbers(SentenceVAE):
    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
            return pyro.sample("x", self.decoder(z), obs=tokens)


class KeepsAMatrix(SentenceVAE):
    def __init__(self, prior, decoder):
        super().__init__(prior, decoder)
        self.turn = torch.tensor([[0.0, 1.0], [1.0, 0.0]])

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.decoder(z @ self.turn), obs=tokens)


class CountsInFloat32(SentenceVAE):
    def __init__(self, prior, decoder):
        super().__init__(prior, decoder)
        self.by_length = nn.Linear(1, 2)

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            if tokens is not None:
                z = z + self.by_length((tokens > 2).sum(-1, keepdim=True).float())
            return pyro.sample("x", self.decoder(z), obs=tokens)


class OfFloat64(SentenceVAE):
    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            shift = torch.full((2,), 0.5, dtype=torch.float64)
            return pyro.sample("x", self.decoder(z + shift), obs=tokens)


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (ZerosOfAPrior, r"dist\.Normal\(torch\.zeros\(2\)"),
        (PythonNumbers, r"dist\.Normal\(0\.0, 1\.0\)"),
        (CountsInFloat32, r"keepdim=True\)\.float\(\)"),
    ],
)
def test_line_that_makes_the_constant_is_quoted(model, line):
    message = rf"does not run in float64: `[^`]*{line}.*` \(test_precision\.py, line \d+\) is float"
    with pytest.raises(ContractError, match=message) as caught:
        check_model(vae(model))
    assert "Trace Shapes" not in str(caught.value)
    assert "new_zeros(2), or keep it by register_buffer" in str(caught.value)


def test_attribute_that_is_no_buffer_is_named():
    message = "in float64: the attribute 'turn' of KeepsAMatrix is float32 whatever"
    with pytest.raises(ContractError, match=message):
        check_model(vae(KeepsAMatrix))


def test_constant_of_float64_is_named_at_the_run_in_float32():
    message = r"the model does not run in float32: `shift = torch\.full.*` .* is float64 whatever"
    with pytest.raises(ContractError, match=message):
        check_model(vae(OfFloat64))


def test_constant_of_a_guide_is_named():
    class Shifted(GaussianGuide):
        def forward(self, tokens, *, size=None):
            with pyro.plate("data", len(tokens)):
                features = self.encoder(tokens)
                loc = self.loc(features) @ torch.eye(2)
                pyro.sample("z", dist.Normal(loc, 1.0).to_event(1))

    guide = Shifted(LSTMEncoder(vocab_size=9, embedding_dim=3, hidden_dim=6), 2)
    with pytest.raises(ContractError, match=r"the guide .* in float64: `loc = .*torch\.eye\(2\)`"):
        check_guide(guide, vae(SentenceVAE))


class Fails(SentenceVAE):
    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            constant = torch.zeros(2)
            z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.decoder(z.reshape(7, -1) + constant.to(z)), obs=tokens)


def test_other_failures_are_one_line_and_blame_no_constant():
    with pytest.raises(ContractError, match=r"^the model does not run: RuntimeError: shape '\[7"):
        check_model(vae(Fails))


class CountsDimensions(SentenceVAE):
    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            z = pyro.sample("z", self.prior())
            (_, width) = z.shape
            return pyro.sample("x", self.decoder(z[..., :width]), obs=tokens)


def test_shapes_of_particles_are_one_line():
    message = "the model with 3 vectorised particles does not run: .* to dimensions on the left"
    with pytest.raises(ContractError, match=message):
        check_model(vae(CountsDimensions))
