# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from pyro_textvae.evaluation.importance.partial_results import PartialResults

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


def test_rows_of_another_evaluation_are_not_taken(place):
    PartialResults(place, "a").add([7, 8], COLUMNS)
    other = PartialResults(place, "b")
    assert other.columns([7]) is None
    other.add([7], {name: column[:1] for name, column in COLUMNS.items()})
    assert PartialResults(place, "b").columns([7]) is not None
    assert PartialResults(place, "a").columns([7]) is None


def test_line_cut_short_by_a_kill_is_left_out_and_spoils_no_other(place):
    PartialResults(place, "a").add([7, 8], COLUMNS)
    file = place.with_name("evaluation.partial.0")
    file.write_bytes(file.read_bytes()[:-20])
    kept = PartialResults(place, "a")
    assert kept.columns([7]) is not None
    assert kept.columns([8]) is None
    kept.add([8], {name: column[1:] for name, column in COLUMNS.items()})
    assert PartialResults(place, "a").columns([7, 8]) is not None


def test_rows_of_all_processes_are_read_and_removed(place):
    first = PartialResults(place, "a")
    first.add([7, 8], COLUMNS)
    file = place.with_name("evaluation.partial.0")
    file.rename(place.with_name("evaluation.partial.1"))
    again = PartialResults(place, "a")
    assert again.columns([7, 8]) is not None
    again.remove()
    assert list(place.parent.iterdir()) == []


def test_columns_without_values_come_back(place):
    PartialResults(place, "a").add([7], {"curve": torch.zeros(1, 0, dtype=torch.float64)})
    assert PartialResults(place, "a").columns([7])["curve"].shape == (1, 0)
