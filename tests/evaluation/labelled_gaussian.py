# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Labelled programs of numbers: log p(x, y) and all posteriors are known in closed form."""

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch import nn

MARK = {"enumerate": "parallel"}
LOGITS = torch.tensor([0.4, -0.6, 0.1]).double()
CENTRES = torch.tensor([-1.5, 0.3, 2.0]).double()
OFFSETS = torch.tensor([0.5, -1.0, 0.2]).double()
SLOPE, NOISE = 0.8, 0.7


class LabelledGaussian(PyroModule):
    """y ~ Categorical, z | y ~ N(centre of y, 1), x ~ N(.8 z + offset of y, .7^2), twice over.

    :param obs_mask: whether labels go through Pyro's ``obs_mask``.
    """

    def __init__(self, *, obs_mask=False, mark=False):
        super().__init__("model")
        self.obs_mask = obs_mask
        self.infer = MARK if mark else {}
        self.zero = nn.Parameter(torch.zeros(()).double())

    def of_label(self, labels):
        y = dist.Categorical(logits=LOGITS + self.zero)
        if labels is None or not self.obs_mask:
            return pyro.sample("y", y, obs=labels, infer=self.infer)
        obs = labels.clamp(min=0)
        return pyro.sample("y", y, obs=obs, obs_mask=labels >= 0, infer=self.infer)

    def forward(self, tokens=None, labels=None, *, size=None):
        with pyro.plate("data", size if tokens is None else len(tokens)):
            y = self.of_label(labels)
            z = pyro.sample("z", dist.Normal(CENTRES[y], 1.0))
            return pyro.sample("x", pair_of(SLOPE * z + OFFSETS[y]), obs=tokens)


def pair_of(loc):
    """Two numbers around one."""
    return dist.Normal(loc.unsqueeze(-1).expand(*loc.shape, 2), NOISE).to_event(1)


def posterior(x, y):
    """p(z | x, y): mean and scale, of numbers ``(..., 2)`` and labels that broadcast."""
    precision = 1.0 + 2 * SLOPE**2 / NOISE**2
    residual = x.sum(-1) - 2 * OFFSETS[y]
    return (CENTRES[y] + SLOPE * residual / NOISE**2) / precision, precision**-0.5


def log_joint(x):
    """log p(x, y) for all labels, ``(N, 3)``."""
    labels = torch.arange(3)
    loc = (SLOPE * CENTRES + OFFSETS).unsqueeze(-1).expand(3, 2)
    covariance = NOISE**2 * torch.eye(2).double() + SLOPE**2 * torch.ones(2, 2).double()
    given = dist.MultivariateNormal(loc, covariance).log_prob(x.unsqueeze(1))
    return given + LOGITS.log_softmax(0)[labels]


class LabelledGaussianGuide(PyroModule):
    """The exact p(z | x, y), off by ``shift`` of its scales; q(y | x) from a table by x's sign.

    :param obs_mask: whether labels are given to some; else to all, or to none.
    :param after: whether y is drawn after z, from q(y | z), and z from one Gaussian for all y.
    """

    def __init__(self, *, obs_mask=False, shift=0.0, widen=1.0, after=False, mark=True):
        super().__init__("guide")
        self.obs_mask = obs_mask
        self.shift, self.widen, self.after = shift, widen, after
        self.infer = MARK if mark else {}
        self.table = nn.Parameter(torch.tensor([[0.2, 0.5, -0.3], [0.7, -0.4, 0.9]]).double())

    def logits(self, tokens):
        return self.table[(tokens[:, 0] > 0).long()]

    def of_label(self, labels, logits):
        y = dist.Categorical(logits=logits)
        if labels is None:
            return pyro.sample("y", y, infer=self.infer)
        if not self.obs_mask:
            return labels
        with poutine.mask(mask=labels < 0):
            drawn = pyro.sample("y_unobserved", y, infer=self.infer)
        return torch.where(labels < 0, drawn, labels)

    def forward(self, tokens, labels=None, *, size=None):
        with pyro.plate("data", len(tokens)):
            logits = self.logits(tokens)
            if self.after:
                z = pyro.sample("z", dist.Normal(0.4 * tokens.sum(-1), 1.5))
                self.of_label(labels, logits + 0.3 * z.unsqueeze(-1) * CENTRES)
            else:
                y = self.of_label(labels, logits)
                loc, scale = posterior(tokens, y)
                pyro.sample("z", dist.Normal(loc + self.shift * scale, self.widen * scale))
