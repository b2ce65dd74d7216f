# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Callbacks and loggers hear of every line of metrics and change none."""

import csv
import json
import sys
import types

import pytest
import torch

from pyro_textvae.cli.main import main
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.runs import resume, train
from pyro_textvae.training import Callback
from pyro_textvae.training.logger import callbacks_of

SETTINGS = {
    "data": "grammar",
    "num_sentences": 60,
    "embedding_dim": 4,
    "hidden_dim": 5,
    "latent_dim": 2,
    "epochs": 2,
    "log_every": 1,
    "batch_size": 24,
    "device": "cpu",
}


def silent(line):
    """Nothing is printed."""


class Everything(Callback):
    def __init__(self):
        self.told = []

    def on_train_begin(self, trainer):
        self.told.append("begin")

    def on_log(self, trainer, metrics):
        trainer.model.eval()
        torch.rand(3)
        self.told.append((metrics["kind"], metrics["step"]))

    def on_epoch_end(self, trainer, metrics):
        assert (trainer.path / "state" / "last.pt").is_file()
        torch.manual_seed(7)
        self.told.append((metrics["kind"], metrics["step"]))

    def on_train_end(self, trainer):
        self.told.append("end")


def test_callbacks_hear_all_and_change_nothing(tmp_path):
    train(TrainConfig(**SETTINGS), tmp_path / "plain", report=silent)
    hears = Everything()
    train(TrainConfig(**SETTINGS), tmp_path / "heard", report=silent, callbacks=[hears])
    lines = (tmp_path / "plain" / "metrics.jsonl").read_text()
    assert (tmp_path / "heard" / "metrics.jsonl").read_text() == lines
    told = [(line["kind"], line["step"]) for line in map(json.loads, lines.splitlines())]
    assert hears.told == ["begin", *told, "end"]


def test_stop_and_go_on(tmp_path):
    class Stop(Callback):
        def on_epoch_end(self, trainer, metrics):
            trainer.stop()

    train(TrainConfig(**SETTINGS), tmp_path / "plain", report=silent)
    run = tmp_path / "stopped"
    progress = train(TrainConfig(**SETTINGS), run, report=silent, callbacks=[Stop()])
    # Not finished for good, as after an early stop.
    assert (progress.epoch, progress.finished) == (1, False)
    assert resume(run, report=silent).epoch == 2
    lines = (tmp_path / "plain" / "metrics.jsonl").read_text()
    assert (run / "metrics.jsonl").read_text() == lines


def test_end_is_told_when_a_callback_breaks(tmp_path):
    class Breaks(Everything):
        def on_log(self, trainer, metrics):
            raise KeyboardInterrupt

    hears = Breaks()
    with pytest.raises(KeyboardInterrupt):
        train(TrainConfig(**SETTINGS), tmp_path / "run", report=silent, callbacks=[hears])
    assert hears.told == ["begin", "end"]


@pytest.fixture
def services(monkeypatch):
    """Stand-ins of the three libraries, which write down what they are sent."""
    sent = {"tensorboard": [], "wandb": [], "mlflow": []}

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            sent["tensorboard"].append(("open", purge_step))

        def add_scalar(self, name, value, step):
            sent["tensorboard"].append((step, name, value))

        def flush(self):
            """Nothing is buffered."""

        def close(self):
            sent["tensorboard"].append("close")

    class Run:
        def log(self, values, step):
            sent["wandb"] += [(step, *item) for item in values.items()]

        def finish(self):
            sent["wandb"].append("close")

    def init(**given):
        sent["wandb"].append(("open", given["name"], given["config"]["epochs"]))
        return Run()

    modules = {
        "tensorboardX": {"SummaryWriter": SummaryWriter},
        "wandb": {"init": init},
        "mlflow": {
            "start_run": lambda run_name: sent["mlflow"].append(("open", run_name)),
            "log_params": lambda values: sent["mlflow"].append(("settings", values["epochs"])),
            "log_metrics": lambda values, step: sent["mlflow"].extend(
                (step, *item) for item in values.items()
            ),
            "end_run": lambda: sent["mlflow"].append("close"),
        },
    }
    for name, members in modules.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    return sent


def test_mlflow_that_refuses_its_place_is_one_line(tmp_path, services, monkeypatch, capsys):
    """As from 3.17 on it refuses a folder of files."""

    class MlflowException(Exception):
        pass

    def refuse(run_name):
        raise MlflowException("no folder of files")

    monkeypatch.setattr(sys.modules["mlflow"], "start_run", refuse)
    monkeypatch.setattr(sys.modules["mlflow"], "MlflowException", MlflowException, raising=False)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    assert main(["train", *flags, f"--out={tmp_path / 'run'}", "--log=mlflow"]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "mlflow begins no run, and says: no folder of files" in told
    assert services["mlflow"] == []


def test_loggers_send_every_number_once(tmp_path, services, capsys):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    run = tmp_path / "run"
    log = "--log=csv,tensorboard,wandb,mlflow"
    assert main(["train", *flags, f"--out={run}", log]) == 0
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    beside = ("kind", "epoch", "step", "best")
    wanted = [
        (line["step"], f"{line['kind']}/{name}", value)
        for line in lines
        for name, value in line.items()
        if name not in beside
    ]
    assert services["tensorboard"] == [("open", 1), *wanted, "close"]
    assert services["wandb"] == [("open", "run", 2), *wanted, "close"]
    assert services["mlflow"] == [("open", "run"), ("settings", 2), *wanted, "close"]
    assert main(["train", f"--resume={run}", "--epochs=3", "--log=csv"]) == 0
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [line for line in lines if line["kind"] == "epoch"]
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert float(rows[1]["valid_elbo"]) == epochs[1]["valid_elbo"]


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ("tensorbord", "there is no logger 'tensorbord'; did you mean 'tensorboard'"),
        ("csv,csv", "log has csv twice"),
        ("tensorboard", r"needs the package tensorboardX.*pip install 'pyro-textvae\[log\]'"),
    ],
)
def test_logs_that_cannot_be_kept(log, message, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UserError, match=message):
        callbacks_of(log)
    assert main(["train", "--data=grammar", f"--log={log}", f"--out={tmp_path / 'run'}"]) == 2
    assert not (tmp_path / "run").exists()
