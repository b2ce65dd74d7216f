# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where a decoding method takes the place of the draw at a program's text site."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from pyro.distributions import MaskedDistribution
from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyro_textvae.contract import TEXT_SITE
from pyro_textvae.distributions.unwrapped import unwrapped
from pyro_textvae.errors import UserError
from pyro_textvae.generation.constraints import Constraints
from pyro_textvae.generation.generated import Generated
from pyro_textvae.generation.method import DecodingMethod
from pyro_textvae.generation.stepwise import StepwiseText


class DecodingMessenger(Messenger):
    """Lets a method choose every token of the sentences that a program generates.

    Where the text is no :class:`~pyro_textvae.generation.StepwiseText`, a method that draws from
    the model itself leaves that to the text's own ``sample``; all others are refused.

    :ivar decoded: what the method made, by site: R sentences for each row, the best of which is the
        value of the site.
    """

    def __init__(self, method: DecodingMethod, constraints: Constraints) -> None:
        super().__init__()
        self.method = method
        self.constraints = constraints
        self.decoded: dict[str, Generated] = {}

    def _pyro_sample(self, message: Any) -> None:
        if message["done"]:
            return
        text = unwrapped(message["fn"])
        observed = message["is_observed"]
        if isinstance(text, StepwiseText) and not observed:
            decoded = self._decoded(text)
            self.decoded[message["name"]] = decoded
            message["value"] = decoded.tokens[0]
            message["done"] = True
            return
        wanted = self._wanted()
        if message["name"] == TEXT_SITE and wanted and not (observed and self.decoded):
            kind = type(text).__name__
            if observed:
                is_whole = isinstance(text, StepwiseText)
                kind = "drawn whole, given its source" if is_whole else "what the program computes"
            raise UserError(
                f"{wanted} chooses tokens one by one, and the text site {TEXT_SITE!r} is "
                f"{kind}, not AutoregressiveCategorical: use method='ancestral' "
                "and unknown=True"
            )

    def _decoded(self, text: Any) -> Generated:
        masks = self.constraints.keep_form
        if masks is None:
            return self.method.generate(text, self.constraints)
        decoded = self.method.generate(masks(text), self.constraints)
        # The method scores under the masks; the log-probability is the model's own.
        with torch.no_grad():
            return replace(decoded, log_prob=text.log_prob(decoded.tokens))

    def _wanted(self) -> str:
        """What needs the probabilities of the next token."""
        constraints = ["unknown=False" if n == "unknown" else n for n in self.constraints.names]
        kind = "" if self.method.is_the_models_own else type(self.method).__name__
        return constraints[0] if constraints else kind

    def result(self, site: Any, *, is_given: bool = False) -> Generated:
        """The sentences of the text site, R for each row; of one that the program drew, that one.

        :param site: of the trace, with its value.
        :param is_given: whether the value was drawn before the program ran.
        """
        if site["name"] in self.decoded:
            return self.decoded[site["name"]]
        value: Tensor = site["value"].unsqueeze(0)
        text = site["fn"]
        while isinstance(text, MaskedDistribution):
            text = text.base_dist
        if site["is_observed"] and self.decoded:
            # Put together of sentences that were decoded one after another.
            log_prob = torch.cat([each.log_prob[:1] for each in self.decoded.values()], -1)
            score = torch.cat([each.score[:1] for each in self.decoded.values()], -1)
            return Generated(value, log_prob, score)
        if site["is_observed"] and not is_given:
            # A computed text has a distribution that puts all on its value, which says nothing.
            batch_shape = value.shape[: value.dim() - text.event_dim]
            log_prob = torch.full(batch_shape, torch.nan, device=value.device)
        else:
            log_prob = text.log_prob(site["value"]).unsqueeze(0)
        return Generated(value, log_prob, log_prob)
