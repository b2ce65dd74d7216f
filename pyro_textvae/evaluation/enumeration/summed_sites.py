# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Which discrete sites of a pair of programs are summed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from pyro import poutine
from torch import Tensor, nn

from pyro_textvae.contract import TOKENS
from pyro_textvae.evaluation.enumeration.integrated_model import IntegratedModel
from pyro_textvae.infer.autoguides import OF_ONE
from pyro_textvae.infer.auxiliary_sites import trace_guide
from pyro_textvae.infer.batches import text_fields_of
from pyro_textvae.infer.enumeration import MAX_COMBINATIONS
from pyro_textvae.infer.enumeration.marks import is_marked
from pyro_textvae.infer.plates import SitePlates
from pyro_textvae.infer.running import evaluation_mode, to_device
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import latent_sites, observed_beside_text, random_sites

MOST_VALUES = MAX_COMBINATIONS
"""Values that all sites together may have: every sentence is scored under each."""

_OBSERVED, _UNOBSERVED = "_observed", "_unobserved"


@dataclass(frozen=True)
class SummedSites:
    """What a pair of programs has summed out.

    sites
        Those of which each value makes a row of a sentence.
    integrated
        Names of the latents of the model alone, which are summed out of its density.

    Notes
    -----
        What has to be said of others.

    """

    sites: tuple[SummedSite, ...]
    integrated: frozenset[str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SummedSite:
    """A discrete site, one value a sentence, that is summed over.

    name
        Of the site; without the ends that Pyro's ``obs_mask`` gives to its two halves.
    names
        What the site, or a half of it, may be called in a trace.
    values
        All that it can have, ``(C, *event)``.
    field
        The field of a batch that holds its value where that is given; None for a latent.
    """

    name: str
    names: tuple[str, ...]
    values: Tensor
    field: str | None = None

    @property
    def row_field(self) -> str:
        """The field of a batch of rows that holds the value of each; no program can name it."""
        return f"value of {self.name}"


def find_summed_sites(
    model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor], seed: int, *, labels: bool
) -> SummedSites:
    """The sites that are summed over.

    They are the latents that the guide marks ``infer={"enumerate": "parallel"}``, or the model
    where the guide has them not, and the sites beside the text that the model observes at a field
    of the batch, such as a label.

    :param batch: any, for the structure of the programs.
    :param labels: whether to sum over observed sites too.
    :raises ValueError: for a mark at a site whose values cannot be listed, and for sites of more
        than :data:`MOST_VALUES` values together.
    """
    batch = to_device(batch, model)
    with evaluation_mode(model, guide, seed):
        guide_trace = trace_guide(guide, **fields_of(guide, batch))
        replayed = poutine.replay(model, guide_trace)
        model_trace = poutine.trace(replayed).get_trace(**fields_of(model, batch))
        of_model = dict(random_sites(model_trace))
        found: dict[str, SummedSite] = {}
        notes = []
        # A guide that looks a sentence up has its posterior with the label that it came with.
        labels = labels and not any(hasattr(type(part), OF_ONE) for part in guide.modules())
        for name, site in latent_sites(guide_trace):
            if not is_marked(site) or name not in of_model:
                continue
            if SitePlates.of(name, site).inner:
                notes.append(
                    f"latent site {name!r} is in a plate inside 'data' and has a value for each of "
                    "its places: it is drawn, and not summed out"
                )
                continue
            values = _values(of_model[name])
            if values is None:
                raise ValueError(
                    f"latent site {name!r} is marked enumerate, and the values of its distribution "
                    f"cannot be listed: leave the mark out, so that it is drawn"
                )
            found[_base(name)] = SummedSite(_base(name), (name,), values)
        _check_count(list(found.values()))
        for name in observed_beside_text(model_trace, batch[TOKENS]) if labels else ():
            values = _values(of_model[name])
            if values is None or SitePlates.of(name, of_model[name]).inner:
                continue
            base = _base(name)
            site = SummedSite(base, (base, f"{base}{_OBSERVED}", f"{base}{_UNOBSERVED}"), values)
            field = _field(model, batch, site)
            if field is None:
                continue
            wanted = {**found, base: replace(site, field=field)}
            count = prod(len(each.values) for each in wanted.values())
            if count > MOST_VALUES:
                notes.append(
                    f"{base!r} is not summed out, for every sentence would be scored under "
                    f"{count} values, and {MOST_VALUES} are the most"
                )
                continue
            found = wanted
        in_rows = {name for site in found.values() for name in site.names}
        in_guide = {name for name, _ in random_sites(guide_trace)}
        integrated = frozenset(
            name
            for name, site in latent_sites(model_trace)
            if name not in in_rows | in_guide and is_marked(site)
        )
    return SummedSites(tuple(found.values()), integrated, tuple(notes))


def integrated(
    model: nn.Module, guide: nn.Module, batch: Mapping[str, Tensor] | None, seed: int
) -> nn.Module:
    """The model with the latents that it alone has, and marks, summed out; itself without any."""
    if batch is None:
        return model
    names = find_summed_sites(model, guide, batch, seed, labels=False).integrated
    return IntegratedModel(model, names) if names else model


def _values(site: Any) -> Tensor | None:
    """All values of a site, ``(C, *event)``; None where they cannot be listed."""
    fn = site["fn"]
    if not fn.has_enumerate_support:
        return None
    try:
        values: Tensor = fn.enumerate_support(expand=False)
    except NotImplementedError:
        return None
    return values.reshape(-1, *fn.event_shape)


def _check_count(sites: Sequence[SummedSite]) -> None:
    count = prod(len(site.values) for site in sites)
    if count > MOST_VALUES:
        names = ", ".join(repr(site.name) for site in sites)
        raise ValueError(
            f"{names} marked enumerate would have every sentence scored under {count} values, and "
            f"{MOST_VALUES} are the most: leave the mark out, so that they are drawn"
        )


def _base(name: str) -> str:
    return name.removesuffix(_UNOBSERVED).removesuffix(_OBSERVED)


def _field(model: nn.Module, batch: Mapping[str, Tensor], site: SummedSite) -> str | None:
    """The field whose value the site is observed at; found by changing it."""
    for field, given in batch.items():
        if field in text_fields_of(batch) or given.shape[1:] != site.values.shape[1:]:
            continue
        if all(_follows(model, batch, field, site, value) for value in site.values[[0, -1]]):
            return field
    return None


def _follows(
    model: nn.Module, batch: Mapping[str, Tensor], field: str, site: SummedSite, value: Tensor
) -> bool:
    given = value.to(batch[field].dtype).expand_as(batch[field])
    fields = fields_of(model, {**batch, field: given})
    nodes: Any = poutine.trace(model).get_trace(**fields).nodes
    observed = [nodes[name] for name in site.names if name in nodes and nodes[name]["is_observed"]]
    return any(bool((node["value"] == value).all()) for node in observed)
