# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every setting of an assessment of generated text, with its default."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pyro_textvae.config.checks import SEED, Member, at_least, check_settings, setting
from pyro_textvae.config.evaluate import Split
from pyro_textvae.config.shown import ShownSettings

BleuTokenizer = Literal["13a", "intl", "char", "none"]
"""How ``sacrebleu`` cuts texts into words."""


@dataclass(repr=False)
class AssessmentConfig(ShownSettings):
    """Settings of an assessment, each checked when the object is made.

    >>> AssessmentConfig(size=1)
    Traceback (most recent call last):
    ...
    pyro_textvae.errors.UserError: size must be at least 2, got 1

    Args:
        split: train, valid or test: the text that samples are held against.
        size: sentences drawn, decoded again, and of the text beside them; at most those of the
            split.
        method: how words of samples are chosen, ancestral by default; or file.py:Class.
        options: keywords of the method, as a JSON object.
        unknown: whether <unk> may be generated.
        latents_from: prior, or aggregate, a mixture of Gaussians fitted to the latents of the
            training split; --from for short.
        num_components: of that mixture.
        reconstruction_method: how words of reconstructions are chosen, greedy by default.
        reconstruction_options: keywords of that method, as a JSON object.
        metrics: names of metrics, as a JSON list, or file.py:Class; by default all that apply.
        statistics: of model criticism, as a JSON list; named ones, or file.py:function of a list of
            sentences, each a list of words.
        num_replicates: sets of sentences that a statistic is computed on.
        replicate_size: sentences of each.
        num_draws: texts for each source, in a model that takes a source.
        language_model: run of a language model that judges; by default one is trained.
        language_model_settings: settings of train for the models that are trained here, as a JSON
            object.
        num_training_samples: samples that the model of the reverse perplexity is trained on.
        num_resamples: resamples of the sentences for an interval.
        bleu_tokenizer: how sacrebleu cuts texts into words; 13a, intl, char or none.
        seed: of all draws.
        device: auto, cpu, cuda, or cuda:N.

    """

    split: Split = "test"
    size: int = setting(1000, at_least(2))
    method: str = setting("ancestral", Member("methods"))
    options: dict[str, Any] = field(default_factory=dict)
    unknown: bool = True
    latents_from: Literal["prior", "aggregate"] = "prior"
    num_components: int = setting(10, at_least(1))
    reconstruction_method: str = setting("greedy", Member("methods"))
    reconstruction_options: dict[str, Any] = field(default_factory=dict)
    metrics: list[str] = field(default_factory=list)
    statistics: list[str] = field(
        default_factory=lambda: ["length", "length_spread", "questions", "type_token_ratio"]
    )
    num_replicates: int = setting(50, at_least(20))
    replicate_size: int = setting(200, at_least(2))
    num_draws: int = setting(10, at_least(2))
    language_model: str | None = None
    language_model_settings: dict[str, Any] = field(default_factory=dict)
    num_training_samples: int = setting(5000, at_least(100))
    num_resamples: int = setting(1000, at_least(100))
    bleu_tokenizer: BleuTokenizer = "13a"
    seed: int = setting(0, SEED)
    device: str = "auto"

    def __post_init__(self) -> None:
        check_settings(self)

    def identity(self) -> dict[str, Any]:
        """The settings that decide the numbers: those of an assessment, all but the device."""
        names = AssessmentConfig.__dataclass_fields__.keys() - {"device"}
        return {name: value for name, value in asdict(self).items() if name in names}
