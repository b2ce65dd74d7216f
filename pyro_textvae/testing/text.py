# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Text of a model's own, with the latents that it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from pyro import poutine
from torch import Tensor, nn

from pyro_textvae.contract import TOKENS
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.batches import Fields
from pyro_textvae.infer.given_globals import given_globals
from pyro_textvae.infer.global_latents import global_sites, is_global
from pyro_textvae.infer.plates import Plates
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import latent_sites, text_sites
from pyro_textvae.special_tokens import PAD

MOST_ROOM = 2
"""By how much text is padded, where its distribution lets it."""


@dataclass(frozen=True)
class Text:
    """Text of a model's own, with the latents that it came from.

    fields
        The batch of it, with the condition that it was generated on.
    latents
        Their values, ``(N, *inner, *event)``.
    plates
        Those of the program that drew them.
    room
        By how much the text may be padded.
    shared
        The values of global latents, as the program has them.
    sites
        The sites that a program has on all of it.
    """

    fields: Fields
    latents: dict[str, Tensor]
    plates: Plates
    room: int
    shared: dict[str, Tensor]
    sites: frozenset[str] | None = None

    @property
    def tokens(self) -> Tensor:
        return self.fields[TOKENS]

    @property
    def size(self) -> int:
        return len(self.tokens)

    def with_latents_of(self, trace: poutine.Trace) -> Text:
        """The same with other draws of the latents."""
        of_text = text_sites(trace)
        latents = {
            name: self.plates.sites[name].datum_first(site["value"].detach(), particles=False)
            for name, site in latent_sites(trace)
            if name not in of_text and not is_global(site)
        }
        shared = {name: site["value"].detach() for name, site in global_sites(trace)}
        return replace(self, latents=latents, shared=shared)

    def in_program(self) -> dict[str, Tensor]:
        """The latents as the program has them."""
        return {
            name: self.plates.sites[name].as_in_program(z, self.plates.nesting, particles=False)
            for name, z in self.latents.items()
        }

    def with_fields(self, **fields: Tensor) -> Text:
        return replace(self, fields=Fields(self.fields | fields, self.fields.text_fields))

    def row(self, i: int) -> Text:
        """One of the sentences."""
        latents = {name: z[i : i + 1] for name, z in self.latents.items()}
        text = self.with_fields(**{name: v[i : i + 1] for name, v in self.fields.items()})
        return replace(text, latents=latents)

    def without_padding(self) -> Text:
        """One sentence in a batch no wider than it is, in all fields of text."""
        narrower = {
            name: value[..., : max(1, int((value != PAD).flatten(0, -2).any(0).sum()))]
            for name, value in self.fields.items()
            if name in self.fields.text_fields
        }
        return self.with_fields(**narrower)

    def cast(self, dtype: torch.dtype) -> Text:
        """With latents and other floating-point numbers in another precision."""
        text = self.with_fields(**cast(self.fields, dtype))
        return replace(text, latents=cast(self.latents, dtype), shared=cast(self.shared, dtype))


def run_program(program: nn.Module, fields: Mapping[str, Tensor]) -> poutine.Trace:
    """The trace of a program on those of the fields that it names."""
    return poutine.trace(program).get_trace(**fields_of(program, fields))


def padded_text(program: nn.Module, text: Text) -> Text:
    """The same with more padding in all fields of text: of rows, and of the rows of a datum."""
    wider = {
        name: with_padding(value, text.room if name == TOKENS else MOST_ROOM)
        for name, value in text.fields.items()
        if name in text.fields.text_fields
    }
    padded = text.with_fields(**wider)
    if text.tokens.dim() == 2:
        return padded
    with torch.no_grad(), given_globals([program], text.shared):
        trace = trace_guide(program, **fields_of(program, padded.fields))
        drawn = padded.with_latents_of(trace).latents
    # What the text says of itself, such as its number of sentences, was a latent without it.
    latents = {
        name: _with_last_repeated(z, drawn[name].shape)
        for name, z in text.latents.items()
        if name in drawn
    }
    return replace(padded, latents=latents)


def with_padding(ids: Tensor, room: int) -> Tensor:
    """Ids with more places of padding on the right."""
    between = [0, 1] * (ids.dim() - 2)
    return torch.nn.functional.pad(ids, (0, room, *between), value=PAD)


def _with_last_repeated(z: Tensor, shape: torch.Size) -> Tensor:
    """Whatever a program has for a row of padding, it is in the support of the latent."""
    for dim, size in enumerate(shape):
        z = z.index_select(dim, torch.arange(size).clamp(max=z.shape[dim] - 1))
    return z


def cast(values: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Floating-point numbers in another precision, whatever else as it is."""
    return {name: z.to(dtype) if z.is_floating_point() else z for name, z in values.items()}
