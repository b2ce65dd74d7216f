# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the engine has to know of Pyro's autoguides."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from pyro.infer.autoguide import AutoCallable, AutoGuide, AutoGuideList
from pyro.infer.autoguide.effect import AutoMessenger
from torch import nn

from pyro_textvae.contract import DATA_PLATE

OF_ONE = "autoguide_of_one"
"""The attribute of a guide of sentences with the autoguide that is given their rows."""


def without_handlers(program: Any) -> Any:
    """The program inside of Pyro's effect handlers."""
    # They wrap it in a subclass of partial, with the handler and the program as arguments of what
    # it calls.
    while isinstance(program, partial) and type(program) is not partial:
        program = program.func.args[1]  # type: ignore[attr-defined]
    return program


def model_of_autoguide(guide: Any) -> Any:
    """The model that an autoguide was made of, whose fields it takes; None for another program."""
    is_autoguide = isinstance(guide, AutoGuide | AutoMessenger) and guide._model is not None
    return guide.model if is_autoguide or hasattr(type(guide), OF_ONE) else None


def latents_of_autoguides(guide: Any) -> dict[str, Any]:
    """The distributions in the model of the latents that autoguides inside ``guide`` have."""
    return {
        name: site["fn"]
        for part in (getattr(each, OF_ONE, each) for each in _parts(guide))
        if isinstance(part, AutoGuide) and part.prototype_trace is not None
        for name, site in part.prototype_trace.iter_stochastic_nodes()
    }


def check_autoguide(guide: Any) -> None:
    """Refuse an autoguide that has a posterior for each place in a batch.

    Batches of one size would pass, each with posteriors that were fitted to the one before.

    :raises ValueError: with its name and what to write in its place.
    """
    for part in _parts(guide):
        local = _latents_by_place(part)
        if local:
            name = type(part).__name__
            raise ValueError(
                f"{name} has a posterior of latent site {local[0]!r} for each place in a batch, "
                "and another sentence stands there in the next batch: write "
                f"SentenceAutoGuide(model, {name}, sentences) of pyro_textvae.infer for a "
                "posterior of each sentence, or a guide that reads the sentence, such as "
                "GaussianGuide"
            )


def _latents_by_place(guide: Any) -> list[str]:
    if isinstance(guide, AutoMessenger):
        if DATA_PLATE in guide.amortized_plates:
            return []
        nodes: dict[str, Any] = dict(guide.trace.nodes)
        sites = [
            (name, site)
            for name, site in nodes.items()
            if site["type"] == "sample" and "prior" in site["infer"]
        ]
    elif not isinstance(guide, AutoGuide) or guide.prototype_trace is None:
        return []
    elif isinstance(guide, AutoCallable | AutoGuideList):
        return []
    else:
        sites = list(guide.prototype_trace.iter_stochastic_nodes())
    return [
        name
        for name, site in sites
        if any(frame.name == DATA_PLATE for frame in site["cond_indep_stack"])
    ]


def _parts(guide: Any) -> Iterator[Any]:
    guide = without_handlers(guide)
    return guide.modules() if isinstance(guide, nn.Module) else iter(())
