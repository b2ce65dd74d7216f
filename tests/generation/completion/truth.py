# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""All sentences of the small model with their probabilities, by enumeration and quadrature."""

import itertools
import math
import re

import torch

from pyro_textvae.generation.completion import Hole, Template

WORDS = (3, 4, 5, 6)
LONGEST = 6
ANY = torch.arange(7) >= 3
WORD = Hole(ANY)
GAP = Hole(ANY, ANY, may_be_empty=True)


def sentences():
    """Every outcome of a model of 7 ids and 6 places, ``<eos>`` or cut off at the end."""
    for length in range(LONGEST):
        yield from ((*words, 2) for words in itertools.product(WORDS, repeat=length))
    yield from itertools.product(WORDS, repeat=LONGEST)


def matching(pattern):
    """Those whose ids, written one after the other, match; ids ``(N, 6)``."""
    rows = [row for row in sentences() if re.fullmatch(pattern, "".join(map(str, row)))]
    return torch.tensor([[*row, *[0] * (LONGEST - len(row))] for row in rows])


def probabilities(decoder, tokens):
    """p(x) of each row by the trapezoid rule over two standard normal latents."""
    points = torch.linspace(-5.0, 5.0, 15, dtype=torch.float64)
    grid = torch.cartesian_prod(points, points)
    log_prior = -0.5 * grid.square().sum(-1) - math.log(2 * math.pi)
    with torch.no_grad():
        log_likelihood = decoder(grid.unsqueeze(1)).log_prob(tokens)
    return (log_prior[:, None] + log_likelihood).logsumexp(0).exp() * (points[1] - points[0]) ** 2


def joint(completions, tokens):
    """The estimates of p(x) of each row; zero for one that was not found."""
    known = {tuple(row): place for place, row in enumerate(map(tuple, tokens.tolist()))}
    estimates = torch.zeros(len(tokens), dtype=torch.float64)
    evidence = math.exp(completions.log_evidence)
    for row, share in zip(
        completions.tokens.tolist(), completions.probability.tolist(), strict=True
    ):
        estimates[known[(*row, *[0] * (LONGEST - len(row)))]] += share * evidence
    return estimates


TEMPLATES = {
    "two words": (Template(((4,), (5,), (2,)), (WORD, WORD)), "4[3-6]5[3-6]2"),
    "gap": (Template(((4,), (5, 2)), (GAP,)), "4[3-6]*52"),
    "two gaps": (Template(((), (4,), (5, 2)), (GAP, GAP)), "[3-6]*4[3-6]*52"),
    "prompt": (Template(((4, 5), (2,)), (GAP,)), "45[3-6]*2?"),
    "word, gap, word": (Template(((), (), (4,), (2,)), (WORD, GAP, WORD)), "[3-6]+4[3-6]2"),
    "gap and prompt": (Template(((), (4,), (2,)), (GAP, GAP)), "[3-6]*4[3-6]*2?"),
}
"""Templates, and the same as regular expressions."""
