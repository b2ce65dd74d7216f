# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The second line of a couplet, against quadrature."""

import pytest
import torch
from torch.distributions import Normal

from pyro_textvae.data import pad
from pyro_textvae.data.languages.sign_classes import SignClasses
from pyro_textvae.errors import UserError
from pyro_textvae.generation import Constraints
from pyro_textvae.generation.completion import continue_poem
from pyro_textvae.nn.form_masks import FormMasks
from tests.models.test_poem_vae import TOKENIZER, ids, log_prob_given, pair_of

TONES = dict(zip("月雪光霜", "仄仄平平", strict=True))
MASKS = FormMasks(TOKENIZER, SignClasses(TONES, {"光": "ang", "霜": "ang"}))
FORM, FIRST = pad([ids("ang 仄平 平")]), pad([ids("ang 仄平")])
BEGINNING = pad([ids("月 光")]).unsqueeze(0)


@pytest.mark.parametrize("lines_before", [True, False])
def test_a_second_line_has_its_probability_given_the_first(lines_before):
    model, guide = (program.double().eval() for program in pair_of(lines_before))
    model.text.place.weight.data *= 3
    model.text.decoder.token_scores.weight.data *= 4
    points = torch.linspace(-4.5, 4.5, 21, dtype=torch.float64)
    d, z_1, z_2 = torch.cartesian_prod(points, points, points).unbind(-1)
    places = model.forms(FORM)[0]
    with torch.no_grad():
        log_w = Normal(0.0, 1.0).log_prob(d) + Normal(0.0, 1.0).log_prob(z_2)
        log_w = log_w + log_prob_given(model, d, z_1.unsqueeze(-1), BEGINNING[0], places)
        parts = [d.unsqueeze(-1), z_2.unsqueeze(-1)]
        if lines_before:
            h = model.before.begin(d.unsqueeze(-1)).tanh()
            read = model.encoder(BEGINNING[0]).expand(len(d), -1)
            parts.append(model.before.rnn(read.unsqueeze(1), h.unsqueeze(0))[0].squeeze(1))
        line = MASKS(model.text(torch.cat(parts, -1), places[1:2]))
        expected = (log_w.softmax(0) * line.log_prob(torch.tensor(ids("霜"))).exp()).sum().item()
        prior = (Normal(0.0, 1.0).log_prob(torch.stack([d, z_1, z_2])).sum(0)).softmax(0)
    going_on = continue_poem(
        model,
        guide,
        BEGINNING,
        source=FORM,
        source_of_beginning=FIRST,
        size=1500,
        num_particles=1500,
        constraints=Constraints(keep_form=MASKS),
    )
    assert (going_on.tokens[:, 0] == pad([[*ids("月 光"), 0]])[0]).all()
    share = (going_on.tokens[:, 1, 0] == ids("霜")[0]).double().mean().item()
    effective = min(1500, going_on.effective_particles)
    # Of the draws and of the weights that they are drawn by.
    error = (expected * (1 - expected) * (1 / 1500 + 1 / effective)) ** 0.5
    assert abs(share - expected) < 4.5 * error
    of_prior = (prior * line.log_prob(torch.tensor(ids("霜"))).exp()).sum().item()
    assert lines_before or abs(of_prior - expected) > 4.5 * error


def test_a_whole_poem_leaves_nothing_to_be_written():
    model, guide = pair_of(lines_before=True)
    with pytest.raises(UserError, match="the beginning has 1 lines and the form no more"):
        continue_poem(model, guide, BEGINNING, source=FIRST, source_of_beginning=FIRST)
