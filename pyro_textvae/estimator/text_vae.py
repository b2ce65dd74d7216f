# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``TextVAE``: everything that the command line does to a run, from Python."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pyro_textvae import generation
from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.contract import SOURCE, TOKENS
from pyro_textvae.data import Tokenizer
from pyro_textvae.data import given_texts as given
from pyro_textvae.errors import UserError
from pyro_textvae.estimator.not_fitted import NotFittedError
from pyro_textvae.estimator.parameters import Parameters, defaults
from pyro_textvae.estimator.rows import rows_of
from pyro_textvae.evaluation import LogLikelihood, log_likelihood
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.infer.simulate import simulate
from pyro_textvae.report.run_record import read_runs
from pyro_textvae.report.run_report import write_report
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs import evaluate, load_run, resume, train
from pyro_textvae.runs.code import remember
from pyro_textvae.runs.evaluate import build_proposal, write_evaluation
from pyro_textvae.runs.load import read_run


class TextVAE(Parameters):
    """A text VAE with the settings of ``pyro-textvae train``, under the same names.

    What ``fit`` trains is a run, as the command line makes it, and a run of the command line is
    taken by :meth:`load`. ``fit``, ``transform``, ``inverse_transform``, ``score``, ``get_params``
    and ``set_params`` are scikit-learn's, so it stands in a ``Pipeline`` before a classifier.

    >>> sentences = [f"the {a} {v}" for a in ("cat", "dog", "fox") for v in ("sat", "ran", "sang")]
    >>> vae = TextVAE(latent_dim=2, embedding_dim=4, hidden_dim=5, epochs=1, device="cpu")
    >>> vae.fit(sentences, valid=["the cat slept", "the fox sat"], report=None)
    TextVAE(embedding_dim=4, hidden_dim=5, latent_dim=2, epochs=1, device='cpu'), 1 epoch
    >>> vae.transform(["the dog sat", "the cat ran"]).shape
    (2, 2)
    >>> len(vae.sample(3)), len(vae.interpolate("the dog sat", "the cat ran", steps=4))
    (3, 4)

    :param settings: of :class:`~pyro_textvae.config.train.TrainConfig`, but those that say which
        text is read. They are checked when ``fit`` is called.
    :raises TypeError: for a setting that there is not.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._folder: RunFolder | None = None
        self._loaded: tuple[nn.Module, nn.Module, Tokenizer] | None = None

    def fit(
        self,
        texts: Iterable[str] | str | Path,
        y: object = None,
        *,
        valid: Iterable[str] | None = None,
        sources: Iterable[str] | None = None,
        labels: Iterable[object] | None = None,
        out: str | Path | None = None,
        overwrite: bool = False,
        report: Callable[[str], None] | None = print,
    ) -> TextVAE:
        """Train on texts, and keep the weights of the best validation bound.

        When it is interrupted, what was trained so far is kept: :meth:`resume` goes on with it.

        :param texts: strings, such as a column of a data frame; or what ``--data`` takes: a name
            of the catalogue, a folder or a file.
        :param y: not used; scikit-learn gives it.
        :param valid: strings to validate on; every second one is the test split's. By default the
            texts are split 90/5/5.
        :param sources: what each text is conditioned on, in a program that takes a source.
        :param labels: the label of each text, None where it is not given.
        :param out: folder of the run; by default a temporary one, until :meth:`save`.
        :param overwrite: replace the run that stands there.
        :param report: takes one line of text for each epoch; None for silence.
        :raises UserError: for settings and texts that cannot be trained on, in one line.
        """
        settings = {**self._settings, **self._text_settings(texts, valid, sources, labels)}
        config = TrainConfig(**settings)
        folder = RunFolder(_temporary_folder() if out is None else out)
        try:
            train(config, folder.path, overwrite=overwrite, report=report or _in_silence)
        except KeyboardInterrupt:
            if not folder.is_run():
                raise
            (report or _in_silence)("stopped; resume() goes on from the last checkpoint")
        self._folder, self._loaded = folder, None
        return self

    def resume(
        self, epochs: int | None = None, *, report: Callable[[str], None] | None = print
    ) -> TextVAE:
        """Go on with training from the last checkpoint, bit for bit.

        :param epochs: train to so many in all, in the place of those it was fitted with.
        """
        resume(self.folder.path, epochs=epochs, report=report or _in_silence)
        if epochs is not None:
            self._settings["epochs"] = epochs
        self._loaded = None
        return self

    @property
    def folder(self) -> RunFolder:
        """The folder of the run.

        :raises NotFittedError: before ``fit`` and ``load``.
        """
        if self._folder is None:
            raise NotFittedError("this TextVAE is not fitted: call fit, or TextVAE.load")
        return self._folder

    @property
    def model(self) -> nn.Module:
        """The generative program, with its trained weights."""
        return self._load()[0]

    @property
    def guide(self) -> nn.Module:
        """The guide, with its trained weights."""
        return self._load()[1]

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to ids and back."""
        return self._load()[2]

    @property
    def history(self) -> list[dict[str, Any]]:
        """A line of metrics for each epoch: train loss, valid elbo, learning rate, ..."""
        return read_runs([self.folder.path])[0].epochs

    def transform(
        self, texts: Iterable[str], *, sources: Iterable[str] | None = None
    ) -> np.ndarray:
        """The posterior mean of each text, ``(N, D)``; several latents side by side."""
        means = generation.encode(self.guide, self._batch(texts, sources))
        return np.concatenate([z.flatten(1).cpu().numpy() for z in means.values()], axis=1)

    def encode(self, texts: Iterable[str], *, sources: Iterable[str] | None = None) -> np.ndarray:
        """The same as :meth:`transform`."""
        return self.transform(texts, sources=sources)

    def fit_transform(self, texts: Iterable[str], y: object = None, **arguments: Any) -> np.ndarray:
        """:meth:`fit`, then the latents of the same strings."""
        listed = given.as_texts(texts)
        return self.fit(listed, y, **arguments).transform(listed)

    def decode(
        self,
        z: np.ndarray | Tensor,
        *,
        site: str = "z",
        method: str | generation.DecodingMethod = "greedy",
        seed: int = 0,
        sources: Iterable[str] | None = None,
    ) -> list[str]:
        """The sentences of latents ``(N, D)``.

        :param site: the latent that they are of.
        """
        values = torch.as_tensor(np.asarray(z), dtype=torch.get_default_dtype())
        condition = self._condition(len(values), sources)
        one = condition if isinstance(condition, int) else {n: v[:1] for n, v in condition.items()}
        with evaluation_mode(self.model, self.guide, seed):
            nodes: Any = simulate(self.model, min(one, 1) if isinstance(one, int) else one).nodes
        wanted = nodes[site]["value"].shape[1:] if site in nodes else values.shape[1:]
        if values.shape[1:] != wanted:
            raise UserError(
                f"latents of {site!r} have shape {tuple(wanted)} each, got {tuple(values.shape)} "
                "for all: give (N, D)"
            )
        rows = generation.sample(
            self.model, condition, method=method, seed=seed, latents={site: values}
        )
        return self._texts(rows)

    def inverse_transform(self, z: np.ndarray | Tensor) -> list[str]:
        """The same as :meth:`decode`, greedily."""
        return self.decode(z)

    def sample(
        self,
        size: int = 5,
        *,
        method: str | generation.DecodingMethod = "ancestral",
        seed: int = 0,
        sources: Iterable[str] | None = None,
    ) -> list[str]:
        """Sentences of the model, z drawn from the prior.

        :param sources: one for each sentence, in a program that takes a source; ``size`` is how
            many there are then.
        """
        listed = None if sources is None else given.as_texts(sources, "sources")
        condition = self._condition(size if listed is None else len(listed), listed)
        return self._texts(
            generation.sample(self.model, condition, method=method, seed=seed, guide=self.guide)
        )

    def reconstruct(
        self,
        texts: Iterable[str],
        *,
        method: str | generation.DecodingMethod = "greedy",
        seed: int = 0,
        sources: Iterable[str] | None = None,
    ) -> list[str]:
        """Each text decoded again from its latent."""
        batch = self._batch(texts, sources)
        return self._texts(
            generation.reconstruct(self.model, self.guide, batch, method=method, seed=seed)
        )

    def interpolate(
        self,
        first: str,
        last: str,
        *,
        steps: int = 7,
        method: str | generation.DecodingMethod = "greedy",
        seed: int = 0,
        source: str | None = None,
    ) -> list[str]:
        """Sentences on the way from the latent of one text to that of another."""
        ends = self._batch([first, last], None if source is None else [source, source])
        return self._texts(
            generation.interpolate(
                self.model, self.guide, ends, steps=steps, method=method, seed=seed
            )
        )

    def log_likelihood(
        self,
        texts: Iterable[str],
        *,
        num_samples: int = 300,
        proposal: str = "auto",
        seed: int = 0,
        sources: Iterable[str] | None = None,
    ) -> LogLikelihood:
        """log p(x) of each text in their order, nats, with its error and what speaks against it."""
        batch = self._batch(texts, sources)
        size = len(batch[TOKENS])
        config = EvaluationConfig(num_samples=num_samples, proposal=proposal, seed=seed)
        parts = [slice(i, i + config.batch_size) for i in range(0, size, config.batch_size)]
        return log_likelihood(
            self.model,
            self.guide,
            [{name: value[part] for name, value in batch.items()} for part in parts],
            num_samples,
            seed,
            proposal=build_proposal(config),
        )

    def score(self, texts: Iterable[str], y: object = None) -> float:
        """The mean of log p(x) over the texts, nats per sentence: higher is better.

        :param y: not used; scikit-learn gives it.
        """
        return float(self.log_likelihood(texts).log_px.mean())

    def evaluate(self, **settings: Any) -> dict[str, Any]:
        """Every number that ``pyro-textvae evaluate`` prints, by name, written into the run too.

        :param settings: of :class:`~pyro_textvae.config.evaluate.EvaluationConfig`.
        """
        config = EvaluationConfig(**settings)
        evaluation = evaluate(self.folder.path, config, trust_code=True)
        write_evaluation(self.folder.evaluation, evaluation, config, "TextVAE.evaluate")
        return evaluation.result

    def report(self, out: str | Path | None = None) -> Path:
        """Write the HTML page of the run with its pictures, and return its path."""
        return write_report([self.folder.path], out, trust_code=True)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the run into a folder, which the command line takes too.

        :raises UserError: where something stands there that ``overwrite`` does not allow to go.
        """
        new = RunFolder(path)
        new.check_free(overwrite=overwrite)
        if overwrite and new.path.exists():
            shutil.rmtree(new.path)
        shutil.copytree(self.folder.path, new.path, ignore=shutil.ignore_patterns("*.lock"))
        remember(read_run(new, trust_code=True).own_code)
        self._folder = new

    @classmethod
    def load(cls, path: str | Path, *, trust_code: bool = False) -> TextVAE:
        """A run as an object, whoever trained it.

        :param trust_code: see :func:`pyro_textvae.load_run`.
        :raises UserError: when ``path`` is no run, or names code that is not trusted.
        """
        folder = RunFolder.of(path)
        loaded = load_run(folder, trust_code=trust_code)
        settings = folder.read_settings().to_dict()
        known = defaults()
        estimator = cls(**{n: v for n, v in settings.items() if n in known and v != known[n]})
        estimator._folder, estimator._loaded = folder, loaded
        return estimator

    def __sklearn_is_fitted__(self) -> bool:
        return self._folder is not None

    def __repr__(self) -> str:
        if self._folder is None:
            return super().__repr__()
        epochs = len(self.history)
        return f"{super().__repr__()}, {epochs} epoch{'' if epochs == 1 else 's'}"

    def _load(self) -> tuple[nn.Module, nn.Module, Tokenizer]:
        if self._loaded is None:
            # What it executes, fit has executed in this process before.
            self._loaded = load_run(self.folder, trust_code=True)
        return self._loaded

    def _text_settings(
        self,
        texts: Any,
        valid: Iterable[str] | None,
        sources: Iterable[str] | None,
        labels: Iterable[object] | None,
    ) -> dict[str, Any]:
        """The settings of ``train`` that say which text is read."""
        if isinstance(texts, str | Path):
            beside = {"valid": valid, "sources": sources, "labels": labels}
            for name, value in beside.items():
                if value is not None:
                    raise UserError(
                        f"{name} goes with a list of texts, and {str(texts)!r} has its own"
                    )
            return {"data": str(texts)}
        path = given.keep_texts(
            given.as_texts(texts),
            valid=None if valid is None else given.as_texts(valid, "valid"),
            sources=None if sources is None else given.as_texts(sources, "sources"),
            labels=None if labels is None else list(labels),
        )
        return {
            "data": str(path),
            "text_column": given.TEXT,
            "source_column": None if sources is None else given.SOURCE,
            "label_column": None if labels is None else given.LABEL,
        }

    def _batch(self, texts: Iterable[str], sources: Iterable[str] | None) -> dict[str, Tensor]:
        """Texts as programs take them."""
        most = read_run(self.folder, trust_code=True).sizes["max_length"]
        rows = rows_of(self.tokenizer, given.as_texts(texts), "texts", most)
        condition = self._condition(len(rows), sources)
        return {TOKENS: rows, **({} if isinstance(condition, int) else condition)}

    def _condition(self, size: int, sources: Iterable[str] | None) -> int | dict[str, Tensor]:
        """What so many sentences are generated on."""
        if sources is None:
            return size
        listed = given.as_texts(sources, "sources")
        if len(listed) != size:
            raise UserError(f"there are {size} texts and {len(listed)} sources: give as many")
        return {SOURCE: rows_of(self.tokenizer, listed, "sources")}

    def _texts(self, rows: Tensor) -> list[str]:
        return [self.tokenizer.decode_parts(row) for row in rows.tolist()]


def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="pyro-textvae-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / "run"


def _in_silence(line: str) -> None:
    """Take a line of progress and do nothing with it."""
