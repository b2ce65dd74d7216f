# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A pre-trained network inside of a program: trained, frozen, or with adapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from pyro_textvae.data.hugging_face import ModelFolder
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.nn.checks import check_rates, check_sizes
from pyro_textvae.nn.hugging_face.loading import quietly

FineTuning = Literal["full", "lora", "none"]
_FINE_TUNINGS = ("full", "lora", "none")


@dataclass(frozen=True)
class Adapters:
    """Low-rank adapters of linear layers, as ``peft`` builds them.

    Source: Hu et al. (2022), LoRA, https://arxiv.org/abs/2106.09685.

    :param rank: of the product that is added to a weight.
    :param alpha: the product is multiplied by ``alpha / rank``.
    :param dropout: rate on the input of an adapter.
    :param targets: ends of the names of the layers; None for what ``peft`` knows of the
        architecture.
    """

    rank: int
    alpha: int
    dropout: float
    targets: Sequence[str] | None


class Pretrained(nn.Module):
    """A network of ``transformers``, some of whose weights may be constants.

    Constants are in no ``state_dict``: what they are is in the folder that the network was built
    from, of which a run keeps a copy. A network that is not trained at all stays in evaluation
    mode, so that dropout does not reach it.

    :param fine_tuning: ``full`` trains all of it, ``lora`` adapters alone, ``none`` nothing.
    :raises UserError: for adapters that match no layer, or where ``peft`` is not installed.
    """

    def __init__(
        self, network: nn.Module, folder: ModelFolder, fine_tuning: str, adapters: Adapters
    ) -> None:
        if fine_tuning not in _FINE_TUNINGS:
            raise UserError(
                f"fine_tuning must be one of {', '.join(_FINE_TUNINGS)}, got {fine_tuning!r}"
            )
        super().__init__()
        self.network = network
        self.folder = folder
        self.fine_tuning = fine_tuning
        if fine_tuning != "full":
            network.requires_grad_(False)
        if fine_tuning == "lora":
            _add_adapters(network, folder, adapters)
        kept: dict[str, Tensor] = super().state_dict(keep_vars=True)
        self._constants = tuple(
            name
            for name, value in kept.items()
            if isinstance(value, nn.Parameter) and not value.requires_grad
        )

    def train(self, mode: bool = True) -> Pretrained:
        """Training mode for what is trained."""
        super().train(mode)
        if self.fine_tuning == "none":
            self.network.eval()
        return self

    def state_dict(self, *args: Any, prefix: str = "", **kwargs: Any) -> Any:
        """All but the constants."""
        state = super().state_dict(*args, prefix=prefix, **kwargs)
        for name in self._constants:
            state.pop(prefix + name, None)
        return state

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        present: dict[str, Tensor] = super().state_dict(keep_vars=True)
        for name in self._constants:
            state_dict.setdefault(prefix + name, present[name].detach())
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _add_adapters(network: nn.Module, folder: ModelFolder, adapters: Adapters) -> None:
    check_sizes(lora_rank=adapters.rank)
    check_rates(lora_dropout=adapters.dropout)
    try:
        import peft
    except ImportError as error:
        raise UserError(
            f"adapters for {folder} need peft, which is not installed ({error}): "
            "pip install 'pyro-textvae[hf]'"
        ) from None
    settings = peft.LoraConfig(
        r=adapters.rank,
        lora_alpha=adapters.alpha,
        lora_dropout=adapters.dropout,
        target_modules=None if adapters.targets is None else list(adapters.targets),
    )
    before = sum(1 for _ in network.parameters())
    try:
        with quietly():
            peft.inject_adapter_in_model(settings, network)
        if sum(1 for _ in network.parameters()) == before:
            raise ValueError("no layer matches")
    except ValueError as error:
        layers = sorted({n.rpartition(".")[2] for n, m in network.named_modules() if _is_linear(m)})
        raise UserError(
            f"the adapters match no layer of {folder} ({in_one_line(error)}): give lora_targets of "
            f"{', '.join(layers)}"
        ) from error


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
