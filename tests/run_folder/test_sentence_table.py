# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import json
import math
import os
import re
from pathlib import Path

import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.run_folder.sentence_table import (
    read_sentence_table,
    sentence_table_path,
    write_sentence_table,
)
from pyro_textvae.units import UNITS

HEADER = {"evaluation": "e1", "columns": ["index", "log_px"], "units": UNITS}
ROWS = [{"index": 0, "log_px": -1.5}, {"index": 1, "log_px": None}]


def columns():
    return {
        "num_tokens": torch.tensor([4, 1, 5]),
        "log_px": torch.tensor([-1 / 3, -7.0, -1e-300], dtype=torch.float64),
        "khat": torch.tensor([0.5, -math.inf, math.nan], dtype=torch.float64),
    }


def write_lines(path, *lines):
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_what_is_written_is_read_bit_for_bit(tmp_path):
    path = tmp_path / "evaluation.sentences.jsonl"
    write_sentence_table(path, "né\u2028w", columns())
    evaluation_id, found = read_sentence_table(path)
    assert evaluation_id == "né\u2028w"
    assert list(found) == ["num_tokens", "log_px", "khat"]
    assert found["num_tokens"].dtype == torch.int64
    assert found["log_px"].dtype == torch.float64
    assert torch.equal(found["num_tokens"], columns()["num_tokens"])
    assert torch.equal(found["log_px"], columns()["log_px"])
    assert found["khat"].isnan().tolist() == [False, True, True]


def test_lines_are_json_that_other_programs_read(tmp_path):
    path = tmp_path / "table.jsonl"
    write_sentence_table(path, "e1", columns())
    header, *rows = path.read_text().splitlines()
    assert json.loads(header) == {
        "evaluation": "e1",
        "columns": ["index", "num_tokens", "log_px", "khat"],
        "units": UNITS,
    }
    assert not re.search("NaN|Infinity", "".join(rows))
    assert json.loads(rows[1]) == {"index": 1, "num_tokens": 1, "log_px": -7.0, "khat": None}


def test_file_lies_beside_its_evaluation():
    assert sentence_table_path("a/evaluation.json") == Path("a/evaluation.sentences.jsonl")


def test_failed_write_leaves_the_old_table(tmp_path, monkeypatch):
    path = tmp_path / "table.jsonl"
    write_sentence_table(path, "old", columns())

    def fail(*names):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError, match="cannot write .*table.jsonl: disk full"):
        write_sentence_table(path, "new", columns())
    assert read_sentence_table(path)[0] == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"index": torch.arange(2)}, "'index' is written by itself: leave it out"),
        ({"a": torch.zeros(2), "b": torch.zeros(3)}, r"one length, .*'a': \(2,\), 'b': \(3,\)"),
        ({"a": torch.zeros(2, 2)}, r"must be vectors of one length"),
        ({}, "must be vectors of one length"),
    ],
)
def test_columns_that_make_no_table_are_refused(tmp_path, given, message):
    with pytest.raises(ValueError, match=message):
        write_sentence_table(tmp_path / "table.jsonl", "e1", given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEADER], r"line 1 \(no sentence follows\)"),
        ([[], *ROWS], r"line 1 \(not a JSON object\)"),
        ([HEADER | {"evaluation": 3}, *ROWS], r"line 1 \(it names no evaluation\)"),
        ([HEADER | {"columns": ["log_px", "index"]}, *ROWS], r"line 1 \(its columns are"),
        ([HEADER | {"columns": None}, *ROWS], r"line 1 \(its columns are None"),
        ([HEADER | {"units": "bits"}, *ROWS], r"line 1 \(its units are 'bits', not 'nats per"),
        ([HEADER, 7], r"line 2 \(not a JSON object\)"),
        ([HEADER, {"index": 0}], r"line 2 \(it holds \['index'\], not \['index', 'log_px'\]"),
        ([HEADER, ROWS[1]], r"line 2 \(its index is 1, not 0\)"),
        ([HEADER, ROWS[0], ROWS[0]], r"line 3 \(its index is 0, not 1\)"),
        ([HEADER, {"index": 0, "log_px": "x"}], r"line 2 \(log_px is 'x', not a number\)"),
        ([HEADER, {"index": 0, "log_px": True}], r"line 2 \(log_px is True, not a number\)"),
    ],
)
def test_damage_is_refused_with_its_line(tmp_path, lines, message):
    path = write_lines(tmp_path / "table.jsonl", *lines)
    with pytest.raises(UserError, match=message + ".*: evaluate the run again"):
        read_sentence_table(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b'{"evaluation'])
def test_file_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "table.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"table\.jsonl is damaged in line 1 \(not JSON\)"):
        read_sentence_table(path)


def test_table_cut_short_is_refused(tmp_path):
    path = write_lines(tmp_path / "table.jsonl", HEADER, *ROWS)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"line 3 \(not JSON\)"):
        read_sentence_table(path)


def test_truth_values_come_back_as_0_and_1(tmp_path):
    path = tmp_path / "table.jsonl"
    write_sentence_table(path, "e", {"settled": torch.tensor([True, False])})
    _, columns = read_sentence_table(path)
    assert columns["settled"].tolist() == [1, 0]
    assert columns["settled"].dtype == torch.int64
