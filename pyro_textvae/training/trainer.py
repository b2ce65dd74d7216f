# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The trainer: an objective over a model and a guide, stepped by a torch optimiser."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import pyro
import torch
from pyro.infer import ELBO
from torch import Tensor, nn
from tqdm import tqdm

from pyro_textvae.config import TrainConfig
from pyro_textvae.data import Corpus
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import LogLikelihood, information, log_likelihood
from pyro_textvae.evaluation.batches import to_device
from pyro_textvae.infer import PerDatumELBO
from pyro_textvae.training.metrics import MetricsFile, RunningMean
from pyro_textvae.training.random_state import get_random_state, set_random_state
from pyro_textvae.training.run_folder import RunFolder

VALIDATION_SEED = 20_000
"""Every epoch is validated with the same draws, so that epochs differ by the model alone."""


def batch_limits(config: TrainConfig) -> dict[str, Any]:
    """What bounds a training batch: sentences, or tokens where they are given."""
    if config.batch_tokens is not None:
        return {"batch_size": None, "max_tokens": config.batch_tokens}
    return {"batch_size": config.batch_size}


class TrainingError(UserError):
    """Training cannot go on; what was saved before is intact."""


@dataclass
class Progress:
    """Where a run stands, between two steps."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_elbo: float = math.inf
    bad_epochs: int = 0
    decays: int = 0
    finished: bool = False


class Trainer:
    """Trains a pair, keeps the weights of the best validation bound, and can be killed any time.

    The loss of a step is the objective's, divided by the number of sentences of the batch; the
    gradient is clipped by the norm over all parameters together. Validation computes the
    unweighted evidence lower bound whatever the objective is.

    :param objective: any ``pyro.infer.ELBO`` with a ``differentiable_loss``; one with ``advance``
        and ``state_dict`` (a KL schedule) is moved on and saved with the run.
    :param report: receives one line of text for each epoch.
    """

    def __init__(
        self,
        model: nn.Module,
        guide: nn.Module,
        objective: ELBO,
        corpus: Corpus,
        config: TrainConfig,
        folder: RunFolder,
        *,
        report: Callable[[str], None] = print,
    ) -> None:
        self.model = model
        self.guide = guide
        self.objective = objective
        self.loss_module = objective(model, guide)
        self.corpus = corpus
        self.config = config
        self.folder = folder
        self.report = report
        self.modules = nn.ModuleDict({"model": model, "guide": guide})
        self.parameters = [p for p in self.modules.parameters() if p.requires_grad]
        if config.optimizer == "adam":
            self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
                self.parameters, lr=config.learning_rate, fused=True
            )
        else:
            self.optimizer = torch.optim.SGD(self.parameters, lr=config.learning_rate)
        self.progress = Progress()
        self.metrics = MetricsFile(folder.metrics)
        self.timing = MetricsFile(folder.timing)
        self.epoch_mean = RunningMean()
        self.log_mean = RunningMean()

    @property
    def learning_rate(self) -> float:
        """The present learning rate."""
        return self.optimizer.param_groups[0]["lr"]

    def fit(self) -> Progress:
        """Train until the last epoch or the early stop.

        :raises TrainingError: at a loss or gradient that is not finite, before it touches the
            parameters; the batch, the step and the parameter are named.
        """
        if not self.folder.state.exists():
            self.save()
        with pyro.validation_enabled(False):
            while self.progress.epoch < self.config.epochs and not self.progress.finished:
                self._train_epoch()
                self._finish_epoch()
        return self.progress

    def save(self) -> None:
        """Write a checkpoint from which :meth:`restore` goes on bit for bit."""
        self.folder.save_state(
            {
                "modules": self.modules.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "objective": self._objective_state(),
                "progress": asdict(self.progress),
                "epoch_mean": self.epoch_mean.state_dict(),
                "log_mean": self.log_mean.state_dict(),
                "metrics_size": self.metrics.size,
                "timing_size": self.timing.size,
                "random_state": get_random_state(),
            }
        )

    def restore(self, state: dict[str, Any]) -> None:
        """Take up where a checkpoint left off."""
        self.modules.load_state_dict(state["modules"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["objective"] is not None:
            self.objective.load_state_dict(state["objective"])  # type: ignore[attr-defined]
        self.progress = Progress(**state["progress"])
        self.epoch_mean.load_state_dict(state["epoch_mean"])
        self.log_mean.load_state_dict(state["log_mean"])
        self.metrics.cut(state["metrics_size"])
        self.timing.cut(state["timing_size"])
        set_random_state(state["random_state"])

    def _train_epoch(self) -> None:
        config, progress = self.config, self.progress
        plan = self.corpus.plan(
            "train", seed=config.seed, epoch=progress.epoch, **batch_limits(config)
        )
        total, first = len(plan), progress.batch
        self.loss_module.train()
        started, tokens = time.perf_counter(), 0
        with tqdm(
            map(self.corpus.train.batch, plan[first:]),
            initial=first,
            total=total,
            disable=None,
            desc=f"epoch {progress.epoch + 1}",
            leave=False,
        ) as bar:
            for batch in bar:
                self._step(batch)
                tokens += int((batch["tokens"] != 0).sum())
                progress.batch += 1
                progress.step += 1
                if progress.step % config.log_every == 0:
                    self.metrics.append(
                        kind="step",
                        epoch=progress.epoch + 1,
                        step=progress.step,
                        **self.log_mean.means(),
                        **self._schedule(),
                    )
                    bar.set_postfix({k: f"{v:.2f}" for k, v in self.log_mean.means().items()})
                    self.log_mean.clear()
                if progress.step % config.checkpoint_every == 0 and progress.batch < total:
                    self.save()
        seconds = time.perf_counter() - started
        self.timing.append(
            epoch=progress.epoch + 1,
            from_batch=first,
            seconds=round(seconds, 3),
            tokens_per_second=round(tokens / max(seconds, 1e-9)),
        )

    def _step(self, batch: dict[str, Tensor]) -> None:
        size = len(batch["tokens"])
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_module(**to_device(batch, self.modules)) / size
        loss.backward()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        value = loss.item()
        if not (math.isfinite(value) and math.isfinite(norm.item())):
            raise TrainingError(self._describe_breakdown(batch, value))
        nn.utils.clip_grads_with_norm_(self.parameters, self.config.clip_norm, norm)
        self.optimizer.step()
        sums = {"loss": value * size}
        terms = self.objective.latest if isinstance(self.objective, PerDatumELBO) else None
        if terms is not None:
            sums["reconstruction"] = -terms.log_likelihood.mean(0).sum().item()
            sums["kl"] = terms.total_kl.mean(0).sum().item()
        self.epoch_mean.add(size, **sums)
        self.log_mean.add(size, **sums)
        if hasattr(self.objective, "advance"):
            self.objective.advance()

    def _finish_epoch(self) -> None:
        config, progress = self.config, self.progress
        result = self._validate()
        elbo = -result.elbo.mean().item()
        if not math.isfinite(elbo):
            raise TrainingError(
                f"validation bound {elbo} after epoch {progress.epoch + 1}; the last checkpoint is "
                f"{self.folder.state}: try a smaller --learning-rate or --clip-norm"
            )
        improved = elbo < progress.best_elbo
        progress.epoch += 1
        progress.batch = 0
        means = {f"train_{name}": value for name, value in self.epoch_mean.means().items()}
        self.metrics.append(
            kind="epoch",
            epoch=progress.epoch,
            step=progress.step,
            **means,
            valid_elbo=elbo,
            valid_reconstruction=-result.reconstruction.mean().item(),
            valid_kl=result.kl.mean().item(),
            valid_mutual_information=self._mutual_information(),
            learning_rate=self.learning_rate,
            best=improved,
            **self._schedule(),
        )
        self.epoch_mean.clear()
        if improved:
            progress.best_elbo = elbo
            progress.bad_epochs = 0
        elif progress.epoch > self._patience_starts():
            progress.bad_epochs += 1
            if progress.bad_epochs >= config.patience:
                self._decay()
        if improved or config.keep == "last":
            self.folder.save_weights(self.modules)
        self.report(
            f"epoch {progress.epoch:3d}  train loss {means['train_loss']:8.3f}  "
            f"valid elbo {elbo:8.3f} = reconstruction {-result.reconstruction.mean().item():8.3f}"
            f" + kl {result.kl.mean().item():6.3f}" + (" *" if improved else "")
        )
        self.save()

    def _validate(self) -> LogLikelihood:
        batches = self.corpus.batches("valid", self.config.batch_size, shuffle=False)
        return log_likelihood(self.model, self.guide, batches, num_samples=1, seed=VALIDATION_SEED)

    def _mutual_information(self) -> float | None:
        """Of the validation split, at most the log of its number of sentences; None without z."""
        batches = self.corpus.batches("valid", self.config.batch_size, shuffle=False)
        known = information(
            self.model, self.guide, batches, VALIDATION_SEED, total_correlation=False
        )
        return known.mutual_information

    def _patience_starts(self) -> float:
        """Epoch before which a worse bound may be the schedule's doing."""
        scheduled = hasattr(self.objective, "advance") and self.config.kl_schedule != "constant"
        return self.config.kl_epochs if scheduled else 0

    def _decay(self) -> None:
        progress = self.progress
        progress.bad_epochs = 0
        progress.decays += 1
        if progress.decays > self.config.max_decays:
            progress.finished = True
            return
        for group in self.optimizer.param_groups:
            group["lr"] *= self.config.decay

    def _schedule(self) -> dict[str, float]:
        weight = getattr(self.objective, "kl_weight", None)
        return {} if weight is None else {"kl_weight": weight}

    def _objective_state(self) -> dict[str, Any] | None:
        has_state = hasattr(self.objective, "state_dict")
        return self.objective.state_dict() if has_state else None  # type: ignore[attr-defined]

    def _describe_breakdown(self, batch: dict[str, Tensor], loss: float) -> str:
        progress = self.progress
        values = {name: p.detach() for name, p in self.modules.named_parameters()}
        gradients = {
            f"the gradient of {name}": p.grad
            for name, p in self.modules.named_parameters()
            if p.grad is not None
        }
        broken = [name for name, v in (values | gradients).items() if not v.isfinite().all()]
        rows = getattr(batch, "indices", torch.empty(0)).tolist()
        return (
            f"loss {loss} at step {progress.step + 1} (epoch {progress.epoch + 1}, batch "
            f"{progress.batch + 1}, training sentences {rows}); first parameter that is not "
            f"finite: {(broken or ['none'])[0]}; the last good checkpoint is "
            f"{self.folder.state}: try a smaller --learning-rate or --clip-norm"
        )
