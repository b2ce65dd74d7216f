# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every setting of an evaluation, with its default."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from pyro_textvae.errors import UserError

_OF_THE_MACHINE = ("device", "batch_size", "max_tokens")
_ADDED_LATER = ("source_column", "label_column")


@dataclass
class EvaluationConfig:
    """Settings of an evaluation.

    Args:
        split: train, valid or test.
        data: other text to score with the run's tokenizer; by default the run's own corpus.
        text_column: column of a TSV or JSONL file that holds the sentence.
        source_column: column of the text that the sentence is conditioned on.
        label_column: column of its label; where it is empty, the label is not given.
        num_samples: draws of the latents for each sentence.
        proposal: where they come from; guide, widened, adaptive, refined, or file.py:Class.
        proposal_options: settings of the proposal, as a JSON object.
        quasi_random: randomised quasi-Monte Carlo instead of independent draws.
        target_standard_error: go on with further rounds of draws for sentences above this error.
        most_rounds: rounds of draws, at most, with target_standard_error.
        batch_size: sentences in a batch.
        max_tokens: tokens decoded at once; bounds the memory. By default what suits the device.
        check: check the likelihood by annealing, on some of the sentences; takes minutes.
        seed: of the draws.
        device: auto, cpu, cuda, or cuda:N.

    """

    split: str = "test"
    data: str | None = None
    text_column: str | None = None
    source_column: str | None = None
    label_column: str | None = None
    num_samples: int = 100
    proposal: str = "guide"
    proposal_options: dict[str, Any] = field(default_factory=dict)
    quasi_random: bool = False
    target_standard_error: float | None = None
    most_rounds: int = 10
    batch_size: int = 32
    max_tokens: int | None = None
    check: bool = False
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("num_samples", "batch_size", "max_tokens", "most_rounds"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, got {value}")
        error = self.target_standard_error
        if error is not None and not (math.isfinite(error) and error > 0):
            raise UserError(f"target_standard_error must be positive, got {error}")
        check_split(self.split)
        for name in ("text_column", "source_column", "label_column"):
            if self.data is None and getattr(self, name) is not None:
                raise UserError(
                    f"{name} is of other text, and without data the run's own is evaluated: give "
                    f"--data with it, or leave out {name}={getattr(self, name)!r}"
                )
        # NumPy, which Pyro seeds too, takes no other.
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed must lie in [0, 2**32), got {self.seed}")

    def identity(self) -> dict[str, Any]:
        """The settings that the numbers depend on, as plain values.

        Those that evaluations from before did not have are left out where they change nothing.
        """
        names = EvaluationConfig.__dataclass_fields__.keys() - set(_OF_THE_MACHINE)
        names -= {name for name in _ADDED_LATER if getattr(self, name) is None}
        return {name: value for name, value in asdict(self).items() if name in names}


def check_split(split: str) -> None:
    """Refuse a split that no corpus has."""
    if split not in ("train", "valid", "test"):
        raise UserError(f"split must be train, valid or test, got {split!r}")
