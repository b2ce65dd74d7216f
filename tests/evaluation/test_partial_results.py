# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.importance.partial_results import (
    PartialResults,
    partial_results,
    remove_partial_results,
)

COLUMNS = {
    "log_px": torch.tensor([-1.0 / 3, -math.inf], dtype=torch.float64),
    "khat": torch.tensor([math.nan, 0.25], dtype=torch.float64),
    "curve": torch.tensor([[1.0, 2.0], [3.0, 1e-300]], dtype=torch.float64),
    "num_draws": torch.tensor([5, 6]),
}


@pytest.fixture
def place(tmp_path):
    return tmp_path / "evaluation.partial"


def test_rows_come_back_bit_for_bit_in_another_process(place):
    PartialResults(place, "a").add([7, 8], COLUMNS)
    found = PartialResults(place, "a").columns([8, 7, 8])
    for name, column in COLUMNS.items():
        torch.testing.assert_close(found[name], column[[1, 0, 1]], rtol=0, atol=0, equal_nan=True)
        assert found[name].dtype == column.dtype


def test_sentences_are_done_all_or_not(place):
    kept = PartialResults(place, "a")
    kept.add([7, 8], COLUMNS)
    again = PartialResults(place, "a")
    assert again.columns([7, 9]) is None
    assert again.columns([7])["num_draws"].tolist() == [5]


def file_of(place, rank=0):
    """The only file of partial results."""
    (file,) = place.parent.glob(f"evaluation.partial.*.{rank}")
    return file


def test_evaluations_side_by_side_keep_to_their_rows(place):
    """Rows of both are written in turn, and neither ends what the other has finished."""
    long, short = PartialResults(place, "a"), PartialResults(place, "b")
    long.add([7], {name: column[:1] for name, column in COLUMNS.items()})
    short.add([7], {name: column[1:] for name, column in COLUMNS.items()})
    long.add([8], {name: column[1:] for name, column in COLUMNS.items()})
    assert PartialResults(place, "b").columns([7])["num_draws"].tolist() == [6]
    assert PartialResults(place, "b").columns([8]) is None
    remove_partial_results(place, "b")
    assert PartialResults(place, "a").columns([7, 8])["num_draws"].tolist() == [5, 6]


def test_rows_in_the_file_of_another_evaluation_are_not_taken(place):
    PartialResults(place, "a").add([7], {name: column[:1] for name, column in COLUMNS.items()})
    strange = file_of(place).read_text().splitlines()[1]
    remove_partial_results(place, "a")
    PartialResults(place, "b")
    with file_of(place).open("a") as file:
        file.write(strange + "\n")
    assert PartialResults(place, "b").columns([7]) is None


def test_line_cut_short_by_a_kill_is_left_out_and_spoils_no_other(place):
    PartialResults(place, "a").add([7, 8], COLUMNS)
    file = file_of(place)
    file.write_bytes(file.read_bytes()[:-20])
    kept = PartialResults(place, "a")
    assert kept.columns([7]) is not None
    assert kept.columns([8]) is None
    kept.add([8], {name: column[1:] for name, column in COLUMNS.items()})
    assert PartialResults(place, "a").columns([7, 8]) is not None


def test_rows_of_all_processes_are_read_and_removed(place):
    first = PartialResults(place, "a")
    first.add([7, 8], COLUMNS)
    file = file_of(place)
    file.rename(file.with_suffix(".1"))
    again = PartialResults(place, "a")
    assert again.columns([7, 8]) is not None
    remove_partial_results(place, "a")
    assert list(place.parent.iterdir()) == []


def test_columns_without_values_come_back(place):
    PartialResults(place, "a").add([7], {"curve": torch.zeros(1, 0, dtype=torch.float64)})
    assert PartialResults(place, "a").columns([7])["curve"].shape == (1, 0)


def test_an_evaluation_has_one_writer(place):
    with partial_results(place, "a"), partial_results(place, "b"):
        with pytest.raises(UserError, match="same evaluation into .* being written by process"):
            partial_results(place, "a").__enter__()
    with partial_results(None, None) as kept:
        assert kept is None
    assert not list(place.parent.glob("*lock*"))
