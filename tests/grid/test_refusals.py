# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a grid refuses before its first run, and what it does about runs that are in its way."""

import pytest

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.grid.run import _OF_THE_CORPUS
from pyro_textvae.run_folder.one_writer import one_writer
from pyro_textvae.runs.load import load_corpus_of
from tests.grid.test_run import SETTINGS, grid_in, quietly


def test_option_that_nothing_takes_stops_the_grid_before_its_first_run(tmp_path):
    axes = {"x": {"good": {}, "bad": {"options": {"nonsense": 1}}}}
    with pytest.raises(UserError, match="cell bad: option 'nonsense' is taken by no part"):
        quietly(grid_in(tmp_path / "grid", axes=axes))
    assert not (tmp_path / "grid").exists()


def test_changed_text_is_not_taken_for_the_old(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("".join(f"the {i % 7} of {i % 11} was {i % 3}\n" for i in range(200)))
    settings = {name: value for name, value in SETTINGS.items() if name != "num_sentences"}
    grid = grid_in(tmp_path / "grid", axes={}, settings=settings | {"data": str(text)})
    quietly(grid)
    text.write_text("".join(f"no {i % 5} or {i % 9} is {i % 4}\n" for i in range(200)))
    with pytest.raises(UserError, match="holds a run with other text in .* give --overwrite"):
        quietly(grid)
    before = (tmp_path / "grid" / "run-seed0" / "evaluation.json").read_text()
    result, lines = quietly(grid, overwrite=True)
    assert any("epoch   1" in line for line in lines)
    assert result["corpus_fingerprint"] not in before


def cut_short(state):
    state.write_bytes(state.read_bytes()[:100])


def lose(state):
    """Of a run that is finished it may be taken away; what tells that it is, is lost with it."""
    state.unlink()
    state.with_name("progress.json").unlink()


@pytest.mark.parametrize("damage", [cut_short, lose], ids=["cut short", "lost"])
def test_damaged_run_is_replaced_on_request(tmp_path, damage):
    grid = grid_in(tmp_path / "grid")
    quietly(grid)
    damage(tmp_path / "grid" / "elbo-seed0" / "state" / "last.pt")
    with pytest.raises(UserError, match="holds a run with damaged files .* give --overwrite"):
        quietly(grid)
    result, _ = quietly(grid, overwrite=True)
    assert not result["failures"]


def test_grid_has_one_writer(tmp_path):
    folder = tmp_path / "grid"
    folder.mkdir()
    with one_writer(folder / "writer.lock", str(folder)):
        with pytest.raises(UserError, match="grid is being written by process"):
            quietly(grid_in(folder))
        assert [path.name for path in folder.iterdir()] == ["writer.lock"]


def test_cells_share_a_corpus_only_where_all_that_it_is_made_of_is_the_same(monkeypatch):
    given = {}
    monkeypatch.setattr(
        "pyro_textvae.runs.load.load_corpus", lambda source, **options: given.update(options)
    )
    load_corpus_of(TrainConfig())
    # No settings, but of a trained model's labels and of other text that is scored.
    assert given.pop("label_names") is None
    assert given.pop("file_split") is None
    assert {"data", *given} == set(_OF_THE_CORPUS)
