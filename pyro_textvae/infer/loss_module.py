# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Any ELBO over a pair whose programs take different fields of a batch, as one module."""

from __future__ import annotations

from typing import Any

from pyro.infer import (
    ELBO,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceTailAdaptive_ELBO,
)
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn

from pyro_textvae.contract import DATA_PLATE
from pyro_textvae.infer.global_latents import cannot_train, is_global, size_not_known
from pyro_textvae.infer.per_datum import PerDatumELBO
from pyro_textvae.infer.simulate import fields_of

_SUMS = (Trace_ELBO, TraceGraph_ELBO, TraceEnum_ELBO)
"""Pyro's objectives that are a sum over sites, each times its scale."""


class WithItsFields(nn.Module):
    """A program that is called with a whole batch, and takes the fields that it names.

    Pyro's own objectives hand the same keywords to model and guide. A global latent is scaled by
    the batch's share of the corpus.

    :param objective: the name of what calls it.
    :param corpus_size: the sentences that all batches are from; None where it is not known.
    :param takes_globals: whether the objective weighs a scaled site as it should.
    """

    def __init__(
        self,
        program: nn.Module,
        objective: str,
        corpus_size: int | None = None,
        *,
        takes_globals: bool = True,
    ) -> None:
        super().__init__()
        self.program = program
        self.objective = objective
        self.corpus_size = corpus_size
        self.takes_globals = takes_globals

    def forward(self, *args: Any, **fields: Any) -> Any:
        """Call the program; with positional arguments, with all that is given.

        :raises ValueError: with the site's name, for a global latent that cannot be scaled.
        """
        with _ScaledGlobals(self, args or tuple(fields.values())):
            return self.program(*args, **(fields if args else fields_of(self.program, fields)))


class _ScaledGlobals(Messenger):
    """Scales the global latents of one call."""

    def __init__(self, program: WithItsFields, given: tuple[Any, ...]) -> None:
        super().__init__()
        self.program = program
        self.num_sentences = next((len(v) for v in given if isinstance(v, Tensor) and v.dim()), 0)
        self.scaled: list[str] = []
        self.in_parts = False

    def _pyro_sample(self, msg: Any) -> None:
        if site_is_subsample(msg) or msg["infer"].get("_deterministic"):
            return
        if is_global(msg):
            self.scaled.append(msg["name"])
            msg["scale"] = msg["scale"] * self._share(msg["name"])
        self.in_parts |= any(
            f.name == DATA_PLATE and f.size != f.full_size for f in msg["cond_indep_stack"]
        )
        if self.scaled and self.in_parts:
            raise ValueError(
                f"latent site {self.scaled[0]!r} is outside the plate 'data', which is subsampled: "
                'write pyro.plate("data", n) for the n sentences of a batch, and it is scaled'
            )

    def _share(self, site: str) -> float:
        program = self.program
        if not program.takes_globals:
            raise ValueError(cannot_train(site, program.objective))
        if program.corpus_size is None:
            raise ValueError(size_not_known(site, program.objective))
        return self.num_sentences / program.corpus_size


def loss_module(
    objective: ELBO, model: nn.Module, guide: nn.Module, corpus_size: int | None = None
) -> nn.Module:
    """``objective(model, guide)``, for any ``pyro.infer.ELBO``: the loss of a batch, to be stepped.

    Called with the fields of a batch as keywords; each program receives those that its ``forward``
    names. Objectives of :mod:`pyro_textvae.infer` see to that themselves.

    >>> import torch
    >>> from pyro.infer import Trace_ELBO
    >>> from pyro_textvae.guides import EmptyGuide
    >>> from pyro_textvae.models import LanguageModel
    >>> from pyro_textvae.nn import LSTMDecoder
    >>> decoder = LSTMDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=5, latent_dim=0, max_length=6
    ... )
    >>> loss = loss_module(Trace_ELBO(), LanguageModel(decoder=decoder), EmptyGuide())
    >>> bool(loss(tokens=torch.tensor([[4, 2]]), labels=torch.tensor([1])) > 0)
    True

    :param corpus_size: the sentences that all batches are from, which a global latent needs; by
        default what the objective was told.
    """
    return objective(*programs_for(objective, model, guide, corpus_size))


def programs_for(
    objective: ELBO, model: nn.Module, guide: nn.Module, corpus_size: int | None = None
) -> tuple[nn.Module, nn.Module]:
    """Model and guide as ``objective`` may call them, both with the same keywords.

    :param corpus_size: as in :func:`loss_module`.
    """
    if isinstance(objective, PerDatumELBO):
        if corpus_size is not None:
            objective.corpus_size = corpus_size
        return model, guide
    name = type(objective).__name__
    takes_globals = isinstance(objective, _SUMS) and not isinstance(
        objective, TraceTailAdaptive_ELBO
    )
    both = (
        WithItsFields(program, name, corpus_size, takes_globals=takes_globals)
        for program in (model, guide)
    )
    return next(both), next(both)
