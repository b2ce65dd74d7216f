# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Processes that share a batch, and one that takes it in parts, take the steps of one process."""

import multiprocessing

import pytest
import torch
from torch.multiprocessing import start_processes

from pyro_textvae import zoo
from pyro_textvae.errors import UserError

from . import shared_cases
from .shared_cases import (
    CASES,
    CONSTRAINTS,
    OBJECTIVES,
    PROGRAMS,
    SETTINGS,
    largest_difference,
    rows_of,
    train_case,
)

SOME = (
    "mutual_information",
    "minimum_desired_rate",
    "von_mises_fisher",
    "aggressive_encoder",
    "batches of one sentence",
    "accumulate",
    "accumulate_batches",
)
"""What is made of a whole batch, draws by rejection, steps within steps, ranks without a row."""


def train_in_processes(size, names, path, **options):
    """Train cases in several processes that are started once."""
    # The imports are done once, and not by every process.
    multiprocessing.set_forkserver_preload([shared_cases.__name__])
    arguments = (size, path / "meeting", names, path / f"in {size}", options)
    start_processes(shared_cases.train_in_a_rank, arguments, nprocs=size, start_method="forkserver")
    return {name: rows_of(path / f"in {size}" / name) for name in names}


def test_two_processes_take_the_steps_of_one(tmp_path):
    options = {"epochs": 1, "num_sentences": 30}
    found = train_in_processes(2, SOME, tmp_path, **options)
    for name in SOME:
        alone = train_case(name, tmp_path / "alone" / name, **options)
        assert largest_difference(alone, found[name]) < 1e-12, name
        assert len({row["loss"] for row in alone if row["kind"] == "step"}) > 1


def test_every_objective_constraint_and_procedure_has_a_case():
    for kind in ("objective", "constraint", "procedure"):
        members = {case.get(kind, SETTINGS.get(kind)) for case in CASES.values()}
        assert {*zoo.names(f"{kind}s")} - {"beta_elbo"} <= members, kind


def worst_of(names, size, tmp_path, **options):
    found = train_in_processes(size, list(names), tmp_path, **options)
    return {
        name: largest_difference(train_case(name, tmp_path / "alone" / name, **options), rows)
        for name, rows in found.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_two_hundred_steps_of_every_objective_and_constraint(tmp_path, dtype, most):
    options = {"epochs": 8, "num_sentences": 400, "dtype": dtype}
    worst = worst_of({**OBJECTIVES, **CONSTRAINTS}, 2, tmp_path, **options)
    assert {name for name, value in worst.items() if not value < most} == set(), worst


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_processes_take_the_steps_of_one_with_every_program(tmp_path, size):
    worst = worst_of(PROGRAMS, size, tmp_path, epochs=4)
    assert {name for name, value in worst.items() if not value < 1e-10} == set(), worst


PARTS = (
    "iwae",
    "document_vae",
    "transformer",
    "labelled_vae of two draws",
    "accumulate_batches",
)


@pytest.mark.parametrize("name", PARTS)
def test_batch_in_parts_is_the_step_of_the_whole(tmp_path, name):
    options = {"epochs": 1, "num_sentences": 40}
    whole = train_case(name, tmp_path / "whole", **options)
    parts = train_case(name, tmp_path / "parts", accumulate=3, **options)
    assert largest_difference(whole, parts) < 1e-12


@pytest.mark.parametrize("name", [n for n in CONSTRAINTS if n != "free_bits"])
def test_constraint_on_a_whole_batch_is_not_taken_in_parts(tmp_path, name):
    with pytest.raises(UserError, match="accumulate=2 does not go with .*accumulate_batches"):
        train_case(name, tmp_path, accumulate=2)


@pytest.mark.parametrize("name", ["von_mises_fisher", "power_spherical"])
def test_draw_by_rejection_is_not_taken_in_parts(tmp_path, name):
    with pytest.raises(UserError, match="accumulate takes a batch in parts.*draw by rejection"):
        train_case(name, tmp_path, accumulate=2)


def test_objective_that_is_no_sum_over_sentences_is_refused(tmp_path):
    objective = f"{shared_cases.__name__}:OfBatchMean"
    with pytest.raises(UserError, match="OfBatchMean .*does not go with accumulate=2: the loss of"):
        train_case("beta_elbo", tmp_path, accumulate=2, objective=objective)
    assert not any(tmp_path.glob("*.jsonl"))
