# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The weights that fits are made by: those of the mixture of all rounds of pilot draws."""

import torch

from pyro_textvae.evaluation.importance.components import FamilyComponent, PriorComponent
from pyro_textvae.evaluation.importance.pilot import PilotDraws
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.target import Target
from tests.evaluation.replicates import (
    Numbered,
    TableGuide,
    diagonal,
    posterior_moments,
    quick_log_px,
    replicates,
    z_score,
)


def test_mean_weight_of_unequal_rounds_is_the_probability(pair, tokens):
    """Twenty draws from the prior and five from a guide that is too narrow, of 40 replicates."""
    model, batch = Numbered(pair[0]), replicates(tokens, 40)
    with torch.no_grad():
        loc, scale = posterior_moments(pair[0].decoder, tokens)
        guide = TableGuide(diagonal, loc, 0.5 * scale).eval()
        posteriors = Posteriors(model, guide, batch, 0)
        target = Target(model, batch, max_tokens=10**6)
        pilot = PilotDraws(target, posteriors)
        pilot.add([(PriorComponent(target, posteriors), 20)])
        pilot.add([(FamilyComponent(posteriors.vector, posteriors.family), 5)])
        weights = pilot.log_weights().exp().mean(0)
        ratios = weights / quick_log_px(pair[0].decoder, tokens).exp().repeat(40)
    assert weights.shape == (160,)
    assert abs(z_score(ratios, 1.0)) < 4.5
    assert ratios.std() < 1.0
