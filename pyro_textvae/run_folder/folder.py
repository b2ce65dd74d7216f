# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The folder of a run: what is where, each file written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model, save_model
from torch import Tensor, nn

from pyro_textvae.config.checks import check_argument
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.run_folder.environment import describe_environment
from pyro_textvae.run_folder.files import (
    UNFINISHED,
    plain_json,
    remove_unfinished,
    unfinished,
    write_atomically,
    write_json,
    write_text,
)
from pyro_textvae.run_folder.one_writer import one_writer

FORMAT = 1
_BUILT_FROM = ("settings", "specs", "sizes", "tokenizer_fingerprint", "corpus_fingerprint")


def paths_of_runs(paths: Sequence[str | Path]) -> list[Path]:
    """The folders of several runs.

    :raises UserError: for what is no list of paths.
    """
    if isinstance(paths, str | bytes) or not isinstance(paths, Sequence):
        raise UserError(f"runs are given as a list of their folders, got {paths!r}")
    return [RunFolder(path).path for path in paths]


class RunFolder:
    """Paths and files of one run.

    config.yaml
        The settings, as given to ``train``: ``train --config`` takes it.
    config.json
        What rebuilds the model: the settings, the sizes found in the corpus, its fingerprint.
    model.safetensors
        Weights of model and guide at the best validation bound.
    tokenizer.json
        The tokenizer, in the format of Hugging Face ``tokenizers``.
    metrics.jsonl
        One JSON object a line; nats per sentence. Holds no times: a resumed run repeats it exactly.
    timing.jsonl
        Seconds and tokens per second of each epoch.
    state/last.pt
        Everything that a resumed run needs.
    state/progress.json
        Where training stood at that checkpoint: what is finished can be told without opening it.
    source/, pretrained/
        Copies of files of the user's own, and of the pre-trained models it was made of.
    environment.json
        Versions, machine, commit.
    evaluation.json, evaluation.sentences.jsonl
        The numbers of the last evaluation, in all and of every sentence.
    generation.json
        The numbers of the last assessment of generated text.
    report/
        The pictures of report.
    writer.lock
        Process and host of who is training the run at present.
    unfinished-*
        What is not yet what it is to be; of a process that was killed, the next writer removes it.
    """

    is_written: bool = True
    """Whether this process writes the run, and no other one."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(check_argument("the path of a run", path, str))
        try:
            os.lstat(self.path)
        except ValueError as error:  # a null character, or none that the file system takes
            raise UserError(f"{str(path)!r} is no path of a run: {error}") from error
        except OSError:
            pass
        self._name = str(path)
        self.config_yaml = self.path / "config.yaml"
        self.config_json = self.path / "config.json"
        self.weights = self.path / "model.safetensors"
        self.tokenizer = self.path / "tokenizer.json"
        self.metrics = self.path / "metrics.jsonl"
        self.timing = self.path / "timing.jsonl"
        self.state = self.path / "state" / "last.pt"
        self.progress = self.path / "state" / "progress.json"
        self.environment = self.path / "environment.json"
        self.evaluation = self.path / "evaluation.json"
        self.sentences = self.path / "evaluation.sentences.jsonl"
        self.generation = self.path / "generation.json"
        self._lock = self.path / "writer.lock"
        self._is_writing = False
        self._config: tuple[tuple[int, ...], dict[str, Any], TrainConfig] | None = None

    @classmethod
    def of(cls, run: str | Path | RunFolder) -> RunFolder:
        """The folder of a run; a ``RunFolder`` itself, with what it has read, is returned."""
        return run if isinstance(run, RunFolder) else cls(run)

    def __str__(self) -> str:
        """The path, as it was given."""
        return self._name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"

    @property
    def of_training(self) -> tuple[Path, ...]:
        """The files that ``train`` writes, but for the checkpoint and the sources."""
        return (
            self.config_yaml,
            self.config_json,
            self.weights,
            self.tokenizer,
            self.metrics,
            self.timing,
            self.progress,
            self.environment,
        )

    def check_free(self, *, overwrite: bool) -> None:
        """Refuse to put a new run where something is that it may not replace.

        :raises UserError: when the folder holds anything, unless it is a run and ``overwrite`` is
            set.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file: choose another --out")
        if not self._holds_anything():
            return
        if not self.is_run():
            raise UserError(f"{self.path} is not empty and not a run: choose another --out")
        self.check_files()
        if not overwrite:
            raise UserError(
                f"{self.path} already holds a run: give --overwrite to replace it, "
                f"--resume {self.path} to go on with it, or another --out"
            )

    def check_files(self) -> None:
        """Refuse to write into a run, or over it, where something is in the way of its files.

        :raises UserError: for a folder in the place of a file.
        """
        for path in (*self._of_training_and_evaluation, self.state):
            if path.is_dir() and not path.is_symlink():
                raise UserError(
                    f"{path} is a folder, where a run has a file: move it away, or choose another "
                    "--out"
                )

    def _holds_anything(self) -> bool:
        """Whether more is in the folder than a killed process left on its way."""
        return self.path.is_dir() and any(
            not entry.name.startswith(UNFINISHED) and entry != self._lock
            for entry in self.path.iterdir()
        )

    def create(self, settings: dict[str, Any], *, overwrite: bool) -> None:
        """Make the folder, and first of all config.yaml in it, by which it is recognised as a run.

        :raises UserError: as :meth:`check_free`.
        """
        self.check_free(overwrite=overwrite)
        if self.is_run():
            self._remove_own_files()
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_settings(settings)
        self.state.parent.mkdir(exist_ok=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other processes from writing the run; this one may enter it again.

        What killed writers left on their way is brought to its end, or removed.

        :raises UserError: when another process is writing the run.
        """
        if self._is_writing:
            yield
            return
        self.path.mkdir(parents=True, exist_ok=True)
        with one_writer(self._lock, str(self.path)):
            self._is_writing = True
            try:
                self._finish_replacing()
                for folder in (self.path, self.state.parent):
                    remove_unfinished(folder)
                # The temporary files of safetensors.
                for path in self.path.glob(".tmp??????"):
                    path.unlink()
                yield
            finally:
                self._is_writing = False

    @contextmanager
    def replacement(self) -> Iterator[RunFolder]:
        """A folder for a run that is to replace this one, by :meth:`replace`; removed otherwise."""
        new = RunFolder(unfinished(self.path / "run"))
        # A killed process may have had this one's number.
        shutil.rmtree(new.path, ignore_errors=True)
        try:
            yield new
        finally:
            shutil.rmtree(new.path, ignore_errors=True)

    def replace(self, new: RunFolder) -> None:
        """Put a run in the place of this one: after a kill at any moment the next writer goes on.

        :param new: of :meth:`replacement`.
        """
        os.replace(new.path, self._replacing)
        self._finish_replacing()

    @property
    def _replacing(self) -> Path:
        """The new run while the old one is being removed."""
        return self.path / f"{UNFINISHED}replacement"

    @property
    def _moving(self) -> Path:
        """The new run while it is moved into the place of the old one, which is gone."""
        return self.path / f"{UNFINISHED}move"

    def _finish_replacing(self) -> None:
        if self._replacing.is_dir():
            self._remove_own_files()
            os.replace(self._replacing, self._moving)
        if self._moving.is_dir():
            # config.json comes last: without it a run cannot be read.
            names = sorted(entry.name for entry in self._moving.iterdir())
            for name in sorted(names, key=self.config_json.name.__eq__):
                os.replace(self._moving / name, self.path / name)
            self._moving.rmdir()

    def _remove_own_files(self) -> None:
        """Remove what a run writes, and nothing that a person may have put beside it."""
        # Without config.json what is left is not taken for a run.
        self.config_json.unlink(missing_ok=True)
        for name in ("state", "source", "pretrained", "report"):
            path = self.path / name
            if path.is_symlink():
                # What it leads to is not the run's.
                path.unlink()
            shutil.rmtree(path, ignore_errors=True)
        for path in self._of_training_and_evaluation:
            path.unlink(missing_ok=True)

    @property
    def _of_training_and_evaluation(self) -> list[Path]:
        """All files that a new run replaces, those of unfinished evaluations too."""
        partial = self.path.glob("evaluation.partial.*")
        return [*self.of_training, self.evaluation, self.sentences, self.generation, *partial]

    def is_run(self) -> bool:
        """Whether ``train`` made this folder."""
        files = (self.config_yaml, self.config_json)
        return any(path.is_file() for path in files) or self._is_being_replaced()

    def _is_being_replaced(self) -> bool:
        return self._replacing.is_dir() or self._moving.is_dir()

    def read_config(self) -> dict[str, Any]:
        """The contents of config.json, which is read again only where it has changed.

        :raises UserError: when this is no run, or the file is damaged.
        """
        return self._read_config()[0]

    def read_settings(self) -> TrainConfig:
        """The settings of the run, from config.json.

        :raises UserError: as :meth:`read_config`.
        """
        return self._read_config()[1]

    def _read_config(self) -> tuple[dict[str, Any], TrainConfig]:
        if not self.config_json.is_file() and self._is_being_replaced():
            raise UserError(
                f"{self.path} was being replaced by another run when that was stopped: go on with "
                f"train --resume {self.path}"
            )
        if self.config_yaml.is_file() and not self.config_json.is_file():
            raise UserError(
                f"{self.path} was stopped before its training began: train it again with "
                f"--config {self.config_yaml} --out {self.path} --overwrite"
            )
        if not self.config_json.is_file():
            missing = "no such folder" if not self.path.exists() else "it has no config.json"
            raise UserError(f"{self.path} is not a run ({missing}): give a folder made by train")
        file = self.config_json.stat()
        version = (file.st_ino, file.st_mtime_ns, file.st_size)
        if self._config is None or self._config[0] != version:
            self._config = (version, *self._parse_config())
        return self._config[1:]

    def _parse_config(self) -> tuple[dict[str, Any], TrainConfig]:
        try:
            config = json.loads(self.config_json.read_text(encoding="utf-8"))
            if config["format"] != FORMAT:
                raise UserError(
                    f"{self.config_json} has format {config['format']}, this version reads {FORMAT}"
                )
            for name in _BUILT_FROM:
                config[name]
            return config, TrainConfig(**config["settings"])
        except UserError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.config_json} is damaged ({error}): train the run again"
            ) from error

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Write config.yaml."""
        import yaml

        write_text(self.config_yaml, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))

    def write_config(self, settings: dict[str, Any], built: dict[str, Any]) -> None:
        """Write config.yaml, environment.json and config.json."""
        self.write_settings(settings)
        write_json(self.environment, describe_environment())
        write_json(self.config_json, {"format": FORMAT, "settings": settings, **built})

    def save_weights(self, modules: nn.Module) -> None:
        """Write model.safetensors; tied parameters are stored once."""
        write_atomically(self.weights, lambda path: save_model(modules, str(path)))

    def load_weights(self, modules: nn.Module) -> None:
        """Read model.safetensors into ``modules``.

        :raises UserError: when the file is missing, cut short, or of another model.
        """
        try:
            with self._readable_weights():
                load_model(modules, str(self.weights))
        except RuntimeError as error:
            raise UserError(
                f"{self.weights} belongs to another model than {self.config_json.name} describes: "
                "put the run's own back"
            ) from error

    def read_weights(self) -> dict[str, Tensor]:
        """The tensors of model.safetensors, by name.

        :raises UserError: when the file is missing or cut short.
        """
        with self._readable_weights():
            return load_file(self.weights)

    @contextmanager
    def _readable_weights(self) -> Iterator[None]:
        if not self.weights.is_file():
            raise UserError(
                f"{self.path} has no model.safetensors: no epoch was finished; "
                f"go on with train --resume {self.path}"
            )
        try:
            yield
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{self.weights} is damaged ({str(error).splitlines()[0]}): train the run again"
            ) from error

    def save_state(self, state: dict[str, Any]) -> None:
        """Write state/last.pt."""

        def write(path: Path) -> None:
            with open(path, "wb") as file:
                torch.save(state, file)

        write_atomically(self.state, write)

    def load_state(self) -> dict[str, Any] | None:
        """Read state/last.pt; None when training never got so far.

        :raises UserError: when the file is cut short.
        """
        if not self.state.is_file():
            return None
        try:
            return torch.load(self.state, map_location="cpu", weights_only=True)
        except Exception as error:
            raise UserError(
                f"{self.state} is damaged ({in_one_line(error)}): model.safetensors still holds "
                "the best weights; train again with --overwrite to start anew"
            ) from error

    def check_untrained(self) -> None:
        """Refuse to begin anew, for want of a checkpoint, over what training has written.

        :raises UserError: when there are weights or lines of metrics.
        """
        for path in (self.weights, self.metrics):
            if path.is_file() and path.stat().st_size > 0:
                raise UserError(
                    f"{self.path} has {path.name}, but its checkpoint {self.state} is gone: put it "
                    f"back, or train the run anew with --config {self.config_yaml} "
                    f"--out {self.path} --overwrite"
                )

    def write_progress(self, progress: Mapping[str, Any]) -> None:
        """Write state/progress.json, after the checkpoint that it speaks of.

        A kill in between leaves one that is of another checkpoint, which it says by the size of
        that, or one that lags behind: it never says more than the checkpoint holds.

        :param progress: epoch, batch, step, finished, ...: plain values.
        """
        size = self.state.stat().st_size
        write_json(self.progress, plain_json({**progress, "checkpoint_bytes": size}))

    def read_progress(self) -> dict[str, Any] | None:
        """Where training stood at the checkpoint, without opening that.

        A checkpoint that was taken away, as where the numbers of a run are kept and not its
        weights, stood where progress.json says.

        :returns: None where nothing certain is known: progress.json is of another checkpoint, is
            damaged or missing, as in runs of earlier versions.
        """
        try:
            progress = json.loads(self.progress.read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(progress, dict):
            return None
        size = progress.pop("checkpoint_bytes", None)
        if size is None or (self.state.is_file() and self.state.stat().st_size != size):
            return None
        return progress
