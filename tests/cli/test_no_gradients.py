# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What takes gradients says so where they are turned off."""

import pytest
import torch

from pyro_textvae.cli.train import TrainOptions, _default_folder


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_training(check_refused, train, context):
    with context():
        check_refused(r"training takes gradients, .*: call it outside of torch\.no_grad", *train)


def test_going_on(check_refused, run_copy):
    with torch.no_grad():
        check_refused(
            "training takes gradients, which are turned off", *("train", "--resume", run_copy),
            *("--epochs", "2"),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("proposal", "num_samples"), [("refined", 2), ("mixture", 2), ("annealed", 2), ("auto", 10)]
)
def test_proposals(check_refused, run_copy, proposal, num_samples):
    with torch.inference_mode():
        check_refused(
            rf"the {proposal} proposal takes gradients, .*: evaluate outside of it",
            *("evaluate", str(run_copy), "--num-samples", str(num_samples)),
            *("--proposal", proposal),
        )


def test_default_folder_of_the_working_folder(monkeypatch, tmp_path):
    (tmp_path / "texts").mkdir()
    monkeypatch.chdir(tmp_path / "texts")
    assert _default_folder(TrainOptions(data=".")) == "runs/texts-sentence_vae"
