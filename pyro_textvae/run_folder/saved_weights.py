# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Weights saved for a try, before they are trained: what no run can keep is refused by name."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_model
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.run_folder.files import named_failures

_REFUSED = "no run can keep these weights"
_COMPLEX = (
    "is complex: keep its real and imaginary part in one real tensor, and join them by "
    "torch.view_as_complex"
)


@contextmanager
def saved_weights(modules: nn.Module) -> Iterator[Path]:
    """A temporary file of the weights, as a run keeps them.

    >>> with saved_weights(nn.Linear(2, 1)) as path:
    ...     path.name
    'model.safetensors'

    :raises UserError: for weights that no run can keep, with the name of the first.
    """
    with tempfile.TemporaryDirectory(prefix="pyro-textvae-") as folder:
        path = Path(folder) / "model.safetensors"
        # Some releases of safetensors keep them, but no fused optimiser steps them.
        for name, parameter in modules.named_parameters():
            if parameter.dtype.is_complex:
                raise UserError(f"{_REFUSED}: {name} {_COMPLEX}")
        try:
            with named_failures(path):
                save_model(modules, str(path))
        except UserError:
            raise
        except Exception as error:
            reason = _obstacle(modules) or in_one_line(error)
            raise UserError(f"{_REFUSED}: {reason}") from error
        yield path


def check_savable(modules: nn.Module) -> None:
    """Refuse weights that no run can keep.

    :raises UserError: with the name of the first.
    """
    with saved_weights(modules):
        pass


def lazy_names(modules: nn.Module) -> list[str]:
    """Names of the parameters and buffers that have no shape before the first batch."""
    named = (*modules.named_parameters(), *modules.named_buffers())
    return [name for name, value in named if is_lazy(value)]


def _obstacle(modules: nn.Module) -> str | None:
    """What cannot be saved, and what to do about it; None where it is not known."""
    if lazy := lazy_names(modules):
        return f"{lazy[0]} has no shape yet: build its lazy module with its sizes"
    state: dict[str, Any] = modules.state_dict()
    sharing = defaultdict(list)
    for name, value in state.items():
        if not isinstance(value, Tensor):
            return (
                f"{name} is what get_extra_state gives, a {type(value).__name__}: keep it in "
                "buffers (register_buffer)"
            )
        if value.dtype.is_complex:
            return f"{name} {_COMPLEX}"
        if value.layout != torch.strided:
            return f"{name} is sparse: keep its values as a parameter, its places as a buffer"
        if value.numel():
            sharing[value.untyped_storage().data_ptr()].append(name)
    for names in sharing.values():
        if len(names) > 1:
            return (
                f"{' and '.join(names)} are views of one storage: make that a parameter, and take "
                "its parts where they are used"
            )
    return None
