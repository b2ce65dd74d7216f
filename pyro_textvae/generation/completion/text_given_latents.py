# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The distribution of the text at the text site of a program, at given latents or at drawn ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

from pyro_textvae.contract import TEXT_SITE
from pyro_textvae.distributions import AutoregressiveCategorical
from pyro_textvae.distributions.unwrapped import unwrapped
from pyro_textvae.errors import UserError
from pyro_textvae.infer.batches import Fields, text_fields_of
from pyro_textvae.infer.plates import SitePlates
from pyro_textvae.infer.running import to_device
from pyro_textvae.infer.simulate import Condition, simulate
from pyro_textvae.infer.sites import random_sites
from pyro_textvae.infer.terms import by_datum
from pyro_textvae.special_tokens import EOS, PAD


@dataclass(frozen=True, eq=False)
class TextGivenLatents:
    """What a program makes of latents.

    text
        The distribution of the text, of batch shape ``(K,)``.
    latents
        Values by site, ``(K, *inner, *event)``.
    log_prior
        Log-density of each site, ``(K,)`` float64, nats.
    log_observed
        Of what is observed beside the text, such as a label, ``(K,)`` float64.
    """

    text: AutoregressiveCategorical
    latents: dict[str, Tensor]
    log_prior: dict[str, Tensor]
    log_observed: Tensor


def repeated(condition: Condition, size: int) -> Condition:
    """The condition of one sentence for as many."""
    if isinstance(condition, int):
        return size
    rows = {name: value[:1].expand(size, *value.shape[1:]) for name, value in condition.items()}
    return Fields(rows, text_fields_of(condition))


def text_given_latents(
    model: nn.Module, condition: Condition, size: int, latents: Mapping[str, Tensor]
) -> TextGivenLatents:
    """Run a program up to its text, with ``size`` values of its latents for one condition.

    :param latents: values ``(size, *event)`` by site; the others are drawn from the model.
    :raises UserError: where the text site is no :class:`AutoregressiveCategorical`, holds several
        texts of a datum, or has something observed after it.
    """
    rows = repeated(condition, size)
    rows = rows if isinstance(rows, int) else to_device(rows, model)
    with poutine.condition(data=dict(latents)), _WithoutText() as held:
        trace = simulate(model, rows)
    text = unwrapped(held.fn)
    if not isinstance(text, AutoregressiveCategorical):
        kind = "missing" if text is None else type(text).__name__
        raise UserError(
            f"a completion chooses words one by one, and the text site {TEXT_SITE!r} is {kind}, "
            "not AutoregressiveCategorical"
        )
    if text.batch_shape != (size,):
        raise UserError(
            "a completion is of one text for each datum, and the text site has shape "
            f"{tuple(text.batch_shape)} for {size}"
        )
    names = [name for name, _ in random_sites(trace)]
    trace.compute_log_prob(site_filter=lambda name, _: name != TEXT_SITE)
    values, log_prior = {}, {}
    log_observed = torch.zeros(size, dtype=torch.float64)
    for name, site in random_sites(trace):
        if name == TEXT_SITE:
            continue
        log_prob = by_datum(name, site, site["unscaled_log_prob"]).double().squeeze(0).expand(size)
        if name in held.observed:
            if names.index(name) > names.index(TEXT_SITE):
                raise UserError(
                    f"the site {name!r} is observed after the text, on which it may depend: a "
                    "completion cannot weigh it, so leave its field out"
                )
            log_observed = log_observed.to(log_prob.device) + log_prob
            continue
        values[name] = SitePlates.of(name, site).datum_first(site["value"], particles=False)
        log_prior[name] = log_prob
    device = next((value.device for value in log_prior.values()), text.device)
    return TextGivenLatents(text, values, log_prior, log_observed.to(device))


class _WithoutText(Messenger):
    """Takes the text's distribution as it comes by, and puts an empty sentence in the text's place.

    Sites are not told apart by ``is_observed`` afterwards, since a value that is given by
    ``poutine.condition`` counts as observed too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fn: Any = None
        self.observed: set[str] = set()

    def _pyro_sample(self, message: Any) -> None:
        if message["name"] == TEXT_SITE and not message["done"]:
            self.fn = message["fn"]
            if isinstance(unwrapped(self.fn), AutoregressiveCategorical):
                shape = self.fn.batch_shape + self.fn.event_shape
                empty = torch.full(shape, PAD, device=unwrapped(self.fn).device)
                empty[..., 0] = EOS
                message["value"], message["done"] = empty, True
        elif message["is_observed"]:
            self.observed.add(message["name"])
