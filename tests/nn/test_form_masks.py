# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Masks of forms, against all lines of a few signs."""

import math
from collections import Counter
from itertools import product

import pytest
import torch

from pyro_textvae.data import pad, train_tokenizer
from pyro_textvae.data.languages.sign_classes import SignClasses
from pyro_textvae.errors import UserError
from pyro_textvae.nn import GRUDecoder
from pyro_textvae.nn.form_masks import FormMasks
from pyro_textvae.nn.form_reader import NUM_PLACES, FormReader
from pyro_textvae.nn.metre_decoder import MetreDecoder
from pyro_textvae.special_tokens import EOS, FIRST_EMITTED
from tests.data.worlds.draws import z_of_draws

TOKENIZER = train_tokenizer(["月 雪 光 霜 山 x ang 仄平 仄仄 er -"])
CLASSES = SignClasses(
    dict(zip("月雪光霜山", "仄仄平平平", strict=True)), {"光": "ang", "霜": "ang", "山": "an"}
)
LINES = {"ang 仄平": ("月雪", "光霜"), "- 仄平": ("月雪", "光霜山"), "ang 仄仄": ("月雪", "月雪")}


def line_of(form, seed=0):
    torch.manual_seed(seed)
    sizes = {"vocab_size": len(TOKENIZER), "embedding_dim": 4, "hidden_dim": 5}
    decoder = GRUDecoder(**sizes, latent_dim=2, max_length=4).double()
    source = pad([[*TOKENIZER.encode(form), EOS]])
    places = FormReader(TOKENIZER, max_lines=1, max_length=4)(source)[0]
    text = MetreDecoder(decoder, NUM_PLACES).double()
    torch.nn.init.normal_(decoder.token_scores.weight)
    return text(torch.randn(1, 2).double(), places)


def row_of(signs):
    return [TOKENIZER.encode(sign)[0] for sign in signs] + [EOS]


def scores_of_next(text, beginning):
    """log p of each class after a beginning, by teacher forcing."""
    classes = range(FIRST_EMITTED, text.network.vocab_size)
    rows = torch.tensor([[*beginning, c] for c in classes])
    every = torch.ones_like(rows, dtype=torch.bool)
    return text.network.token_log_prob(rows, every, text.context)[:, -1]


@pytest.mark.parametrize("form", LINES)
def test_each_token_is_renormalised_over_what_may_stand_at_its_place(form):
    text, may_stand = line_of(form), [*LINES[form], None]
    masked = FormMasks(TOKENIZER, CLASSES)(text)
    claimed = {}
    for signs in product(*LINES[form]):
        by_hand, row = 0.0, row_of(signs)
        for place, of_place in enumerate(may_stand):
            log_p = scores_of_next(text, row[:place])
            ids = [EOS] if of_place is None else [row_of(sign)[0] for sign in of_place]
            among = log_p[[index - FIRST_EMITTED for index in ids]].logsumexp(0)
            by_hand += (log_p[row[place] - FIRST_EMITTED] - among).item()
        claimed["".join(signs)] = masked.log_prob(torch.tensor(row)).exp().item()
        assert claimed["".join(signs)] == pytest.approx(math.exp(by_hand), 1e-9)
    assert sum(claimed.values()) == pytest.approx(1.0, abs=1e-9)
    torch.manual_seed(1)
    rows = masked.sample((1500,)).flatten(0, 1).tolist()
    drawn = ["".join(TOKENIZER.decode(row).split()) for row in rows]
    assert set(drawn) <= set(claimed)
    assert abs(z_of_draws(drawn, Counter(claimed))) < 4.5


def test_a_form_that_no_sign_can_keep_is_refused_before_a_word_is_drawn():
    with pytest.raises(UserError, match="no sign of the vocabulary is 平 and rhymes in 'er'"):
        FormMasks(TOKENIZER, CLASSES)(line_of("er 仄平"))
    without = SignClasses({"月": "仄"}, {})
    with pytest.raises(UserError, match="no sign of the vocabulary is 平, as the form asks for"):
        FormMasks(TOKENIZER, without)(line_of("- 仄平"))


def test_a_text_without_a_form_is_refused():
    sizes = {"vocab_size": len(TOKENIZER), "embedding_dim": 4, "hidden_dim": 5}
    text = GRUDecoder(**sizes, latent_dim=2, max_length=4)(torch.zeros(1, 2))
    with pytest.raises(UserError, match="keep_form needs a model that writes to a form"):
        FormMasks(TOKENIZER, CLASSES)(text)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (
            "x 仄平",
            "source 1 of the batch: there is no rhyme 'x': a form begins with one of a, o, ",
        ),
        ("ang x", "line 1 of the form is 'x': write 平 or 仄 for each sign"),
        ("ang", "the form 'ang' has no line"),
        ("ang 仄平 仄平", "the form has 2 lines, and the model's poems have at most 1"),
    ],
)
def test_what_is_no_form_is_told_in_one_line(form, message):
    with pytest.raises(UserError, match=message):
        line_of(form)


def test_a_longer_line_than_the_models_and_tokens_of_several_signs_are_refused():
    source = pad([[*TOKENIZER.encode("ang 仄平"), EOS]])
    with pytest.raises(UserError, match="a line of 2 signs, and the model's lines have at most 1"):
        FormReader(TOKENIZER, max_lines=1, max_length=2)(source)
    with pytest.raises(ValueError, match="'月光' is one token: give the tokenizer character"):
        FormReader(train_tokenizer(["月光 仄平"]), max_lines=1, max_length=4)
    characters = train_tokenizer(["月光 ang 仄平"], "character")
    source = pad([[*characters.encode("ang 仄平"), EOS]])
    assert FormReader(characters, 1, 4)(source).tolist() == [[[2, 18, 0, 0]]]
