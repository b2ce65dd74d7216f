# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Language models that judge text: exact log-probabilities, and states as features."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pyro_textvae.assessment.corpus_of_ids import corpus_of_ids
from pyro_textvae.assessment.sentences import Sentences
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.contract import TOKENS
from pyro_textvae.data import Tokenizer, pad
from pyro_textvae.distributions import Context
from pyro_textvae.distributions.autoregressive_categorical import sentence_mask
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.infer.running import device_of, evaluation_mode
from pyro_textvae.nn import Decoder
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.weights_hash import load_with_hash
from pyro_textvae.runs.build import build
from pyro_textvae.runs.load import load_pair, load_tokenizer, read_run
from pyro_textvae.special_tokens import EOS
from pyro_textvae.training import Trainer

DEFAULTS: Mapping[str, Any] = {
    "model": "language_model",
    "decoder": "lstm",
    "embedding_dim": 64,
    "hidden_dim": 128,
    "embedding_dropout": 0.2,
    "output_dropout": 0.2,
    "learning_rate": 0.002,
    "epochs": 6,
}
"""Settings of a language model that is trained here, where others are not given."""

_MODEL = "language_model"
_AT_ONCE = 64


@dataclass(frozen=True)
class Judge:
    """A language model, its tokenizer, and what to write down of it.

    :param max_length: tokens of the longest text that it can score, ``<eos>`` counted.
    :param made: its run or its settings, plain values.
    """

    model: nn.Module
    guide: nn.Module
    tokenizer: Tokenizer
    max_length: int
    made: dict[str, Any]

    @classmethod
    def of_run(cls, path: str, *, device: str, trust_code: bool) -> Judge:
        """A language model that ``train`` made.

        :raises UserError: for another model, or what is no run.
        """
        run = read_run(path, trust_code=trust_code)
        if run.contents["specs"]["model"] != _MODEL:
            raise UserError(
                f"{path} is a run of {run.contents['specs']['model']}, and a judge is one of "
                f"{_MODEL}, whose likelihood is exact: pyro-textvae train --model {_MODEL}"
            )
        pair, weights = load_with_hash(run.folder, lambda: load_pair(run, device=device))
        made = {
            "run": path,
            "weights_sha256": weights,
            "corpus_fingerprint": run.contents["corpus_fingerprint"],
            "settings": run.contents["settings"],
        }
        return cls(pair.model, pair.guide, load_tokenizer(run), run.sizes["max_length"], made)

    @classmethod
    def trained(
        cls,
        train: Sentences,
        valid: Sentences,
        tokenizer: Tokenizer,
        settings: Mapping[str, Any],
        *,
        max_length: int,
    ) -> Judge:
        """A language model trained on these sentences, its weights those of the best epoch.

        :param settings: of ``train``, over :data:`DEFAULTS`.
        :param max_length: tokens of the longest text that it is to score.
        :raises UserError: for a setting that there is not, or one of another model.
        """
        config = judge_config(settings)
        with tempfile.TemporaryDirectory(prefix="pyro-textvae-") as place:
            store, run = Path(place) / "text", RunFolder(Path(place) / "run")
            store.mkdir()
            splits = {"train": train.ids, "valid": valid.ids, "test": valid.ids}
            corpus = corpus_of_ids(store, splits, tokenizer)
            sizes = {"vocab_size": len(tokenizer), "max_length": max_length}
            built = build(config, corpus, sizes=sizes)
            run.create(config.to_dict(), overwrite=False)
            trainer = Trainer(
                built.model, built.guide, built.objective, corpus, config, run, report=_say_nothing
            )
            with run.writing():
                trainer.fit()
            run.load_weights(built.modules)
        built.modules.eval()
        made = {
            "settings": config.to_dict(),
            "num_training_sentences": len(train),
            "num_validation_sentences": len(valid),
        }
        return cls(built.model, built.guide, tokenizer, max_length, made)

    def log_probs(self, sentences: Sentences) -> tuple[np.ndarray, np.ndarray]:
        """Exact log-probability of each sentence in nats, and its tokens, ``<eos>`` counted."""
        result = log_likelihood(self.model, self.guide, self._batches(sentences), num_samples=1)
        lengths = np.array([len(row) for row in self._rows(sentences)])
        return result.log_px.numpy(), lengths

    def features(self, sentences: Sentences) -> np.ndarray:
        """The mean of the decoder's states over the words of each sentence, ``(N, H)``.

        :raises UserError: for a decoder without states of its own.
        """
        decoder = getattr(self.model, "decoder", None)
        if not isinstance(decoder, Decoder):
            raise UserError(
                f"features are the states of a language model's decoder, and "
                f"{type(decoder).__name__} has none: choose another language model"
            )
        parts = []
        with evaluation_mode(self.model, self.guide, 0):
            for batch in self._batches(sentences):
                tokens = batch[TOKENS].to(device_of(self.model))
                states = decoder.hidden_states(tokens, Context(None, None))
                mask = sentence_mask(tokens).unsqueeze(-1)
                parts.append((states * mask).sum(-2) / mask.sum(-2))
        return torch.cat(parts).double().cpu().numpy()

    def _batches(self, sentences: Sentences) -> Iterator[dict[str, torch.Tensor]]:
        rows = self._rows(sentences)
        longest = max(map(len, rows))
        if longest > self.max_length:
            raise UserError(
                f"a text of {longest} tokens is longer than the {self.max_length} of the language "
                "model that judges: train it with a larger max_length"
            )
        for first in range(0, len(rows), _AT_ONCE):
            yield {TOKENS: pad(rows[first : first + _AT_ONCE])}

    def _rows(self, sentences: Sentences) -> Sequence[Sequence[int]]:
        """The ids of the sentences in this model's vocabulary, ``<eos>`` at the end."""
        if sentences.made["tokenizer"] == self.tokenizer.fingerprint:
            return [[*ids, EOS] for ids in sentences.ids]
        return [[*self.tokenizer.encode(text), EOS] for text in sentences.texts]


def judge_config(settings: Mapping[str, Any]) -> TrainConfig:
    """The settings of a language model that is trained here.

    :param settings: over :data:`DEFAULTS`.
    :raises UserError: for a setting that there is not, a wrong value, or another model.
    """
    try:
        config = TrainConfig(**{**DEFAULTS, **settings})
    except TypeError as error:
        raise UserError(f"language_model_settings: {error}") from error
    if config.model != _MODEL:
        raise UserError(
            f"language_model_settings: model must be {_MODEL}, whose likelihood is exact, got "
            f"{config.model}"
        )
    return config


def describe(made: Mapping[str, Any]) -> str:
    """Which language model judged, in a few words."""
    settings = made["settings"]
    sizes = f"{settings['decoder']} of {settings['hidden_dim']}, {settings['epochs']} epochs"
    place = made.get("run") or f"trained here on {made['num_training_sentences']:,} sentences"
    return f"{place} ({sizes}, seed {settings['seed']})"


def _say_nothing(line: str) -> None:
    del line
