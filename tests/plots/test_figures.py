# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Figures of an estimator or a folder are those of the report's page."""

import shlex

import pytest
from matplotlib.figure import Figure

from pyro_textvae import TextVAE, plots
from pyro_textvae.errors import UserError
from tests.estimator.animals import TEXTS, TINY


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYRO_TEXTVAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        out = tmp_path_factory.mktemp("runs") / "run"
        vae = TextVAE(**TINY, epochs=1).fit(TEXTS, valid=TEXTS[:12], out=out, report=None)
        yield vae


def test_before_an_evaluation_it_says_what_makes_one(vae):
    with pytest.raises(UserError, match=r"Run: pyro-textvae evaluate .*run"):
        plots.khat(vae)


def test_figures_hold_the_numbers_of_the_run(vae):
    curves = plots.training_curves(vae)
    drawn = {float(y) for axes in curves.axes for line in axes.lines for y in line.get_ydata()}
    assert vae.history[0]["valid_elbo"] in drawn
    points = plots.latent_space(vae.folder.path)
    assert {len(each.get_offsets()) for axes in points.axes for each in axes.collections} >= {6}
    evaluation = vae.evaluate(num_samples=100, proposal="guide")
    bars = plots.khat(vae)
    assert isinstance(bars, Figure)
    heights = [bar.get_height() for axes in bars.axes for bar in axes.patches]
    assert sum(heights) == evaluation["num_sentences"] == 6


def test_command_that_is_told_makes_what_is_missing(vae):
    """The proposal of every evaluation that asks for no other has no curve."""
    vae.evaluate(num_samples=20)
    with pytest.raises(UserError, match="no curve") as refused:
        plots.nll_by_draws(vae)
    command = str(refused.value).partition("Run: pyro-textvae evaluate ")[2]
    run, *flags = shlex.split(command)
    assert run == str(vae.folder.path)
    assert flags == ["--num-samples", "1000", "--proposal", "guide"]
    vae.evaluate(num_samples=20, proposal=flags[-1])
    assert isinstance(plots.nll_by_draws(vae), Figure)
