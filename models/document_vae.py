# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The document VAE: a vector of the whole, a plan of its sentences, then each from its place."""

from __future__ import annotations

from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_textvae.distributions import scorable_rows
from pyro_textvae.errors import UserError
from pyro_textvae.nn import Decoder, GRUEncoder
from pyro_textvae.nn.checks import check_sizes
from pyro_textvae.nn.number_of_sentences import sentences_there
from pyro_textvae.nn.sentence_before import SentenceBefore
from pyro_textvae.nn.sentence_plan import SentencePlan
from pyro_textvae.priors import StandardNormal
from pyro_textvae.special_tokens import PAD


class DocumentVAE(PyroModule):
    r"""d ~ p(d); S ~ p(S | d) sentences; for each z_s ~ N(0, I), x_s ~ p(x | v_s).

    .. math::
        p(x, d, z) = p(d)\, p(S \mid d) \prod_{s=1}^{S} p(z_s)\, p(x_s \mid v_s), \qquad
        v_s = \operatorname{GRU}(v_{s-1}, [d, z_s]), \quad v_0 = \tanh(W d)

    ======  =================  ==============================================
    symbol  site               shape
    ======  =================  ==============================================
    d       ``z_whole``        ``(N, 1, latent_dim)``
    S       ``num_sentences``  ``(N, 1)`` int64, less one
    z       ``z``              ``(N, S, latent_dim)``
    x       ``x``              ``(N, S, T)`` int64 ids, ``<pad>`` = 0
    ======  =================  ==============================================

    The sites are in the plate ``"data"`` of N documents, at -2, those of sentences in the plate
    ``"sentences"`` inside it. z_s is what is new in sentence s; v_s, the vector that it is written
    from, has besides all that the vectors before it have: so a plan goes from sentence to sentence
    and every latent is independent of the others before the text is seen. The number of sentences
    is scored as the words are. Its guide is ``document``.

    With ``plan=False`` v_s is a function of z_s alone, and nothing goes from sentence to sentence:
    a VAE of single sentences, to which a gain is measured. With ``sentence_before=True`` a sentence
    is given the one before it too, p(x_s | v_s, x_{s-1}): the decoder's latent is v_s beside what a
    recurrence reads of x_{s-1}. Without its text it then generates sentence by sentence, at the
    sites ``x_0``, ``x_1``, ..., each given the one before.

    >>> from pyro_textvae.nn import GRUDecoder
    >>> decoder = GRUDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=8, latent_dim=5, max_length=6
    ... )
    >>> model = DocumentVAE(StandardNormal(3), decoder, latent_dim=3, max_sentences=4, plan_dim=5)
    >>> model(size=2).shape
    torch.Size([2, 4, 6])

    Source: Li et al. (2015), A Hierarchical Neural Autoencoder for Paragraphs and Documents,
    https://aclanthology.org/P15-1107/; Shen et al. (2019), Towards Generating Long and Coherent
    Text with Multi-Level Latent Variable Models, https://aclanthology.org/P19-1200/.

    :param prior: called with nothing, returns p(d).
    :param decoder: called with the vectors of sentences.
    :param latent_dim: size of d and of each z_s.
    :param max_sentences: the most sentences of a document.
    :param plan_dim: size of the vector of a sentence.
    :param plan: whether there is one.
    :param sentence_before: whether a sentence is given the one before it.
    :param vocab_size: with ``sentence_before``, the types that it is of.
    :param embedding_dim: likewise, the width of the vectors that it is read by.
    :param hidden_dim: likewise, the width of what reads it.
    :raises UserError: for ``sentence_before`` without these three.
    """

    def __init__(
        self,
        prior: nn.Module,
        decoder: Decoder,
        latent_dim: int,
        max_sentences: int,
        plan_dim: int = 64,
        plan: bool = True,
        sentence_before: bool = False,
        vocab_size: int | None = None,
        embedding_dim: int | None = None,
        hidden_dim: int | None = None,
    ) -> None:
        check_sizes(latent_dim=latent_dim, max_sentences=max_sentences, plan_dim=plan_dim)
        super().__init__("model")
        self.prior = prior
        self.decoder = decoder
        self.max_sentences = max_sentences
        self.sentence_prior = StandardNormal(latent_dim)
        self.number = nn.Linear(latent_dim, max_sentences)
        self.has_plan = plan
        one = SentencePlan(latent_dim, plan_dim) if plan else nn.Linear(latent_dim, plan_dim)
        self.plan: Any = one
        self.before: SentenceBefore | None = None
        if sentence_before:
            if vocab_size is None or embedding_dim is None or hidden_dim is None:
                raise UserError(
                    "sentence_before=True reads the sentence before, so it needs vocab_size, "
                    "embedding_dim and hidden_dim: give all three"
                )
            reader = GRUEncoder(vocab_size, embedding_dim, hidden_dim)
            self.before = SentenceBefore(reader, plan_dim)

    @staticmethod
    def decoder_latent_dim(plan_dim: int = 64, sentence_before: bool = False) -> int:
        """What a run's decoder is built with as ``latent_dim``.

        The size of a sentence's vector, and as much again for the sentence before.
        """
        return 2 * plan_dim if sentence_before else plan_dim

    def start(self, tokens: Tensor) -> dict[str, Tensor]:
        """Draw d, and score the number of sentences; see :mod:`pyro_textvae.infer.steps`."""
        d = pyro.sample("z_whole", self.prior())
        sentences_there(self.number(d), scorable_rows(tokens)[1])
        return (
            {"d": d, "v": self.plan.first(d)} if isinstance(self.plan, SentencePlan) else {"d": d}
        )

    def step(self, state: dict[str, Tensor], t: int, tokens: Tensor) -> dict[str, Tensor]:
        """Draw z of sentence t, and score the sentence."""
        z = pyro.sample("z", self.sentence_prior())
        if isinstance(self.plan, SentencePlan):
            v = self.plan.step(state["v"], state["d"], z)
        else:
            v = self.plan(z)
        rows = scorable_rows(tokens)[0]
        pyro.sample("x", self.decoder(self._beside(v, rows, t)), obs=rows[:, t : t + 1])
        return {"d": state["d"], "v": v}

    def forward(self, tokens: Tensor | None = None, *, size: int | None = None) -> Tensor:
        """Score ``tokens`` ``(N, S, T)``, or generate ``size`` documents."""
        rows, given = (None, None) if tokens is None else scorable_rows(tokens)
        data = pyro.plate("data", size if tokens is None else len(tokens), dim=-2)
        with data:
            d = pyro.sample("z_whole", self.prior())
            there: Any = sentences_there(self.number(d), given)
            sentences = pyro.plate("sentences", there.shape[-1], dim=-1)
            with sentences, poutine.mask(mask=there):
                z = pyro.sample("z", self.sentence_prior())
                v = self.sentence_vectors(d, z)
                if self.before is None:
                    return pyro.sample("x", self.decoder(v).mask(there), obs=rows)
                if tokens is not None:
                    v = self.before.beside(v, self.before.of_each(tokens))
                    return pyro.sample("x", self.decoder(v).mask(there), obs=rows)
        said: list[Tensor] = []
        before = self.before.of_none()
        for s in range(there.shape[-1]):
            is_there: Any = there[..., s : s + 1]
            with data, poutine.mask(mask=is_there):
                text = self.decoder(self.before.beside(v[..., s : s + 1, :], before))
                said.append(pyro.sample(f"x_{s}", text))
            before = self.before.of(said[-1])
        drawn = torch.cat(said, -2).where(there.unsqueeze(-1), PAD)
        with data, sentences:
            return pyro.deterministic("x", drawn, event_dim=1)

    def sentence_vectors(self, d: Tensor, z: Tensor) -> Tensor:
        """v_s of each sentence, ``(*B, N, S, plan_dim)``."""
        v: Tensor = self.plan(d, z) if self.has_plan else self.plan(z)
        return v

    def _beside(self, v: Tensor, rows: Tensor, t: int) -> Tensor:
        """What sentence t is written from, ``(*B, N, 1, ...)``."""
        if self.before is None:
            return v
        before = self.before.of(rows[:, t - 1 : t]) if t else self.before.of_none()
        return self.before.beside(v, before)
