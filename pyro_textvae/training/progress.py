# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Where a run stands, between two steps."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Progress:
    """Where a run stands, between two steps.

    epoch, batch
        Epochs done, and batches done of the epoch under way.
    step
        Training steps done, of all epochs.
    best_bound
        Lowest negative bound on the validation split, the importance-weighted one of an objective
        that trains it; nats per sentence.
    bad_epochs, decays
        Epochs without a better bound since the last decay of the learning rate, and decays.
    finished
        Whether training stopped early, for good.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_bound: float = math.inf
    bad_epochs: int = 0
    decays: int = 0
    finished: bool = False

    def begin_anew(self) -> None:
        """Forget the best bound and the decays."""
        self.best_bound = math.inf
        self.bad_epochs = 0
        self.decays = 0

    def state_dict(self) -> dict[str, Any]:
        """The fields, by name."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where ``state_dict`` was asked for.

        :raises TypeError: for a name that is no field.
        """
        # What earlier versions wrote.
        names = {"best_elbo": "best_bound"}
        read = {names.get(name, name): value for name, value in state.items()}
        vars(self).update(vars(Progress(**read)))
