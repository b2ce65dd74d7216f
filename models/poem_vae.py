# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The poem VAE: a vector of the poem, one of each line, and lines that are written to a form."""

from __future__ import annotations

from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch import Tensor, nn
from torch.nn.functional import pad

from pyro_textvae.data import Tokenizer
from pyro_textvae.distributions import AutoregressiveCategorical, scorable_rows
from pyro_textvae.errors import UserError
from pyro_textvae.nn import Decoder, Encoder
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.features_of_sentences import features_of_sentences
from pyro_textvae.nn.form_reader import END, NUM_PLACES, FormReader
from pyro_textvae.nn.metre_decoder import MetreDecoder
from pyro_textvae.nn.said_before import SaidBefore
from pyro_textvae.priors import StandardNormal
from pyro_textvae.special_tokens import PAD


class PoemVAE(PyroModule):
    r"""d ~ p(d); for each line of the form z_l ~ N(0, I), x_l ~ p(x | v_l, f_l).

    .. math::
        p(x, d, z \mid f) = p(d) \prod_{l=1}^{L} p(z_l) \prod_t p(x_{lt} \mid x_{l,<t}, v_l, f_l),
        \qquad v_l = [d;\ z_l;\ h_l]

    ======  ===========  ==============================================
    symbol  site         shape
    ======  ===========  ==============================================
    d       ``z_whole``  ``(N, 1, latent_dim)``
    z       ``z``        ``(N, L, latent_dim)``
    x       ``x``        ``(N, L, T)`` int64 ids, ``<pad>`` = 0
    ======  ===========  ==============================================

    The sites are in the plate ``"data"`` of N poems, at -2, those of lines in the plate
    ``"sentences"`` inside it. The source of a poem tells its form f: a rhyme, then for each line
    the tones of its signs, level 平 or oblique 仄, as in ``ang 仄仄仄平平 平平仄仄平``. So the form
    says how many lines there are, and nothing is drawn for that. Its lines are given the form place
    by place, but nothing is forbidden: that a line keeps to it is learned, and a poem that does not
    has a probability too. To be sure of it, decode with masks, see
    :class:`~pyro_textvae.nn.form_masks.FormMasks`. Its guide is ``document``.

    h_l is the state of a recurrence over the lines before l, which begins at d. Without
    ``lines_before`` it is left out, and what lines have in common is in d alone. With it, and
    without its text, it generates line by line, at the sites ``x_0``, ``x_1``, ..., each given
    those before.

    >>> from pyro_textvae.data import pad, train_tokenizer
    >>> from pyro_textvae.nn import GRUDecoder, GRUEncoder
    >>> tokenizer = train_tokenizer(["ang 仄平 平仄", "月 光", "霜 雪"])
    >>> sizes = {"vocab_size": len(tokenizer), "embedding_dim": 4, "hidden_dim": 8}
    >>> decoder = GRUDecoder(**sizes, latent_dim=3 + 3 + 5, max_length=4)
    >>> encoder = GRUEncoder(**sizes)
    >>> model = PoemVAE(StandardNormal(3), decoder, encoder, 3, 2, tokenizer, plan_dim=5)
    >>> model(source=pad([[*tokenizer.encode("ang 仄平 平仄"), 2]])).shape
    torch.Size([1, 2, 4])

    Source: Yang et al. (2018), Generating Thematic Chinese Poetry using Conditional Variational
    Autoencoders with Hybrid Decoders, https://www.ijcai.org/proceedings/2018/0631, which scores
    lines one by one and prints no likelihood.

    :param prior: called with nothing, returns p(d).
    :param decoder: called with v_l.
    :param encoder: of the lines before.
    :param latent_dim: size of d and of each z_l.
    :param max_sentences: the most lines of a poem.
    :param tokenizer: of words or of characters, that sources are read by.
    :param plan_dim: size of h_l.
    :param lines_before: whether a line is given those before it.
    """

    def __init__(
        self,
        prior: nn.Module,
        decoder: Decoder,
        encoder: Encoder,
        latent_dim: int,
        max_sentences: int,
        tokenizer: Tokenizer,
        plan_dim: int = 64,
        lines_before: bool = True,
    ) -> None:
        check_sizes(latent_dim=latent_dim, max_sentences=max_sentences, plan_dim=plan_dim)
        super().__init__("model")
        self.prior = prior
        self.max_sentences = max_sentences
        self.forms = FormReader(tokenizer, max_sentences, decoder.max_length)
        self.line_prior = StandardNormal(latent_dim)
        self.text = MetreDecoder(decoder, NUM_PLACES)
        self.before: SaidBefore | None = None
        if lines_before:
            self.encoder = encoder
            self.before = SaidBefore(encoder.output_dim, latent_dim, plan_dim)

    @staticmethod
    def decoder_latent_dim(latent_dim: int, plan_dim: int = 64, lines_before: bool = True) -> int:
        """What a run's decoder is built with as ``latent_dim``: the size of v_l."""
        return 2 * latent_dim + plan_dim * lines_before

    def forward(self, source: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Score ``tokens`` ``(N, L, T)`` of the forms ``source``, or write a poem for each form.

        :raises UserError: for a source that is no form, and a poem that has another number of lines
            than its form.
        """
        rows = None if tokens is None else scorable_rows(tokens)[0]
        places = self.places(source, tokens)
        there: Any = (places[..., 0] != END).to(torch.bool)
        data = pyro.plate("data", len(source), dim=-2)
        with data:
            d = pyro.sample("z_whole", self.prior())
            lines = pyro.plate("sentences", there.shape[-1], dim=-1)
            with lines, poutine.mask(mask=there):
                z = pyro.sample("z", self.line_prior())
                if self.before is None or tokens is not None:
                    h = None if tokens is None else self.states_before(tokens, d)
                    return pyro.sample("x", self.line(d, z, h, places).mask(there), obs=rows)
        written: list[Tensor] = []
        h = self.before.first(d)
        for number in range(there.shape[-1]):
            of_line = slice(number, number + 1)
            is_there: Any = there[:, of_line]
            with data, poutine.mask(mask=is_there):
                text = self.line(d, z[..., of_line, :], h, places[:, of_line])
                written.append(pyro.sample(f"x_{number}", text))
            h = self.before.step(self.encoder(written[-1].squeeze(-2)).unsqueeze(-2), h)
        drawn = torch.cat(written, -2).where(there.unsqueeze(-1), PAD)
        with data, lines:
            return pyro.deterministic("x", drawn, event_dim=1)

    def start(self, source: Tensor, tokens: Tensor) -> dict[str, Any]:
        """Draw d; see :mod:`pyro_textvae.infer.steps`."""
        d = pyro.sample("z_whole", self.prior())
        state = {"d": d, "places": self.places(source, tokens)}
        if self.before is None:
            return state
        features = features_of_sentences(self.encoder, tokens)
        return state | {"h": self.before.first(d), "features": features}

    def step(self, state: dict[str, Any], t: int, tokens: Tensor) -> dict[str, Any]:
        """Draw z of line t, and score the line."""
        z = pyro.sample("z", self.line_prior())
        places = state["places"][..., t : t + 1, :]
        text = self.line(state["d"], z, state.get("h"), places)
        pyro.sample("x", text, obs=scorable_rows(tokens)[0][:, t : t + 1])
        if self.before is None:
            return state
        return state | {"h": self.before.step(state["features"][:, t : t + 1], state["h"])}

    def places(self, source: Tensor, tokens: Tensor | None) -> Tensor:
        """The kind of each place of each line, ``(N, L, max_length)``, as many L as there are rows.

        :raises UserError: as :meth:`forward`.
        """
        places = self.forms(source)
        if tokens is None:
            return places
        number = (tokens != PAD).any(-1).sum(-1)
        of_form = (places[..., 0] != END).sum(-1)
        for row in (number != of_form).nonzero():
            raise UserError(
                f"poem {int(row) + 1} of the batch has {int(number[row])} lines, and its form "
                f"{int(of_form[row])}"
            )
        further = max(0, tokens.shape[1] - places.shape[1])
        return pad(places, (0, 0, 0, further), value=END)[:, : tokens.shape[1]]

    def states_before(self, tokens: Tensor, d: Tensor) -> Tensor | None:
        """h of each line, ``(*B, L, plan_dim)``; None without ``lines_before``."""
        if self.before is None:
            return None
        features = features_of_sentences(self.encoder, tokens)
        return self.before(features, d)

    def line(
        self, d: Tensor, z: Tensor, h: Tensor | None, places: Tensor
    ) -> AutoregressiveCategorical:
        """p(x_l | v_l, f_l), for the whole, what is new and the state of the lines before."""
        parts = [d, z] if h is None else [d, z, h]
        shape = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
        v = torch.cat([part.expand(*shape, -1) for part in parts], -1)
        return self.text(v, places, places[..., 0] != END)
