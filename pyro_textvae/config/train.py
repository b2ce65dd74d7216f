# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every setting of a training run, with its default."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pyro_textvae.config.checks import (
    FACTOR,
    FINITE,
    POSITIVE,
    SEED,
    SHARE,
    Member,
    at_least,
    check_argument,
    check_settings,
    setting,
)
from pyro_textvae.config.shown import ShownSettings
from pyro_textvae.errors import UserError


@dataclass(repr=False)
class TrainingConfig(ShownSettings):
    """Settings of training alone: what a :class:`~pyro_textvae.training.Trainer` takes.

    >>> TrainingConfig(epochs=3, optimizer="sgd", learning_rate=0.1).optimizer
    'sgd'

    Args:
        epochs: passes over the training split, at most.
        batch_size: sentences in a batch.
        batch_tokens: tokens in a batch, padding counted, instead of batch_size.
        accumulate: parts that a batch is computed in, one after another, with the same step: for
            batches that do not fit into memory.
        accumulate_batches: batches whose gradients one step of the optimiser takes together.
        optimizer: adam, adamw or sgd.
        weight_decay: of adamw; 0.01 where it is not given.
        learning_rate: at the start, after the warm-up.
        learning_rate_schedule: cosine falls to 0 over all epochs; constant changes by decay alone.
        warmup_steps: batches in which the learning rate rises from 0.
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

    epochs: int = setting(40, at_least(1))
    batch_size: int = setting(32, at_least(1))
    batch_tokens: int | None = setting(None, at_least(1))
    accumulate: int = setting(1, at_least(1))
    accumulate_batches: int = setting(1, at_least(1))
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: float | None = setting(None, at_least(0), FINITE)
    learning_rate: float = setting(1e-3, POSITIVE)
    learning_rate_schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = setting(0, at_least(0))
    clip_norm: float = setting(5.0, POSITIVE)
    decay: float = setting(0.5, FACTOR)
    patience: int = setting(2, at_least(1))
    max_decays: int = setting(5, at_least(0))
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    keep: Literal["best", "last"] = "best"
    seed: int = setting(0, SEED)
    device: str = "auto"
    log_every: int = setting(100, at_least(1))
    checkpoint_every: int = setting(500, at_least(1))

    def __post_init__(self) -> None:
        check_settings(self)
        self._check_optimizer()

    def _check_optimizer(self) -> None:
        if self.weight_decay is not None and self.optimizer != "adamw":
            raise UserError(
                f"weight_decay is of adamw, and {self.optimizer} would ignore it: give "
                "--optimizer adamw, or leave it out"
            )

    @property
    def batch_limits(self) -> dict[str, Any]:
        """What bounds a batch of training: sentences, or tokens where they are given."""
        if self.batch_tokens is not None:
            return {"batch_size": None, "max_tokens": self.batch_tokens}
        return {"batch_size": self.batch_size}


@dataclass(repr=False)
class ProgramConfig(ShownSettings):
    """Settings of the text, of the programs that are trained on it, and of their objective.

    Args:
        data: stdlib, world:NAME, nltk:NAME, a folder or file of sentences, or file.py:Class.
        data_options: settings of a world, as a JSON object.
        tokenizer: word (at spaces), nltk (raw text), character, bpe, hf:PATH or file.py:Class.
        unicode_form: normal form that text is taken into; by default nfc; none for bpe and hf:PATH.
        text_column: column of a TSV or JSONL file that holds the sentence.
        source_column: column of the text that the sentence is conditioned on.
        label_column: column of its label; where it is empty, the label is not given.
        document_column: column that says which document a sentence is of; rows of one document are
            neighbours. A list of strings as the text in a JSONL is a document without it.
        empty_pairs: a row without text or source; refuse, drop (and count) or keep (a source
            without a word).
        labelled_share: hide all labels of the train split but this share of them.
        labelled_seed: of the choice of those that stay; by default the seed.
        unlabelled: keep or drop the sentences of the train split without a label.
        source_turns: take so many of the last turns of a source, those between | or in a JSON list.
        copy_unknown_words: words of a source outside the vocabulary can be copied, by a decoder
            that copies; such a word of a text is the one that its source has.
        quotes: in a TSV; csv as pandas writes cells, literal as a character; by default recognised.
        min_count: rarer words become <unk>.
        vocab_size: keep only this many of the most frequent tokens.
        max_length: drop sentences of more tokens, <eos> counted.
        max_source_length: longest source in tokens; by default max_length is for sources too.
        max_sentences: drop documents of more sentences.
        truncate: cut sentences at max_length, documents at max_sentences, instead of dropping them.
        num_sentences: use only so many sentences (stdlib, world:NAME).
        model: name, package.module:Class or path/to/file.py:Class.
        guide: likewise; by default gaussian, or empty for a model without latents.
        prior: likewise.
        decoder: likewise, or hf:PATH, a pre-trained causal language model on disk.
        encoder: likewise, or hf:PATH, a pre-trained encoder on disk.
        source_encoder: as encoder, of the source, in a model that has one.
        conditional_prior: name or file.py:Class of p(z | source), in such a model.
        start_from: a run whose weights training begins with, wherever name and shape are the same;
            {seed} in it is the seed.
        embedding_dim: width of the word embeddings.
        hidden_dim: width of encoder and decoder.
        latent_dim: dimensions of z.
        embedding_dropout: dropout on the decoder's input embeddings.
        output_dropout: dropout before the decoder's vocabulary.
        word_dropout: rate at which the decoder's input words become <unk>.
        options: further keywords of any part, objective, constraint or procedure, as a JSON object.
        objective: name, or package.module:Class such as pyro.infer:Trace_ELBO.
        constraint: what stands in the KL's place in training, such as free_bits.
        auxiliaries: losses beside the bound, by name, as {"bag_of_words": 0.5}; or their options.
        site_weights: weight of single sites in the bound (beta_elbo), as {"z_1": 0.5}.
        procedure: how training goes besides one step a batch, such as aggressive_encoder.
        num_particles: draws of the latents for each sentence and step.
        kl_schedule: how the weight of the KL term grows (beta_elbo); name or file.py:Class.
        kl_weight: the weight that it arrives at.
        kl_start: the weight that linear and cyclical schedules start from.
        kl_epochs: epochs that the schedule takes.
        kl_steps: training steps that it takes, instead of kl_epochs.
        kl_zero: share of them spent at zero before the ramp (zero_then_linear).
        kl_cycles: cycles of the cyclical schedule in those epochs.

    """

    data: str = "stdlib"
    data_options: dict[str, Any] = field(default_factory=dict)
    tokenizer: str = setting("word", Member("tokenizers"))
    unicode_form: Literal["none", "nfc", "nfd", "nfkc", "nfkd"] | None = None
    text_column: str | None = None
    source_column: str | None = None
    label_column: str | None = None
    document_column: str | None = None
    empty_pairs: Literal["refuse", "drop", "keep"] = "refuse"
    labelled_share: float | None = setting(None, FACTOR)
    labelled_seed: int | None = setting(None, SEED)
    unlabelled: Literal["keep", "drop"] = "keep"
    source_turns: int | None = setting(None, at_least(1))
    copy_unknown_words: bool = False
    quotes: Literal["csv", "literal"] | None = None
    min_count: int = setting(1, at_least(1))
    vocab_size: int | None = setting(None, at_least(1))
    max_length: int | None = setting(None, at_least(1))
    max_source_length: int | None = setting(None, at_least(1))
    max_sentences: int | None = setting(None, at_least(1))
    truncate: bool = False
    num_sentences: int | None = setting(None, at_least(1))
    model: str = "sentence_vae"
    guide: str | None = None
    prior: str = "standard_normal"
    decoder: str = "lstm"
    encoder: str = "lstm"
    source_encoder: str = "lstm"
    conditional_prior: str = "gaussian"
    start_from: str | None = None
    embedding_dim: int = setting(256, at_least(1))
    hidden_dim: int = setting(256, at_least(1))
    latent_dim: int = setting(32, at_least(0))
    embedding_dropout: float = setting(0.5, SHARE)
    output_dropout: float = setting(0.5, SHARE)
    word_dropout: float = setting(0.0, SHARE)
    options: dict[str, Any] = field(default_factory=dict)
    objective: str = "beta_elbo"
    constraint: str | None = None
    auxiliaries: dict[str, Any] = field(default_factory=dict)
    site_weights: dict[str, Any] = field(default_factory=dict)
    procedure: str | None = setting(None, Member("procedures"))
    num_particles: int = setting(1, at_least(1))
    kl_schedule: str = setting("linear", Member("kl_schedules"))
    kl_weight: float = setting(1.0, at_least(0), FINITE)
    kl_start: float = setting(0.1, at_least(0), FINITE)
    kl_epochs: float = setting(10.0, at_least(0), FINITE)
    kl_steps: int | None = setting(None, at_least(1))
    kl_zero: float = setting(0.5, SHARE)
    kl_cycles: int = setting(4, at_least(1))

    def __post_init__(self) -> None:
        check_settings(self)
        for name, given in self.auxiliaries.items():
            check_argument("auxiliaries", name, str, Member("auxiliaries"))
            check_argument(f"auxiliaries.{name}", given, float | dict)
        for name, weight in self.site_weights.items():
            check_argument("site_weights", name, str)
            check_argument(f"site_weights.{name}", weight, float, at_least(0), FINITE)
        if self.kl_schedule != "constant" and self.kl_steps is None and self.kl_epochs <= 0:
            raise UserError(
                f"kl_epochs must be positive with a {self.kl_schedule} schedule, got "
                f"{self.kl_epochs}: use --kl-schedule constant for none"
            )


# The fields of the last base come first, in --help and in config.yaml.
@dataclass(repr=False)
class TrainConfig(TrainingConfig, ProgramConfig):
    """Settings of a training run.

    Each is checked when the object is made:

    >>> TrainConfig(keep="all")
    Traceback (most recent call last):
    ...
    pyro_textvae.errors.UserError: keep must be one of best, last, got 'all'

    :raises UserError: for a value of another type, one that is none of the choices, or one out of
        its range.
    """

    def __post_init__(self) -> None:
        # It checks the fields of both bases, which are all of this object's.
        ProgramConfig.__post_init__(self)
        self._check_optimizer()

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values."""
        return asdict(self)
