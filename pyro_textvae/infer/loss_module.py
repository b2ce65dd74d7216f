# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Any ELBO over a pair whose programs take different fields of a batch, as one module."""

from __future__ import annotations

from typing import Any

from pyro.infer import ELBO
from torch import nn

from pyro_textvae.infer.per_datum import PerDatumELBO
from pyro_textvae.infer.simulate import fields_of


class WithItsFields(nn.Module):
    """A program that is called with a whole batch, and takes the fields that it names.

    Pyro's own objectives hand the same keywords to model and guide.
    """

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, *args: Any, **fields: Any) -> Any:
        """Call the program; with positional arguments, with all that is given."""
        return self.program(*args, **(fields if args else fields_of(self.program, fields)))


def loss_module(objective: ELBO, model: nn.Module, guide: nn.Module) -> nn.Module:
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
    """
    return objective(*programs_for(objective, model, guide))


def programs_for(
    objective: ELBO, model: nn.Module, guide: nn.Module
) -> tuple[nn.Module, nn.Module]:
    """Model and guide as ``objective`` may call them, both with the same keywords."""
    if isinstance(objective, PerDatumELBO):
        return model, guide
    return WithItsFields(model), WithItsFields(guide)
