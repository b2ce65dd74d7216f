# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``TextVAE``: everything that the command line does to a run, from Python."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pyro_textvae import generation
from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.contract import SOURCE, TOKENS
from pyro_textvae.data import Corpus, Tokenizer
from pyro_textvae.data import given_texts as given
from pyro_textvae.displayed import Numbers, in_words, table_of
from pyro_textvae.errors import UserError
from pyro_textvae.estimator.interruption import Begun, kept_when_interrupted
from pyro_textvae.estimator.not_fitted import NotFittedError
from pyro_textvae.estimator.parameters import Parameters, defaults
from pyro_textvae.estimator.programs import named
from pyro_textvae.estimator.rows import rows_of
from pyro_textvae.estimator.texts import given_text
from pyro_textvae.evaluation import LogLikelihood, log_likelihood
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.infer.simulate import simulate
from pyro_textvae.report.run_record import read_runs
from pyro_textvae.report.run_report import write_report
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.files import same_place
from pyro_textvae.runs import evaluate, load_run, resume, train
from pyro_textvae.runs.code import UntrustedCodeError, check_trusted, remember
from pyro_textvae.runs.evaluate import build_proposal, write_evaluation
from pyro_textvae.runs.load import read_run
from pyro_textvae.training import Callback
from pyro_textvae.training.logger import callbacks_of
from pyro_textvae.training.validation import bound_of


@dataclass(frozen=True)
class _Loaded:
    """A run as it is read once."""

    model: nn.Module
    guide: nn.Module
    tokenizer: Tokenizer
    max_length: int


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

    ``model`` and ``guide`` take a name of the catalogue, ``path/to/mine.py:Class``, a class or a
    function; or both take a program that is there already, of which a copy is trained.

    :param settings: of :class:`~pyro_textvae.config.train.TrainConfig`, but those that say which
        text is read. They are checked when ``fit`` is called.
    :raises TypeError: for a setting that there is not.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._folder: RunFolder | None = None
        self._loaded: _Loaded | None = None
        self._trusts_code = True

    def fit(
        self,
        texts: Iterable[str] | str | Path | Corpus,
        y: object = None,
        *,
        valid: Iterable[str] | None = None,
        sources: Iterable[str] | None = None,
        labels: Iterable[object] | None = None,
        out: str | Path | None = None,
        overwrite: bool = False,
        log: str | Callback | Sequence[str | Callback] | None = None,
        callbacks: Sequence[Callback] = (),
        report: Callable[[str], None] | None = print,
    ) -> TextVAE:
        """Train on texts, and keep the weights of the best validation bound.

        When it is interrupted, what was trained so far is kept: :meth:`resume` goes on with it.

        :param texts: strings, such as a column of a data frame or a ``datasets.Dataset``; what
            ``--data`` takes, a name of the catalogue, a folder or a file; or a corpus.
        :param y: not used; scikit-learn gives it.
        :param valid: strings to validate on; every second one is the test split's. By default the
            texts are split 90/5/5.
        :param sources: what each text is conditioned on, in a program that takes a source.
        :param labels: the label of each text, None where it is not given.
        :param out: folder of the run; by default a temporary one, until :meth:`save`.
        :param overwrite: replace the run that stands there.
        :param log: where metrics go besides: ``"csv"``, ``"tensorboard"``, ``"wandb"``,
            ``"mlflow"``, or a list of them.
        :param callbacks: are told how training goes on, see
            :class:`~pyro_textvae.training.Callback`.
        :param report: takes one line of text for each epoch; None for silence.
        :raises UserError: for settings and texts that cannot be trained on, in one line.
        """
        text = given_text(texts, self._settings, valid=valid, sources=sources, labels=labels)
        settings, pair = named(self._settings)
        config = TrainConfig(**{**settings, **text.settings})
        folder = RunFolder(_temporary_folder() if out is None else out)
        begun, say = Begun(), report or _in_silence
        told = [begun, *callbacks_of(log), *callbacks]
        with kept_when_interrupted(folder, begun, say):
            train(
                config,
                folder.path,
                overwrite=overwrite,
                report=say,
                callbacks=told,
                corpus=text.corpus,
                pair=pair,
            )
        self._folder, self._loaded, self._trusts_code = folder, None, True
        return self

    def resume(
        self,
        epochs: int | None = None,
        *,
        log: str | Callback | Sequence[str | Callback] | None = None,
        callbacks: Sequence[Callback] = (),
        report: Callable[[str], None] | None = print,
    ) -> TextVAE:
        """Go on with training from the last checkpoint, bit for bit.

        :param epochs: train to so many in all, in the place of those it was fitted with.
        :param log: as of :meth:`fit`, and so are ``callbacks`` and ``report``.
        """
        begun, say = Begun(), report or _in_silence
        told = [begun, *callbacks_of(log), *callbacks]
        self._loaded = None
        with kept_when_interrupted(self.folder, begun, say):
            resume(
                self.folder.path,
                epochs=epochs,
                trust_code=self._trusts_code,
                report=say,
                callbacks=told,
            )
        if epochs is not None:
            self._settings["epochs"] = epochs
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
    def trusts_code(self) -> bool:
        """Whether code that the run names from outside the catalogue is executed.

        What ``fit`` trains is this program's own; of a run that is loaded, the caller has said it.
        """
        return self._trusts_code

    @property
    def model(self) -> nn.Module:
        """The generative program, with its trained weights."""
        return self._load().model

    @property
    def guide(self) -> nn.Module:
        """The guide, with its trained weights."""
        return self._load().guide

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to ids and back."""
        return self._load().tokenizer

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

    def evaluate(self, **settings: Any) -> Numbers:
        """Every number that ``pyro-textvae evaluate`` prints, by name, written into the run too.

        :param settings: of :class:`~pyro_textvae.config.evaluate.EvaluationConfig`.
        """
        config = EvaluationConfig(**settings)
        evaluation = evaluate(self.folder.path, config, trust_code=self._trusts_code)
        write_evaluation(self.folder.evaluation, evaluation, config, "TextVAE.evaluate")
        return Numbers(evaluation.result)

    def report(self, out: str | Path | None = None) -> Path:
        """Write the HTML page of the run with its pictures, and return its path."""
        return write_report([self.folder.path], out, trust_code=self._trusts_code)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the run into a folder, which the command line takes too.

        :raises UserError: where something stands there that ``overwrite`` does not allow to go.
        """
        new, old = RunFolder(path), self.folder
        new.check_free(overwrite=overwrite)
        if same_place(new.path, old.path):
            return
        with new.writing(), new.replacement() as copy:
            shutil.copytree(old.path, copy.path, ignore=shutil.ignore_patterns("*.lock"))
            new.replace(copy)
        if self._is_trusted():
            remember(read_run(new, trust_code=True).own_code)
        self._folder = new

    @classmethod
    def load(cls, path: str | Path, *, trust_code: bool = False) -> TextVAE:
        """A run as an object, whoever trained it.

        :param trust_code: see :func:`pyro_textvae.load_run`.
        :raises UserError: when ``path`` is no run, or names code that is not trusted.
        """
        folder = RunFolder.of(path)
        loaded = _load_run(folder, trust_code=trust_code)
        settings = folder.read_settings().to_dict()
        known = defaults()
        estimator = cls(**{n: v for n, v in settings.items() if n in known and v != known[n]})
        estimator._folder, estimator._loaded = folder, loaded
        estimator._trusts_code = trust_code
        return estimator

    def _is_trusted(self) -> bool:
        """Whether all code that the run names is trusted where it is."""
        if self._trusts_code:
            return True
        try:
            check_trusted(read_run(self.folder).own_code, trust_code=self._trusts_code)
        except UntrustedCodeError:
            return False
        return True

    def __sklearn_is_fitted__(self) -> bool:
        return self._folder is not None

    def __repr__(self) -> str:
        if self._folder is None:
            return super().__repr__()
        epochs = len(self.history)
        return f"{super().__repr__()}, {epochs} epoch{'' if epochs == 1 else 's'}"

    def _repr_html_(self) -> str:
        shown: dict[str, Any] = self._shown()
        if self._folder is not None:
            history = self.history
            best = min(map(bound_of, history), default=None)
            shown["run"] = str(self._folder)
            shown["epochs done"] = len(history)
            if best is not None:
                shown["best validation bound"] = f"{in_words(best)} nats per sentence"
        return table_of(type(self).__name__, shown)

    def _load(self) -> _Loaded:
        if self._loaded is None:
            self._loaded = _load_run(self.folder, trust_code=self._trusts_code)
        return self._loaded

    def _batch(self, texts: Iterable[str], sources: Iterable[str] | None) -> dict[str, Tensor]:
        """Texts as programs take them."""
        run = self._load()
        listed = given.as_texts(texts)
        condition = self._condition(len(listed), sources)
        beside = {} if isinstance(condition, int) else condition
        source = beside.get(SOURCE)
        rows = rows_of(run.tokenizer, listed, "texts", run.max_length, source)
        return {TOKENS: rows, **beside}

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


def _load_run(folder: RunFolder, *, trust_code: bool) -> _Loaded:
    loaded = load_run(folder, trust_code=trust_code)
    return _Loaded(*loaded, read_run(folder).sizes["max_length"])


def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="pyro-textvae-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / "run"


def _in_silence(line: str) -> None:
    """Take a line of progress and do nothing with it."""
