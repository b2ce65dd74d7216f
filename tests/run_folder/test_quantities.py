# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""One entry puts a number into every table, as its flags say."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from pyro_textvae.grid.comparison import compare_grid
from pyro_textvae.grid.definition import read_grid
from pyro_textvae.report import comparison_table, evaluation_table, grid_csv, grid_table
from pyro_textvae.report.run_record import RunRecord
from pyro_textvae.report.sections.check import check
from pyro_textvae.report.sections.summary import summary
from pyro_textvae.run_folder import quantities
from pyro_textvae.run_folder.quantities import QUANTITIES, with_current_names
from pyro_textvae.run_folder.quantity import Group, Quantity
from pyro_textvae.runs.compare import compare_runs
from tests.cli.test_compare import evaluated
from tests.report.test_sections import CHECK
from tests.report.test_tables import RESULT

SURPRISE = Quantity(
    "surprise",
    "bound",
    label="surprise of the reader",
    heading="surprise",
    line="  surprise",
    text="{surprise} bits",
    unit="bits",
    digits=1,
    error="surprise_error",
    compared=True,
    averaged=("srp", 2),
    aliases=("astonishment",),
)
KNOWN = {"surprise": 2.0625, "surprise_error": 0.25}


@pytest.fixture
def add(monkeypatch):
    def add(entry):
        monkeypatch.setattr(quantities, "QUANTITIES", (*quantities.QUANTITIES, entry))

    return add


def test_every_number_stands_in_a_group_that_some_table_has():
    groups = {*get_args(Group)}
    assert {each.group for each in QUANTITIES} <= groups


def test_names_and_aliases_are_given_once():
    keys = [key for each in quantities.QUANTITIES for key in (each.name, *each.aliases)]
    assert len(keys) == len(set(keys))
    errors = {each.error for each in quantities.QUANTITIES if each.error}
    assert errors <= set(keys)


def test_docs_explain_numbers_by_their_names():
    page = (Path(__file__).parents[2] / "docs" / "numbers.md").read_text(encoding="utf-8")
    units = page.partition("\n## Units\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", units, re.MULTILINE)
    assert len(rows) > 10
    assert set(rows) <= set(quantities.names())


def test_new_number_is_a_line_of_the_terminal_table(add):
    assert "surprise" not in evaluation_table(RESULT | KNOWN)
    add(SURPRISE)
    lines = [line.split() for line in evaluation_table(RESULT | KNOWN).splitlines()]
    # The last of its group.
    place = lines.index(["surprise", "2.1", "+-", "0.2", "bits"])
    assert lines[place - 1][0] == "kl"
    assert "surprise" not in evaluation_table(RESULT | KNOWN | {"latent_dim": 0})


def test_new_number_is_a_row_of_the_page(add):
    add(SURPRISE)
    files = {"path": Path("run"), "name": "run", "number": 1, "config": {}, "epochs": []}
    notes = {"evaluation_note": None, "sentences": None, "sentences_note": None}
    (table, *_) = summary([RunRecord(**files, **notes, evaluation=RESULT | KNOWN)]).blocks
    assert ("surprise of the reader, bits", "2.1 ± 0.2") in table.rows


def test_new_number_is_a_column_of_the_comparison_and_needed_by_it(add, tmp_path):
    add(SURPRISE)
    runs = [evaluated(tmp_path / name, **KNOWN) for name in "ab"]
    result = compare_runs(runs, num_resamples=1000)
    assert result["runs"][0]["surprise_error"] == 0.25
    _, heading, row, *_ = comparison_table(result).splitlines()
    assert heading.split() == "run nll unk % -elbo kl surprise ppl K proposal".split()
    assert row.split()[7:10] == ["2.1", "+-", "0.2"]
    with pytest.raises(ValueError, match="has no surprise"):
        compare_runs([runs[0], evaluated(tmp_path / "c")], num_resamples=1000)


def test_numbers_of_the_check_are_written_alike_in_the_terminal_and_on_the_page(monkeypatch):
    coarse = [
        replace(each, digits=1) if each.name.startswith("check.") else each
        for each in quantities.QUANTITIES
    ]
    monkeypatch.setattr(quantities, "QUANTITIES", tuple(coarse))
    checked = {key: CHECK[key] for key in ("bidirectional", "gaps")}
    checked["annealing"] = {key: CHECK["annealing"][key] for key in ("random", "worst")}
    text = evaluation_table(RESULT | {"check": checked})
    assert "log p(x) +0.3 +- 0.0 above the nll's" in text
    assert "from -40.1 to -40.0, gap +0.1 +- 0.0" in text
    files = {"path": Path("run"), "name": "run", "number": 1, "config": {}, "epochs": []}
    notes = {"evaluation_note": None, "sentences": None, "sentences_note": None}
    result = RESULT | {"check": checked}
    _, annealing, *warnings, sandwich, gaps = check(
        [RunRecord(**files, **notes, evaluation=result)]
    ).blocks
    assert annealing.rows[0] == ("sentences drawn at random", "3", "+0.3 ± 0.0")
    assert [note.text.count("0.3 ± 0.0") for note in warnings] == [1, 0]
    assert sandwich.rows[0] == ("lower bound of log p(x)", "-40.1 ± 2.0")
    assert sandwich.rows[2] == ("gap", "0.1 ± 0.0")
    assert gaps.rows[1][1] == "1.2 ± 0.0"


@pytest.mark.parametrize(
    ("changes", "shown"), [({}, "2.06"), ({"exact": True}, None), ({"surprise": None}, None)]
)
def test_new_number_is_a_column_of_the_grid(add, tmp_path, changes, shown):
    add(SURPRISE)
    grid = read_grid({"out": str(tmp_path), "settings": {"data": "toy"}})
    evaluated(tmp_path / "run-seed0", **KNOWN | {"mutual_information": 1.0} | changes)
    result = compare_grid(grid, {}, {}, num_resamples=1000) | {"command": None}
    table = [line.strip("|").split("|") for line in grid_table(result).splitlines() if "|" in line]
    columns = dict(zip(*[map(str.strip, row) for row in (table[0], table[2])], strict=True))
    assert columns.get("srp") == shown
    assert "surprise,surprise_seed_sd" not in grid_csv(result)
    assert {"surprise", "surprise_seed_sd"} <= set(grid_csv(result).splitlines()[0].split(","))


def test_new_number_is_read_under_its_old_key(add, tmp_path):
    add(SURPRISE)
    runs = [evaluated(tmp_path / name, **KNOWN) for name in "ab"]
    file = runs[1] / "evaluation.json"
    file.write_text(file.read_text().replace('"surprise"', '"astonishment"'))
    assert json.loads(file.read_text())["astonishment"] == 2.0625
    assert compare_runs(runs, num_resamples=1000)["runs"][1]["surprise"] == 2.0625
    old = {("astonishment" if key == "surprise" else key): KNOWN[key] for key in KNOWN}
    assert "  surprise" in evaluation_table(RESULT | old)


def test_share_of_heavy_tails_is_read_from_files_of_earlier_versions():
    old = {"nll": 1.0, "khat_above_0_7": 0.25, "proposals": [{"khat_above_0_7": None}]}
    assert with_current_names(old) == {
        "nll": 1.0,
        "heavy_tail_share": 0.25,
        "proposals": [{"heavy_tail_share": None}],
    }
    result = {key: value for key, value in RESULT.items() if key != "heavy_tail_share"}
    assert evaluation_table(result | {"khat_above_0_7": 0.125}) == evaluation_table(RESULT)
