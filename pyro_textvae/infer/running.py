# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What every evaluation does with its modules and batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from torch import Tensor, nn

from pyro_textvae.config.checks import SEED, check_argument
from pyro_textvae.errors import UserError
from pyro_textvae.infer.batches import Fields, check_batch, text_fields_of
from pyro_textvae.infer.isolation import isolated
from pyro_textvae.shared_batch import sharing


@contextmanager
def evaluation_mode(model: nn.Module, guide: nn.Module, seed: int) -> Iterator[None]:
    """No dropout, no gradients, no autocast, no TF32, random numbers from ``seed``.

    All is undone afterwards, in Pyro's parameter store too; see :func:`isolated`.

    :raises UserError: for what is no seed.
    """
    seed = check_argument("seed", seed, int, SEED)
    with isolated(model, guide), same_random_state():
        training = [(m, m.training) for root in (model, guide) for m in root.modules()]
        try:
            model.eval()
            guide.eval()
            pyro.set_rng_seed(seed)
            with (
                torch.no_grad(),
                torch.autocast(device_of(model).type, enabled=False),
                _without_tf32(),
            ):
                yield
        finally:
            for module, was_training in training:
                module.training = was_training


@contextmanager
def same_random_state() -> Iterator[None]:
    """All random generators are afterwards as they were before."""
    state = pyro.util.get_rng_state()
    cuda_states = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        # What is drawn is thrown away, so that it need not be what other processes draw.
        with sharing(None):
            yield
    finally:
        pyro.util.set_rng_state(state)
        if cuda_states:
            torch.cuda.set_rng_state_all(cuda_states)


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Matrix products and recurrent networks in full float32 on the GPU."""
    backends: Any = torch.backends
    name: str
    off: str | bool
    # PyTorch 2.9 gave the settings other names, and asking for the older ones may raise there.
    if hasattr(backends.cuda.matmul, "fp32_precision"):
        name, off = "fp32_precision", "ieee"
        kernels = [backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn]
    else:
        name, off = "allow_tf32", False
        kernels = [backends.cuda.matmul, backends.cudnn]
    before = [getattr(kernel, name) for kernel in kernels]
    try:
        for kernel in kernels:
            setattr(kernel, name, off)
        yield
    finally:
        for kernel, value in zip(kernels, before, strict=True):
            setattr(kernel, name, value)


def seed_generator(seed: int, device: torch.device) -> None:
    """Seed the global generator of one device, with the same draws as ``torch.manual_seed``.

    That one seeds those of all devices, and on a machine without any but its processor writes down
    who asked for it, which takes longer than to draw a sentence's latents.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def device_of(module: nn.Module) -> torch.device:
    """The device of a module's first parameter or buffer."""
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")


def to_device(batch: Mapping[str, Tensor], module: nn.Module) -> Fields:
    """The batch on the device of the module.

    :raises UserError: for what is no batch.
    """
    check_batch(batch)
    device = device_of(module)
    return Fields({n: value.to(device) for n, value in batch.items()}, text_fields_of(batch))


def find_device(name: str | torch.device) -> torch.device:
    """The device with this name; ``auto`` is a GPU if there is one.

    :raises UserError: when it does not exist here.
    """
    name = check_argument("device", name, str)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError(f"nothing is tested on {device.type}")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        have = ", ".join(["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))])
        raise UserError(f"device {name!r} does not exist here: one of auto, {have}") from error
    return device


def require_gradients() -> None:
    """Refuse to train where gradients are turned off.

    :raises UserError: under ``torch.no_grad()`` or ``torch.inference_mode()``.
    """
    if not torch.is_grad_enabled():
        raise UserError(
            "training takes gradients, which are turned off here: call it outside of "
            "torch.no_grad() and torch.inference_mode()"
        )
