# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Each figure is drawn by the section of the report that has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pyro_textvae.errors import UserError
from pyro_textvae.report.blocks import Note, Section
from pyro_textvae.report.canvas import collected_figures
from pyro_textvae.report.decoded_run import decode_run
from pyro_textvae.report.run_record import RunRecord, read_runs
from pyro_textvae.report.run_report import check_drawable
from pyro_textvae.report.sections.check import check
from pyro_textvae.report.sections.dimensions import dimensions as section_of_dimensions
from pyro_textvae.report.sections.khat import khat as section_of_khat
from pyro_textvae.report.sections.latent_space import latent_space as section_of_latent_space
from pyro_textvae.report.sections.length import length
from pyro_textvae.report.sections.nll_by_draws import nll_by_draws as section_of_nll_by_draws
from pyro_textvae.report.sections.training import training
from pyro_textvae.run_folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Fitted(Protocol):
    """What has a run: a :class:`~pyro_textvae.TextVAE`."""

    @property
    def folder(self) -> RunFolder: ...

    @property
    def trusts_code(self) -> bool: ...


Run = str | Path | Fitted
"""An estimator that is fitted, or the folder of a run."""


def training_curves(*runs: Run) -> Figure:
    """Loss, validation bound, KL and mutual information by epoch, of all runs in one figure.

    :raises UserError: as every function here: where what draws is not installed, and for what the
        run does not hold yet, with the command that makes it.
    """
    return _figure(training, runs)


def nll_by_draws(run: Run) -> Figure:
    """The nll against the number of draws, with the bound; of the run's evaluation."""
    return _figure(section_of_nll_by_draws, [run])


def khat(run: Run) -> Figure:
    """How heavy the tails of the importance weights are; of the run's evaluation."""
    return _figure(section_of_khat, [run])


def annealing_check(run: Run) -> Figure:
    """Annealed against importance-weighted estimates; of an evaluation with ``check=True``."""
    return _figure(check, [run])


def dimensions(run: Run) -> Figure:
    """The KL of each dimension of the latent, active units coloured; of the run's evaluation."""
    return _figure(section_of_dimensions, [run])


def nll_by_length(*runs: Run) -> Figure:
    """The nll by the number of tokens, of all runs in one figure; of their evaluations."""
    return _figure(length, runs)


def latent_space(
    run: Run, *, num_sentences: int = 1000, seed: int = 0, trust_code: bool = False
) -> Figure:
    """Posterior means of sentences by PCA and t-SNE, coloured by length.

    :param num_sentences: at most; of the split that the run was evaluated on.
    :param seed: of the sentences that are chosen, and of t-SNE.
    :param trust_code: of a folder, see :func:`pyro_textvae.load_run`; an estimator knows it.
    """
    trusts = trust_code if isinstance(run, str | Path) else run.trusts_code

    def section(runs: Sequence[RunRecord]) -> Section:
        decoded = decode_run(
            runs[0],
            seed=seed,
            device="cpu",
            num_sentences=num_sentences,
            num_shown=1,
            trust_code=trusts,
        )
        return section_of_latent_space(runs, {runs[0].number: decoded}, seed)

    return _figure(section, [run])


def _figure(section: Callable[[Sequence[RunRecord]], Section], runs: Sequence[Run]) -> Figure:
    """The one figure of a section of the report.

    :raises UserError: where it draws none, with what it says instead.
    """
    check_drawable()
    paths = [run if isinstance(run, str | Path) else run.folder.path for run in runs]
    records = read_runs(paths)
    with collected_figures() as figures:
        blocks = section(records).blocks
    if not figures:
        notes = [block for block in blocks if isinstance(block, Note)]
        told = [f"{each.text}{each.command and f' Run: {each.command}'}" for each in notes]
        raise UserError(" ".join(told))
    return figures[0]
