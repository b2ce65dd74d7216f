# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Lines of verse that keep to their form, whatever the decoder would say."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.data import Tokenizer
from pyro_textvae.data.languages.sign_classes import SignClasses
from pyro_textvae.data.languages.verse_form import LEVEL, PLACES, RHYMES
from pyro_textvae.distributions import AutoregressiveCategorical, Context
from pyro_textvae.errors import UserError
from pyro_textvae.nn.form_reader import END
from pyro_textvae.nn.metre_decoder import MetreDecoder
from pyro_textvae.special_tokens import BOS, EOS, FIRST_EMITTED, UNK


class FormMasks:
    r"""The lines of a form among those of a model, each token renormalised over what may stand.

    .. math::
        q(x \mid v, f) = \prod_t \frac{p(x_t \mid x_{<t}, v, f)\, [x_t \in A_{f_t}]}
            {\sum_{w \in A_{f_t}} p(w \mid x_{<t}, v, f)}

    The sign that stands at place t must be in :math:`A_{f_t}`: those of its tone, at the end of a
    line that rhymes those of the rhyme, and after the last sign nothing but the end of the line.
    What may stand hangs on the place and on no sign before it. So the lines of a form are all
    combinations of what may stand at each place, every beginning of one can be gone on with as
    long as none of these sets is empty, which is looked at before a word is drawn, and no line runs
    into a dead end. Each token has its probability given those before, among what may stand. That
    is not p given that all of the line keeps to the form, which would weigh each beginning by how
    likely its rest is to: the two are the nearer, the better the model has learned the form.

    >>> from pyro_textvae.data import train_tokenizer
    >>> from pyro_textvae.nn import GRUDecoder
    >>> tokenizer = train_tokenizer(["月 光 霜"])
    >>> decoder = GRUDecoder(
    ...     vocab_size=len(tokenizer), embedding_dim=4, hidden_dim=8, latent_dim=3, max_length=4
    ... )
    >>> places = torch.tensor([[PLACES.index("仄") + 1, PLACES.index("ang") + 1, END, END]])
    >>> text = MetreDecoder(decoder, len(PLACES) + 1)(torch.zeros(1, 3), places)
    >>> classes = SignClasses({"月": "仄", "光": "平", "霜": "平"}, {"光": "ang", "霜": "ang"})
    >>> rows = FormMasks(tokenizer, classes)(text).sample((20,)).flatten(0, 1)
    >>> sorted({tokenizer.decode(row.tolist()) for row in rows})
    ['月 光', '月 霜']

    :param tokenizer: whose tokens are signs, alone or between spaces.
    :param classes: tone and rhyme of signs; those of which nothing is known stand nowhere.
    """

    def __init__(self, tokenizer: Tokenizer, classes: SignClasses) -> None:
        signs = tokenizer.vocabulary[FIRST_EMITTED:]
        allowed = torch.zeros(len(PLACES) + 1, len(signs), dtype=torch.bool)
        allowed[END, EOS - FIRST_EMITTED] = True
        for row, place in enumerate(PLACES, END + 1):
            for column, sign in enumerate(
                signs[UNK + 1 - FIRST_EMITTED :], UNK + 1 - FIRST_EMITTED
            ):
                allowed[row, column] = classes.fits(sign, place)
        self.allowed = allowed
        """Which classes may stand at each kind of place, ``(len(PLACES) + 1, vocab_size - 2)``."""

    def __call__(self, text: Any) -> AutoregressiveCategorical:
        """The lines of ``text`` that keep to their form, as a distribution.

        :raises UserError: for a text that is given no form, and for a form that no line of the
            vocabulary can have.
        """
        context = getattr(text, "context", None)
        decoder = getattr(text, "network", None)
        if not isinstance(decoder, MetreDecoder) or context is None or context.memory is None:
            raise UserError(
                "keep_form needs a model that writes to a form, such as poem_vae: leave it out"
            )
        for kind in context.memory.ids.unique().tolist():
            if not self.allowed[kind].any():
                raise UserError(f"no sign of the vocabulary {_asked_for(PLACES[kind - 1])}")
        return AutoregressiveCategorical(_Masked(decoder, self.allowed), context, text.max_length)


def _asked_for(place: str) -> str:
    if place in RHYMES:
        return f"is {LEVEL} and rhymes in {place!r}, as the ends of lines of the form must"
    return f"is {place}, as the form asks for"


class _Masked(nn.Module):
    """A decoder of lines of which only those of the form are left; a ``SequenceNetwork``."""

    takes_memory = True

    def __init__(self, decoder: MetreDecoder, allowed: Tensor) -> None:
        super().__init__()
        self.decoder = decoder
        self.vocab_size = decoder.vocab_size
        self.allowed = allowed

    def token_log_prob(self, tokens: Tensor, mask: Tensor, context: Context) -> Tensor:
        shape = torch.broadcast_shapes(mask.shape[:-1], context.batch_shape) + mask.shape[-1:]
        rows, flat = tokens.expand(shape).flatten(0, -2), context.expand(shape[:-1]).flatten()
        previous, state = torch.full_like(rows[:, 0], BOS), self.initial_state(flat)
        parts = []
        for token in rows.unbind(1):
            scores, state = self.step(previous, state, flat)
            of_token = (token - FIRST_EMITTED).unsqueeze(1)
            parts.append(scores.log_softmax(-1).gather(1, of_token).squeeze(1))
            previous = token
        return torch.where(mask.expand(shape), torch.stack(parts, 1).view(shape), 0.0)

    def initial_state(self, context: Context) -> Any:
        return self.decoder.initial_state(context)

    def step(self, previous: Tensor, state: Any, context: Context) -> tuple[Tensor, Any]:
        assert context.memory is not None
        place = state[1]
        kinds = context.memory.ids.gather(1, place).squeeze(1)
        scores, state = self.decoder.step(previous, state, context)
        return scores.masked_fill(~self.allowed.to(scores.device)[kinds], -torch.inf), state
