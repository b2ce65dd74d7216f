# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whether the pair that a run would be loaded as is the pair that it is saved from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyro
import torch
from pyro import poutine
from safetensors.torch import load_model
from torch import Tensor, nn

from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.infer.running import device_of, evaluation_mode, same_random_state, to_device
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import random_sites
from pyro_textvae.run_folder.saved_weights import lazy_names, saved_weights
from pyro_textvae.runs.build import Pair

_SEED = 20_261_129
# Float32 on one machine: another kernel may round otherwise, another model is far away.
_TOLERANCE = 1e-4


def check_rebuilt(pair: Pair, rebuild: Callable[[], Pair], batch: Mapping[str, Tensor]) -> None:
    """Save the weights, load them into a pair that is built anew, and compare both on a batch.

    No random number is used up, and no file is left.

    :param rebuild: builds the pair as loading its run will.
    :raises UserError: for weights that cannot be saved or not be loaded, and where the pair that
        is loaded gives the batch another density.
    """
    with same_random_state(), saved_weights(pair.modules) as weights:
        # Of other initial weights, and of whatever else is drawn when a pair is built.
        pyro.set_rng_seed(_SEED)
        rebuilt = rebuild()
        _check_precision(pair.modules, rebuilt.modules)
        if problem := _problem_of_loading(rebuilt.modules, str(weights)):
            raise UserError(f"a run of this pair would be saved but could not be loaded: {problem}")
        rebuilt.modules.to(device_of(pair.modules))
        saved, loaded = _densities(pair, batch), _densities(rebuilt, batch)
        for name in sorted({*saved, *loaded}):
            if not _is_close(saved.get(name), loaded.get(name)):
                raise UserError(
                    f"a run of this pair would be loaded as another pair: log p at {name} is "
                    f"{_total(saved.get(name))} now and {_total(loaded.get(name))} then; keep what "
                    "__init__ draws as a parameter or buffer, and let it depend on its arguments "
                    "alone"
                )


def _check_precision(saved: nn.Module, rebuilt: nn.Module) -> None:
    would_be = dict(rebuilt.named_parameters())
    for name, parameter in saved.named_parameters():
        if name in would_be and would_be[name].dtype != parameter.dtype:
            now, then = (str(p.dtype).removeprefix("torch.") for p in (parameter, would_be[name]))
            raise UserError(
                f"{name} is {now} and would be {then}: call .float() of model and guide first, or "
                "make it so in __init__"
            )


def _problem_of_loading(modules: nn.Module, weights: str) -> str | None:
    if lazy := lazy_names(modules):
        return f"{lazy[0]} has no shape before the first batch: give its lazy module its sizes"
    try:
        missing, unexpected = load_model(modules, weights, strict=False)
    except Exception as error:
        return in_one_line(error)
    if unexpected:
        return (
            f"{sorted(unexpected)[0]} is not there when the pair is built anew: make every "
            "parameter, buffer and module in __init__"
        )
    if missing:
        return f"{sorted(missing)[0]} was not there when the weights were saved"
    return None


def _is_close(saved: Tensor | None, loaded: Tensor | None) -> bool:
    if saved is None or loaded is None or saved.shape != loaded.shape:
        return False
    return torch.allclose(saved, loaded, _TOLERANCE, _TOLERANCE, equal_nan=True)


def _total(log_prob: Tensor | None) -> str:
    return "not there" if log_prob is None else f"{float(log_prob.sum()):.6g}"


def _densities(pair: Pair, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The log-probability at every site, guide and model, of the same draws."""
    fields = to_device(batch, pair.modules)
    with evaluation_mode(pair.model, pair.guide, seed=0):
        guide = poutine.trace(pair.guide).get_trace(**fields_of(pair.guide, fields))
        replayed = poutine.replay(pair.model, trace=guide)
        model = poutine.trace(replayed).get_trace(**fields_of(pair.model, fields))
        densities = {}
        for program, trace in (("guide", guide), ("model", model)):
            trace.compute_log_prob()
            for name, site in random_sites(trace):
                densities[f"{name!r} of the {program}"] = site["log_prob"]
    return densities
