# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The paraphrase VAE: one meaning, said twice."""

from __future__ import annotations

import pyro
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.distributions import AutoregressiveCategorical, Context
from pyro_textvae.nn import Decoder
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.priors import StandardNormal


class ParaphraseVAE(PyroModule):
    r"""m ~ p(m), a meaning; two forms f_s, f ~ N(0, I); a source and a text from one decoder.

    .. math::
        p(x, s) = \int p(m) \left[\int p(f_s)\, p(s \mid m, f_s)\, df_s\right]
        \left[\int p(f)\, p(x \mid m, f)\, df\right] dm

    ======  =================  ===================================
    symbol  site               shape
    ======  =================  ===================================
    m       ``z_meaning``      ``(N, latent_dim)``
    f_s     ``z_form_source``  ``(N, form_dim)``
    f       ``z_form``         ``(N, form_dim)``
    s       ``source``         ``(N, S)`` int64 ids, ``<pad>`` = 0
    x       ``x``              ``(N, T)`` int64 ids, ``<pad>`` = 0
    ======  =================  ===================================

    All sites are in the plate ``"data"`` of N pairs. The source is drawn as the text is, so either
    is scored given the other: log p(x | s) = log p(x, s) - log p(s), where the programs of one of
    the two alone are :meth:`source_alone` and :meth:`text_alone`. Its guide is ``paraphrase``.
    Drawn without its text, the latents are those of the prior, which the source that is given says
    nothing to: :func:`~pyro_textvae.generation.sample` takes them from the guide.

    >>> from pyro_textvae.nn import GRUDecoder
    >>> decoder = GRUDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=5, max_length=6
    ... )
    >>> model = ParaphraseVAE(StandardNormal(3), decoder, form_dim=2)
    >>> model(source=torch.tensor([[4, 5, 2], [6, 2, 0]])).shape
    torch.Size([2, 6])

    Source: Chen et al. (2019), A Multi-Task Approach for Disentangling Syntax and Semantics in
    Sentence Representations, https://aclanthology.org/N19-1254/, for a meaning that two sentences
    share beside a form of each.

    :param prior: called with nothing, returns p(m).
    :param decoder: called with the meaning and a form side by side.
    :param form_dim: size of a form.
    """

    def __init__(self, prior: nn.Module, decoder: Decoder, form_dim: int = 8) -> None:
        check_sizes(form_dim=form_dim)
        super().__init__("model")
        self.prior = prior
        self.decoder = decoder
        self.form_prior = StandardNormal(form_dim)

    @staticmethod
    def decoder_latent_dim(latent_dim: int, form_dim: int = 8) -> int:
        """What a run's decoder is built with as ``latent_dim``: the meaning's size and a form's."""
        return latent_dim + form_dim

    def forward(self, source: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Score the pair of ``source`` ``(N, S)`` and ``tokens`` ``(N, T)``, or draw texts."""
        with pyro.plate("data", len(source)):
            meaning = pyro.sample("z_meaning", self.prior())
            form_of_source = pyro.sample("z_form_source", self.form_prior())
            form = pyro.sample("z_form", self.form_prior())
            pyro.sample("source", self.text(meaning, form_of_source, source), obs=source)
            return pyro.sample("x", self.text(meaning, form, tokens), obs=tokens)

    def text(
        self, meaning: Tensor, form: Tensor, tokens: Tensor | None
    ) -> AutoregressiveCategorical:
        """The distribution of a sentence given its meaning and form.

        :param tokens: what it is to score; a source may be longer than any text.
        """
        z = torch.cat([meaning, form], -1)
        if tokens is None or tokens.shape[-1] <= self.decoder.max_length:
            return self.decoder(z)
        return AutoregressiveCategorical(self.decoder, Context(z), tokens.shape[-1])

    def source_alone(self) -> nn.Module:
        """The program of the source alone, as a text: p(s), whose latents are two of these."""
        return _OneOfTheTwo(self, "z_form_source")

    def text_alone(self) -> nn.Module:
        """The program of the text alone: p(x)."""
        return _OneOfTheTwo(self, "z_form")


class _OneOfTheTwo(nn.Module):
    """A meaning, the form of one of the two sentences, and that sentence."""

    def __init__(self, pair: ParaphraseVAE, form_site: str) -> None:
        super().__init__()
        self.pair = pair
        self.form_site = form_site

    def forward(self, tokens: Tensor | None = None, *, size: int | None = None) -> Tensor:
        with pyro.plate("data", size if tokens is None else len(tokens)):
            meaning = pyro.sample("z_meaning", self.pair.prior())
            form = pyro.sample(self.form_site, self.pair.form_prior())
            return pyro.sample("x", self.pair.text(meaning, form, tokens), obs=tokens)
