# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every setting of an evaluation, with its default."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pyro_textvae.config.checks import (
    POSITIVE,
    SEED,
    Member,
    at_least,
    check_settings,
    setting,
)
from pyro_textvae.config.shown import ShownSettings
from pyro_textvae.errors import UserError

Split = Literal["train", "valid", "test"]
"""The parts of a corpus."""

_OF_THE_MACHINE = ("device", "batch_size", "max_tokens")
_OF_OTHER_TEXT = (
    "text_column",
    "source_column",
    "label_column",
    "document_column",
    "quotes",
    "empty_pairs",
)
_ADDED_LATER = (*_OF_OTHER_TEXT[1:], "num_global_draws", "mining_vectors")


@dataclass(repr=False)
class EvaluationConfig(ShownSettings):
    """Settings of an evaluation, each checked when the object is made.

    >>> EvaluationConfig(num_samples=0)
    Traceback (most recent call last):
    ...
    pyro_textvae.errors.UserError: num_samples must be at least 1, got 0

    Args:
        split: train, valid or test.
        data: other text to score with the run's tokenizer; by default the run's own corpus.
        text_column: column of a TSV or JSONL file that holds the sentence.
        source_column: column of the text that the sentence is conditioned on.
        label_column: column of its label; where it is empty, the label is not given.
        document_column: column that says which document a sentence is of.
        quotes: in a TSV; csv as pandas writes cells, literal as a character; by default recognised.
        empty_pairs: a row of it without text or source; refuse, drop (and count) or keep (a source
            without a word); by default as the run was trained.
        num_samples: draws of the latents for each sentence.
        proposal: where they come from; auto goes on with a stronger one for each sentence that is
            not settled; guide, widened, adaptive, refined, mixture, annealed,
            or file.py:Class.
        proposal_options: settings of the proposal, as a JSON object.
        quasi_random: randomised quasi-Monte Carlo instead of independent draws.
        target_standard_error: go on with further rounds of draws for sentences above this error.
        most_rounds: rounds of draws, at most, with target_standard_error.
        num_global_draws: draws of global latents, those of all sentences together, for each of
            which every sentence is scored; by default 16 where the model has any.
        batch_size: sentences in a batch.
        max_tokens: tokens decoded at once; bounds the memory. By default what suits the device.
        mining: how well the latents keep sentences of one label together, beside a bag of words;
            takes some seconds.
        mining_vectors: with mining, a NumPy file with a row for each sentence of the split, such as
            the embeddings of another program, to be measured beside them.
        check: check the likelihood by annealing, on some of the sentences; takes minutes.
        seed: of the draws.
        device: auto, cpu, cuda, or cuda:N.

    """

    split: Split = "test"
    data: str | None = None
    text_column: str | None = None
    source_column: str | None = None
    label_column: str | None = None
    document_column: str | None = None
    quotes: Literal["csv", "literal"] | None = None
    empty_pairs: Literal["refuse", "drop", "keep"] | None = None
    num_samples: int = setting(300, at_least(1))
    proposal: str = setting("auto", Member("proposals"))
    proposal_options: dict[str, Any] = field(default_factory=dict)
    quasi_random: bool = False
    target_standard_error: float | None = setting(None, POSITIVE)
    most_rounds: int = setting(10, at_least(1))
    num_global_draws: int | None = setting(None, at_least(2))
    batch_size: int = setting(32, at_least(1))
    max_tokens: int | None = setting(None, at_least(1))
    mining: bool = False
    mining_vectors: str | None = None
    check: bool = False
    seed: int = setting(0, SEED)
    device: str = "auto"

    def __post_init__(self) -> None:
        check_settings(self)
        for name in _OF_OTHER_TEXT:
            if self.data is None and getattr(self, name) is not None:
                raise UserError(
                    f"{name} is of other text, and without data the run's own is evaluated: give "
                    f"--data with it, or leave out {name}={getattr(self, name)!r}"
                )

        if self.mining_vectors is not None and not self.mining:
            raise UserError("mining_vectors does nothing without mining: give --mining too")

    def identity(self) -> dict[str, Any]:
        """The settings that the numbers depend on, as plain values.

        Those that evaluations from before did not have are left out where they change nothing.
        """
        names = EvaluationConfig.__dataclass_fields__.keys() - set(_OF_THE_MACHINE)
        names -= {name for name in _ADDED_LATER if getattr(self, name) is None}
        if not self.mining:
            names.remove("mining")
        return {name: value for name, value in asdict(self).items() if name in names}
