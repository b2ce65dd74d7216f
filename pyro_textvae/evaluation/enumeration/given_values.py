# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Programs whose discrete sites have the values that the batch says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

from pyro_textvae.contract import DATA_PLATE
from pyro_textvae.evaluation.enumeration.summed_sites import SummedSite
from pyro_textvae.infer.plates import frames_in_data
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import SUMMED_OUT


class GivenValues(nn.Module):
    """A model whose summed sites are observed, or a guide that does not draw them.

    Called with a batch of rows, each a sentence with a value of every site, see
    :class:`~pyro_textvae.evaluation.enumeration.value_rows.ValueRows`.

    :param is_guide: whether the sites are as good as gone: no density of theirs counts.
    """

    def __init__(
        self, program: nn.Module, sites: Sequence[SummedSite], *, is_guide: bool = False
    ) -> None:
        super().__init__()
        self.program = program
        self.sites = tuple(sites)
        self.is_guide = is_guide

    def forward(self, **fields: Tensor) -> Any:
        """Run the program on a batch of rows."""
        values: dict[str, Tensor] = {}
        for site in self.sites:
            value = fields.pop(site.row_field)
            values |= dict.fromkeys(site.names, value)
        with _Given(values, is_guide=self.is_guide):
            return self.program(**fields_of(self.program, fields))

    def nodes(self, trace: Any, site: SummedSite | None = None) -> list[Any]:
        """What a trace of this program has of a summed site, or of all."""
        sites = self.sites if site is None else (site,)
        names = (name for each in sites for name in each.names if name in trace.nodes)
        return [trace.nodes[name] for name in names if trace.nodes[name]["infer"].get(SUMMED_OUT)]


class _Given(Messenger):
    def __init__(self, values: Mapping[str, Tensor], *, is_guide: bool) -> None:
        super().__init__()
        self.values = values
        self.is_guide = is_guide

    def _pyro_sample(self, msg: Any) -> None:
        name = msg["name"]
        if name not in self.values or msg["infer"].get("_deterministic"):
            return
        value = self.values[name]
        to_the_right = -frames_in_data(name, msg)[DATA_PLATE].dim - 1
        msg["value"] = value.reshape(len(value), *[1] * to_the_right, *value.shape[1:])
        msg["is_observed"] = True
        infer = {key: mark for key, mark in msg["infer"].items() if key != "enumerate"}
        msg["infer"] = {**infer, SUMMED_OUT: True}
        if self.is_guide:
            msg["infer"]["_deterministic"] = True

    def _pyro_post_sample(self, msg: Any) -> None:
        if msg["infer"].get(SUMMED_OUT):
            # The program gets what a draw would be, with the particles of the plates around it.
            shape = msg["fn"].batch_shape + msg["fn"].event_shape
            msg["value"] = msg["value"].expand(shape)
