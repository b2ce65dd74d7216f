# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every setting of a training run, with its default."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from pyro_textvae import zoo
from pyro_textvae.errors import UserError


@dataclass
class TrainConfig:
    """Settings of a training run.

    Args:
        data: stdlib, grammar, nltk:NAME, or a folder or file of sentences.
        tokenizer: word (split at spaces), nltk (raw text), character, or bpe.
        text_column: column of a TSV or JSONL file that holds the sentence.
        min_count: rarer words become <unk>.
        vocab_size: keep only this many of the most frequent tokens.
        max_length: drop sentences of more tokens, <eos> counted.
        truncate: cut sentences at max_length instead of dropping them.
        num_sentences: use only so many sentences (stdlib, grammar).
        model: name, package.module:Class or path/to/file.py:Class.
        guide: likewise; by default gaussian, or empty for a model without latents.
        prior: likewise.
        decoder: likewise.
        encoder: likewise.
        embedding_dim: width of the word embeddings.
        hidden_dim: width of encoder and decoder.
        latent_dim: dimensions of z.
        embedding_dropout: dropout on the decoder's input embeddings.
        output_dropout: dropout before the decoder's vocabulary.
        word_dropout: rate at which the decoder's input words become <unk>.
        options: further keywords of any part, objective, constraint or procedure, as a JSON object.
        objective: name, or package.module:Class such as pyro.infer:Trace_ELBO.
        constraint: what stands in the KL's place in training, such as free_bits.
        procedure: how training goes besides one step a batch, such as aggressive_encoder.
        num_particles: draws of the latents for each sentence and step.
        kl_schedule: how the weight of the KL term grows (beta_elbo); name or file.py:Class.
        kl_weight: the weight that it arrives at.
        kl_start: the weight that linear and cyclical schedules start from.
        kl_epochs: epochs that the schedule takes.
        kl_steps: training steps that it takes, instead of kl_epochs.
        kl_zero: share of them spent at zero before the ramp (zero_then_linear).
        kl_cycles: cycles of the cyclical schedule in those epochs.
        epochs: passes over the training split, at most.
        batch_size: sentences in a batch.
        batch_tokens: tokens in a batch, padding counted, instead of batch_size.
        optimizer: adam or sgd.
        learning_rate: at the start.
        clip_norm: largest norm of the gradient of all parameters together.
        decay: factor of the learning rate after patience epochs without a better bound.
        patience: epochs without a better validation bound before a decay, once the KL weight is up.
        max_decays: stop early at the decay after this many.
        precision: bfloat16 runs encoder and decoder under autocast, in training only.
        compile: torch.compile encoder and decoder, in training only.
        keep: weights of the best validation bound, or of the last epoch.
        seed: of the initial weights, the batches and the draws.
        device: auto, cpu, cuda, or cuda:N.
        log_every: steps between two lines of metrics.
        checkpoint_every: steps between two checkpoints.

    """

    data: str = "stdlib"
    tokenizer: Literal["word", "nltk", "character", "bpe"] = "word"
    text_column: str | None = None
    min_count: int = 1
    vocab_size: int | None = None
    max_length: int | None = None
    truncate: bool = False
    num_sentences: int | None = None
    model: str = "sentence_vae"
    guide: str | None = None
    prior: str = "standard_normal"
    decoder: str = "lstm"
    encoder: str = "lstm"
    embedding_dim: int = 256
    hidden_dim: int = 256
    latent_dim: int = 32
    embedding_dropout: float = 0.5
    output_dropout: float = 0.5
    word_dropout: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)
    objective: str = "beta_elbo"
    constraint: str | None = None
    procedure: str | None = None
    num_particles: int = 1
    kl_schedule: str = "linear"
    kl_weight: float = 1.0
    kl_start: float = 0.1
    kl_epochs: float = 10.0
    kl_steps: int | None = None
    kl_zero: float = 0.5
    kl_cycles: int = 4
    epochs: int = 40
    batch_size: int = 32
    batch_tokens: int | None = None
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    clip_norm: float = 5.0
    decay: float = 0.5
    patience: int = 2
    max_decays: int = 5
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    keep: Literal["best", "last"] = "best"
    seed: int = 0
    device: str = "auto"
    log_every: int = 100
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        _refuse_small(self, _AT_LEAST_ONE, 1)
        _refuse_small(self, ("kl_weight", "kl_start", "kl_epochs", "latent_dim", "max_decays"), 0)
        for name in ("kl_weight", "kl_start", "kl_epochs"):
            if math.isinf(getattr(self, name)):
                raise UserError(f"{name} must be finite, got {getattr(self, name)}")
        zoo.check_name("kl_schedules", self.kl_schedule)
        if self.kl_schedule != "constant" and self.kl_steps is None and self.kl_epochs <= 0:
            raise UserError(
                f"kl_epochs must be positive with a {self.kl_schedule} schedule, got "
                f"{self.kl_epochs}: use --kl-schedule constant for none"
            )
        for name in ("embedding_dropout", "output_dropout", "word_dropout", "kl_zero"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        for name in ("learning_rate", "clip_norm"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise UserError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 < self.decay <= 1:
            raise UserError(f"decay must lie in (0, 1], got {self.decay}")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed must lie in [0, 2**32), got {self.seed}")

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values."""
        return asdict(self)


_AT_LEAST_ONE = (
    "min_count vocab_size max_length num_sentences embedding_dim hidden_dim num_particles "
    "kl_cycles kl_steps epochs batch_size batch_tokens patience log_every checkpoint_every"
).split()


def _refuse_small(config: TrainConfig, names: tuple[str, ...] | list[str], minimum: int) -> None:
    known = {each.name for each in fields(config)}
    for name in names:
        assert name in known
        value = getattr(config, name)
        if value is not None and not value >= minimum:
            raise UserError(f"{name} must be at least {minimum}, got {value}")
