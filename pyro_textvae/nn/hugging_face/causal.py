# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A pre-trained causal language model, run on vectors after keys and values of anybody's making."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyro_textvae.data.hugging_face import ModelFolder
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.nn.hugging_face.loading import load_causal, quietly
from pyro_textvae.nn.hugging_face.pretrained import Adapters, Pretrained
from pyro_textvae.nn.transformer_block import KeysAndValues

Past = tuple[KeysAndValues, ...]
"""The keys and values of every layer, each ``(N, heads, places, width)``."""

_PROBE = ((0, 1, 2), (0, 1, 3))


class CausalNetwork(Pretrained):
    """The causal language model of a folder.

    :param folder: in Hugging Face's layout.
    :param fine_tuning: see :class:`Pretrained`.
    :raises UserError: for a model that looks ahead, that keeps other things than keys and values of
        the places before, or whose scores are no linear function of its last states.
    """

    def __init__(self, folder: ModelFolder, fine_tuning: str, adapters: Adapters) -> None:
        super().__init__(load_causal(folder), folder, fine_tuning, adapters)
        self._body: tuple[Any] = (self._causal.base_model,)
        taken = inspect.signature(self._body[0].forward).parameters
        # Version 5 of transformers has had both names.
        self._cache_name = "cache" if "cache" in taken else "past_key_values"
        self._takes_positions = "position_ids" in taken
        try:
            self._probe()
        except UserError:
            raise
        except Exception as error:
            raise _unusable(
                folder, f"it cannot be run on vectors ({in_one_line(error)})"
            ) from error

    @property
    def _causal(self) -> Any:
        return self.network

    def embed(self, ids: Tensor) -> Tensor:
        """The vectors of its own ids."""
        return self._causal.get_input_embeddings()(ids)

    def most_places(self, num_slots: int) -> int | None:
        """The longest text that it has positions for, and whose end sees what is before its start.

        :param num_slots: places before the text that have no position.
        :returns: None for no limit.
        """
        config = self._causal.config
        positions = getattr(config, "max_position_embeddings", None)
        window = getattr(config, "sliding_window", None)
        limits = [positions] if isinstance(positions, int) else []
        if isinstance(window, int) and getattr(config, "use_sliding_window", True):
            limits.append(window - num_slots)
        return min(limits, default=None)

    def run(
        self,
        inputs: Tensor,
        past: Past | None = None,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        keep: bool = False,
    ) -> tuple[Tensor, Past]:
        """The last layer's states of vectors, each of which sees the past and those before it.

        :param inputs: ``(N, T, E)``.
        :param past: keys and values of P places; by default none.
        :param positions: of the inputs, ``(N or 1, T)``.
        :param mask: true at the places that are seen, ``(N, P + T)``; by default all.
        :param keep: return the keys and values of all places too.
        :returns: states ``(N, T, H)``, and keys and values of the P + T places, or none.
        """
        further: dict[str, Any] = {}
        cache = None
        if keep or past is not None:
            cache = further[self._cache_name] = _cache_of(past or ())
        if positions is not None and self._takes_positions:
            further["position_ids"] = positions
        if mask is not None:
            further["attention_mask"] = mask.long()
        outputs = self._body[0](inputs_embeds=inputs, use_cache=cache is not None, **further)
        kept = tuple((layer.keys, layer.values) for layer in cache.layers) if cache else ()
        return outputs.last_hidden_state, kept

    def _probe(self) -> None:
        """Run it on three words, and see what it is made of."""
        with torch.no_grad(), quietly():
            inputs = self.embed(torch.tensor(_PROBE))
            positions = torch.arange(inputs.shape[1]).unsqueeze(0)
            hidden, past = self.run(inputs, positions=positions, keep=True)
            logits = self._causal(inputs_embeds=inputs, use_cache=False).logits
        head = self._causal.get_output_embeddings()
        if not torch.allclose(hidden[0, :2], hidden[1, :2], atol=1e-4):
            raise _unusable(self.folder, "a word in it sees the words after it")
        if type(head) is not nn.Linear:
            raise _unusable(self.folder, "its output layer is no linear map without adapters")
        rounding = 1e-5 * float(logits.abs().max())
        linear = F.linear(hidden, head.weight, head.bias)
        capped = getattr(self._causal.config, "final_logit_softcapping", None)
        if capped or not torch.allclose(linear, logits, rtol=1e-5, atol=rounding):
            raise _unusable(self.folder, "its scores are no linear map of its last states")
        if len(past) == 0 or any(not isinstance(each, Tensor) for pair in past for each in pair):
            raise _unusable(self.folder, "it keeps other things than keys and values")
        self.width, self.state_dim = inputs.shape[-1], hidden.shape[-1]
        self.cache_shapes: list[tuple[int, int]] = [
            (each.shape[1], each.shape[3]) for pair in past for each in pair
        ]


def as_past(parts: Sequence[Tensor]) -> Past:
    """Keys and values, one after the other for each layer, as pairs."""
    return tuple(zip(parts[::2], parts[1::2], strict=True))


def _cache_of(past: Past) -> Any:
    from transformers import DynamicCache

    cache = DynamicCache()
    for place, (keys, values) in enumerate(past):
        # Put in as they are: an update would make a copy of them, a second one at every word.
        cache.update(keys[..., :0, :], values[..., :0, :], place)
        layer: Any = cache.layers[place]
        layer.keys, layer.values = keys, values
    return cache


def _unusable(folder: ModelFolder, reason: str) -> UserError:
    return UserError(f"{folder} cannot be a decoder: {reason}; give --decoder another model")
