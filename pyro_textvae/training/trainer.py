# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The trainer: an objective over a model and a guide, stepped by a torch optimiser."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from pyro.infer import ELBO
from torch import Tensor, nn

from pyro_textvae.config.train import TrainingConfig
from pyro_textvae.contract import TOKENS
from pyro_textvae.data import Corpus
from pyro_textvae.data.batching import Batch
from pyro_textvae.errors import UserError
from pyro_textvae.infer import PerDatumELBO, SentenceAutoGuide
from pyro_textvae.infer.auxiliary import auxiliaries_of
from pyro_textvae.infer.function_program import FunctionProgram, as_program
from pyro_textvae.infer.isolation import isolated
from pyro_textvae.infer.loss_module import loss_module
from pyro_textvae.infer.param_statements import check_statements
from pyro_textvae.infer.running import require_gradients, same_random_state, to_device
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.processes import broadcast_tensors, of_the_first
from pyro_textvae.progress_bar import progress_bar
from pyro_textvae.run_folder.folder import RunFolder
from pyro_textvae.run_folder.saved_weights import check_savable
from pyro_textvae.training.accumulation import (
    Part,
    check_accumulation,
    checkpoint_is_due,
    part_of_step,
)
from pyro_textvae.training.breakdown import broken_bound
from pyro_textvae.training.callback import Callback
from pyro_textvae.training.check_shared import check_shared
from pyro_textvae.training.learning_rate import moves, set_learning_rate
from pyro_textvae.training.metrics import MetricsFile, RunningMean, UnwrittenMetrics
from pyro_textvae.training.prefetch import batches_on
from pyro_textvae.training.procedure import Procedure
from pyro_textvae.training.progress import Progress
from pyro_textvae.training.random_state import get_random_state, set_random_state
from pyro_textvae.training.update import Updates
from pyro_textvae.training.validation import validate


class Trainer:
    """Trains a pair, keeps the weights of the best validation bound, and can be killed any time.

    The loss of a step is the objective's, divided by the number of sentences of the batch; the
    gradient is clipped by the norm over all parameters together. Validation computes the
    unweighted evidence lower bound whatever the objective is.

    >>> import tempfile
    >>> from pyro_textvae import load_corpus
    >>> from pyro_textvae.infer import BetaELBO
    >>> from pyro_textvae.models import LanguageModel
    >>> from pyro_textvae.guides import EmptyGuide
    >>> from pyro_textvae.nn import LSTMDecoder
    >>> corpus = load_corpus("grammar", num_sentences=60)
    >>> decoder = LSTMDecoder(
    ...     vocab_size=len(corpus.tokenizer),
    ...     embedding_dim=4,
    ...     hidden_dim=5,
    ...     latent_dim=0,
    ...     max_length=corpus.max_length,
    ... )
    >>> trainer = Trainer(
    ...     LanguageModel(decoder),
    ...     EmptyGuide(),
    ...     BetaELBO(),
    ...     corpus,
    ...     TrainingConfig(epochs=1, device="cpu"),
    ...     RunFolder(tempfile.mkdtemp()),
    ...     report=lambda line: None,
    ... )
    >>> trainer.fit().epoch
    1

    :param model: an ``nn.Module``, or a function; of a function, the parameters of its
        ``pyro.param`` statements and of the networks that it refers to by name; likewise ``guide``.
    :param config: settings of training alone. Its ``seed`` orders the batches, and its ``device``
        is not used: the modules are trained where they are, with the draws of torch's generator.
    :param folder: where metrics, weights and checkpoints are written.
    :param objective: any ``pyro.infer.ELBO`` with a ``differentiable_loss``; one with ``advance``
        and ``state_dict`` (a KL schedule) is moved on and saved with the run.
    :param procedure: what is done around the steps; by default nothing.
    :param report: receives one line of text for each epoch.
    :param callbacks: are told how it goes on, see :class:`~pyro_textvae.training.Callback`.
    :raises UserError: when the procedure cannot train this pair with these settings, or a run
        cannot keep its weights. Nothing has been written then.
    """

    def __init__(
        self,
        model: nn.Module,
        guide: nn.Module,
        objective: ELBO,
        corpus: Corpus,
        config: TrainingConfig,
        folder: RunFolder,
        *,
        procedure: Procedure | None = None,
        report: Callable[[str], None] = print,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.model = as_program(model)
        self.guide = as_program(guide)
        self.objective = objective
        self.corpus = corpus
        self.config = config
        self.procedure = procedure or Procedure()
        self.report = report
        self.callbacks = tuple(callbacks)
        self._stops = False
        self.modules = nn.ModuleDict({"model": self.model, "guide": self.guide})
        check_savable(self.modules)
        self._collect_statements()
        # Of the auxiliaries nothing is in the run's weights: the checkpoint alone has theirs.
        self.trained = nn.ModuleDict(
            {"model": self.model, "guide": self.guide, "auxiliaries": auxiliaries_of(objective)}
        )
        self.parameters = [p for p in self.trained.parameters() if p.requires_grad]
        self.updates = Updates(self.trained, self.parameters, config, folder.state)
        self.progress = Progress()
        self._has_begun = False
        self.move_to(folder)
        self.epoch_mean = RunningMean()
        self.log_mean = RunningMean()
        self.plan: list[np.ndarray] = []
        check_accumulation(self.procedure, config)
        self._num_steps = 0
        if moves(config):
            each = corpus.num_batches("train", seed=config.seed, **config.batch_limits)
            self._num_steps = config.epochs * each
        with isolated(self.model, self.guide):
            self.procedure.check(self)
        self._check_rows()
        self._train_on(self.procedure.objective(self))
        check_shared(self.updates.shared, self.loss_module, corpus, config)

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The present optimiser."""
        return self.updates.optimizer

    @property
    def learning_rate(self) -> float:
        """The present learning rate."""
        return self.optimizer.param_groups[0]["lr"]

    def fit(self) -> Progress:
        """Train until the last epoch or the early stop.

        :raises UserError: where gradients are turned off.
        :raises TrainingError: at a loss or gradient that is not finite, before it touches the
            parameters; the batch, the step and the parameter are named. On a GPU it is raised at
            the next line of metrics or checkpoint, and nothing is stepped in between.
        :raises UserError: when another process is training into the folder.
        """
        require_gradients()
        self._stops = False
        with self.folder.writing(), isolated(self.trained):
            self.begin()
            try:
                self._tell("on_train_begin")
                self._train_epochs()
            finally:
                self._tell("on_train_end")
        return self.progress

    def stop(self) -> None:
        """End with this epoch, as a callback may ask; a resumed run goes on from there."""
        self._stops = True

    @property
    def path(self) -> Path:
        """The folder that is trained into."""
        return self.folder.path

    def begin(self) -> None:
        """Do what comes before the first step, and write the first checkpoint, once."""
        if self._has_begun:
            return
        self._has_begun = True
        if self.progress.step == 0:
            with isolated(self.model, self.guide):
                self.procedure.before_training(self)
            # Another processor may have computed them to other last digits.
            broadcast_tensors(self.trained.state_dict().values())
        if self.folder.is_written and not self.folder.state.exists():
            self.folder.state.parent.mkdir(parents=True, exist_ok=True)
            self.save()

    def move_to(self, folder: RunFolder) -> None:
        """Write into another folder from now on, where what was written so far has been moved."""
        self.folder = folder
        kind = MetricsFile if folder.is_written else UnwrittenMetrics
        self.metrics = kind(folder.metrics)
        self.timing = kind(folder.timing)
        self.updates.last_checkpoint = folder.state

    def update(
        self,
        batch: Mapping[str, Tensor],
        parameters: list[nn.Parameter] | None = None,
        part: Part | None = None,
    ) -> float | Tensor:
        """Step ``parameters`` down the loss of a batch, and return it, per sentence.

        Neither the KL schedule nor the progress of the run moves on. On a GPU the loss is a tensor
        there, which ``float`` waits for.

        :param parameters: those to step; by default all. The others, and what the optimiser knows
            of them, stay as they are.
        :param part: of a step that takes several batches together; by default this one is all.
        :raises TrainingError: when loss or gradient is not finite; on a GPU only at the next
            :meth:`check_updates`. Nothing is stepped then.
        """
        return self.updates.step(self.loss_module, batch, self.progress, parameters, part)

    def check_updates(self) -> None:
        """Raise what is still to be raised of the updates so far: a GPU is waited for.

        :raises TrainingError: when the loss or gradient of one was not finite.
        """
        self.updates.check()

    def draw_batch(self, generator: torch.Generator) -> Batch:
        """One of the training batches of this epoch, at random and with replacement."""
        index = int(torch.randint(len(self.plan), (), generator=generator))
        return self.corpus.train.batch(self.plan[index])

    def begin_anew(self) -> None:
        """Forget the optimiser's state, the learning rate, the best bound and the patience."""
        self.updates.begin_anew()
        self.progress.begin_anew()
        self.log_mean.clear()

    def save(self) -> None:
        """Write a checkpoint, from which :meth:`load_state_dict` goes on bit for bit.

        :raises TrainingError: as :meth:`check_updates`; nothing is written then.
        """
        self.check_updates()
        if self.folder.is_written:
            self.folder.save_state(self.state_dict())
            self.folder.write_progress(self.progress.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Everything that training changes, in a form that can be saved without pickled code."""
        objective: Any = self.objective
        return {
            "modules": self.modules.state_dict(),
            **self.updates.state_dict(),
            "objective": objective.state_dict() if hasattr(objective, "state_dict") else None,
            "procedure": self.procedure.state_dict(),
            "progress": self.progress.state_dict(),
            "epoch_mean": self.epoch_mean.state_dict(),
            "log_mean": self.log_mean.state_dict(),
            "metrics_size": self.metrics.state_dict()["size"],
            "timing_size": self.timing.state_dict()["size"],
            "random_state": get_random_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was asked for.

        The random generators are set, and the lines of metrics since then are forgotten.

        :raises UserError: when the lines of metrics before it are missing or damaged. No file has
            been changed then.
        """
        objective: Any = self.objective
        self.modules.load_state_dict(state["modules"])
        trained = {name for name, p in self.modules.named_parameters() if p.requires_grad}
        # Checkpoints from before names were kept hold all parameters in the order of that time.
        names = state.get("parameters", [name for name in state["modules"] if name in trained])
        self.updates.load_state_dict({"optimizer": state["optimizer"], "parameters": names})
        if state["objective"] is not None:
            objective.load_state_dict(state["objective"])
        # Checkpoints from before there were procedures have none.
        self.procedure.load_state_dict(state.get("procedure", {}))
        self.progress.load_state_dict(state["progress"])
        self.epoch_mean.load_state_dict(state["epoch_mean"])
        self.log_mean.load_state_dict(state["log_mean"])
        metrics, timing = {"size": state["metrics_size"]}, {"size": state["timing_size"]}
        # Both, before the first is cut.
        self.metrics.check(metrics)
        self.timing.check(timing)
        self.metrics.load_state_dict(metrics)
        self.timing.load_state_dict(timing)
        set_random_state(state["random_state"])

    def _collect_statements(self) -> None:
        """Take in the parameters of functions, and refuse statements that no module answers."""
        batch = self.corpus.train.batch(np.arange(1))
        guide, model = self.guide, self.model
        for program in (guide, model):
            if isinstance(program, FunctionProgram):
                fields = fields_of(program, to_device(batch, program))
                program.collect(fields, publish=not program.given)
        # Where parameters are the modules' own, train has seen to it by check_pair.
        if not pyro.settings.get("module_local_params"):
            check_statements(model, guide, batch)

    def _check_rows(self) -> None:
        """Refuse to validate posteriors that nothing has fitted."""
        has_rows = any(isinstance(part, SentenceAutoGuide) for part in self.guide.modules())
        if has_rows and not self.procedure.fits_other_splits:
            raise UserError(
                f"{type(self.guide).__name__} has a posterior for each sentence, and training "
                "fits those of the training split alone: take the procedure sentence_posteriors, "
                "which fits those of the other splits too"
            )

    def _train_epochs(self) -> None:
        with pyro.validation_enabled(False):
            while self.progress.epoch < self.config.epochs and not (
                self.progress.finished or of_the_first(self._stops)
            ):
                self._train_epoch()
                self._finish_epoch()

    def _train_epoch(self) -> None:
        config, progress = self.config, self.progress
        self._train_on(self.procedure.objective(self))
        self.plan = self.corpus.plan(
            "train", seed=config.seed, epoch=progress.epoch, **config.batch_limits
        )
        total, first = len(self.plan), progress.batch
        self.loss_module.train()
        started, tokens = time.perf_counter(), 0
        ahead = batches_on(self.updates.device, self.plan[first:], self.corpus.train.batch)
        with (
            closing(ahead),
            progress_bar(
                ahead,
                initial=first,
                total=total,
                shown=self.updates.shared.rank == 0,
                desc=f"epoch {progress.epoch + 1}",
            ) as bar,
        ):
            for batch in bar:
                tokens += int(self.corpus.train.lengths[self.plan[progress.batch]].sum())
                self._step(batch)
                progress.batch += 1
                progress.step += 1
                if progress.step % config.log_every == 0:
                    bar.set_postfix({k: f"{v:.2f}" for k, v in self._log_step().items()})
                if progress.batch < total and checkpoint_is_due(progress, config):
                    self.save()
        self.check_updates()
        seconds = time.perf_counter() - started
        self.timing.append(
            epoch=progress.epoch + 1,
            from_batch=first,
            seconds=round(seconds, 3),
            tokens_per_second=round(tokens / max(seconds, 1e-9)),
        )

    def _step(self, batch: Batch) -> None:
        self.procedure.before_step(self, batch)
        set_learning_rate(self.optimizer, self.config, self.progress, self._num_steps)
        part = part_of_step(self.plan, self.progress.batch, self.config.accumulate_batches)
        size = len(batch[TOKENS])
        sums = {"loss": size * self.update(batch, self.procedure.trainable(self), part)}
        objective, number = self.current_objective, self.updates.number
        if isinstance(objective, PerDatumELBO) and objective.latest is not None:
            terms = objective.latest
            sums["reconstruction"] = -number(terms.log_likelihood.mean(0).sum())
            sums["kl"] = number(terms.total_kl.mean(0).sum())
            if terms.global_sites:
                sums["global_kl"] = size * number(terms.global_kl) / len(self.corpus.train)
            for name, values in objective.latest_auxiliaries.items():
                sums[f"auxiliary_{name}"] = number(values.sum())
        self.epoch_mean.add(size, **sums)
        self.log_mean.add(size, **sums)
        if hasattr(objective, "advance"):
            objective.advance()

    def _log_step(self) -> dict[str, float]:
        """Write a line of metrics, and return its means."""
        self.check_updates()
        means = self.log_mean.means()
        line = {
            "kind": "step",
            "epoch": self.progress.epoch + 1,
            "step": self.progress.step,
            **means,
            **self._weights(),
        }
        self.metrics.append(**line)
        self.log_mean.clear()
        if self.callbacks:
            self._tell("on_log", line)
            self.loss_module.train()
        return means

    def _finish_epoch(self) -> None:
        config, progress = self.config, self.progress
        self.procedure.before_validation(self)
        num_draws = (
            self.objective.num_particles
            if getattr(self.objective, "is_importance_weighted", False)
            else 1
        )
        validation = of_the_first(
            validate(self.model, self.guide, self.corpus, config.batch_size, num_draws)
        )
        if not math.isfinite(validation.bound):
            raise broken_bound(validation.bound, progress, self.folder.state)
        improved = validation.bound < progress.best_bound
        progress.epoch += 1
        progress.batch = 0
        means = {f"train_{name}": value for name, value in self.epoch_mean.means().items()}
        line = {
            "kind": "epoch",
            "epoch": progress.epoch,
            "step": progress.step,
            **means,
            **validation.metrics(),
            "learning_rate": self.learning_rate,
            "best": improved,
            **self._weights(),
            **self.procedure.describe(),
        }
        self.metrics.append(**line)
        self.epoch_mean.clear()
        if improved:
            progress.best_bound = validation.bound
            progress.bad_epochs = 0
        elif self._bound_counts():
            progress.bad_epochs += 1
            if progress.bad_epochs >= config.patience:
                self._decay()
        if improved or config.keep == "last":
            self.folder.save_weights(self.modules)
        self.report(
            f"epoch {progress.epoch:3d}  train loss {means['train_loss']:8.3f}  "
            f"valid elbo {validation.elbo:8.3f} = reconstruction {validation.reconstruction:8.3f}"
            f" + kl {validation.kl:6.3f}"
            + (f"  bound of {num_draws} draws {validation.bound:8.3f}" if num_draws > 1 else "")
            + (" *" if improved else "")
        )
        self.procedure.after_epoch(self, validation)
        self.save()
        self._tell("on_epoch_end", line)

    def _tell(self, event: str, *values: Mapping[str, Any]) -> None:
        for each in self.callbacks:
            with same_random_state():
                getattr(each, event)(self, *values)

    def _train_on(self, objective: ELBO) -> None:
        self.current_objective = objective
        size = len(self.corpus.train)
        self.loss_module = loss_module(objective, self.model, self.guide, size)

    def _bound_counts(self) -> bool:
        """Whether neither the KL schedule nor the procedure can be why a bound is worse."""
        if self.current_objective is not self.objective:
            return False
        schedule = getattr(self.objective, "schedule", None)
        return getattr(self.objective, "step", math.inf) > getattr(schedule, "num_steps", 0)

    def _decay(self) -> None:
        progress = self.progress
        progress.bad_epochs = 0
        progress.decays += 1
        if progress.decays > self.config.max_decays:
            progress.finished = True
            return
        for group in self.optimizer.param_groups:
            group["lr"] *= self.config.decay

    def _weights(self) -> dict[str, float]:
        """What the objective weighs its terms by at present."""
        weights: dict[str, float] = getattr(self.current_objective, "describe", dict)()
        kl_weight = getattr(self.current_objective, "kl_weight", None)
        return weights if kl_weight is None else {"kl_weight": kl_weight, **weights}
