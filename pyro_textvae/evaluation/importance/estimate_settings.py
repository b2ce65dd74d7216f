# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What an estimate of log p(x) depends on besides the programs and the text."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from torch import nn

from pyro_textvae.evaluation.importance.proposal import Proposal
from pyro_textvae.evaluation.importance.rounds import DrawSettings

_ROWS = 3
"""The version of what is kept of a finished sentence."""


@dataclass(frozen=True)
class EstimateSettings:
    """What an estimate depends on, and how much is decoded at once."""

    num_samples: int
    seed: int
    proposal: Proposal
    quasi_random: bool
    target_standard_error: float | None
    most_rounds: int
    max_tokens: int
    sum_labels: bool

    @property
    def draws(self) -> DrawSettings:
        """What a proposal has to know of them."""
        return DrawSettings(
            self.num_samples, self.quasi_random, self.target_standard_error, self.most_rounds
        )

    def identity(self, model: nn.Module, guide: nn.Module) -> str:
        """A hash of all that a sentence's numbers depend on besides the sentence."""
        settings = {
            name: value
            for name, value in vars(self).items()
            if name not in ("proposal", "max_tokens", "sum_labels")
        }
        digest = hashlib.sha256(
            json.dumps([_ROWS, settings, self.proposal.describe(), str(model), str(guide)]).encode()
        )
        for module in (model, guide):
            for name, value in module.state_dict().items():
                digest.update(name.encode())
                digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()
