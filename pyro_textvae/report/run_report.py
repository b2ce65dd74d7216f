# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The report of one or several runs: one HTML page, and its pictures beside it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyro_textvae.errors import UserError
from pyro_textvae.infer.running import find_device
from pyro_textvae.report.blocks import Picture, PointMap, Section
from pyro_textvae.report.decoded_run import decode_run
from pyro_textvae.report.page import render
from pyro_textvae.report.run_record import RunRecord, read_runs
from pyro_textvae.report.sections.check import check
from pyro_textvae.report.sections.comparison import comparison
from pyro_textvae.report.sections.confusion import confusion
from pyro_textvae.report.sections.dimensions import dimensions
from pyro_textvae.report.sections.generation import generation
from pyro_textvae.report.sections.khat import khat
from pyro_textvae.report.sections.latent_space import latent_space
from pyro_textvae.report.sections.length import length
from pyro_textvae.report.sections.mining import mining
from pyro_textvae.report.sections.nll_by_draws import nll_by_draws
from pyro_textvae.report.sections.over_seeds import over_seeds
from pyro_textvae.report.sections.plan import plan
from pyro_textvae.report.sections.proposals import proposals
from pyro_textvae.report.sections.provenance import provenance
from pyro_textvae.report.sections.summary import summary
from pyro_textvae.report.sections.text import reconstructions, samples
from pyro_textvae.report.sections.topics import topics
from pyro_textvae.report.sections.training import training
from pyro_textvae.run_folder.files import refuse_link, write_atomically, write_text

PAGE = "report.html"

_NEEDED = ("matplotlib", "sklearn", "jinja2")


def write_report(
    paths: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    num_sentences: int = 1000,
    num_shown: int = 8,
    trust_code: bool = False,
    comparison_over_seeds: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page and the pictures of these runs; the path of the page.

    What a run's folder does not hold leaves its section out, and a sentence there says why and
    which command fills it in.

    :param out: folder to write into; by default ``report``, in the run where there is one alone.
    :param seed: of the samples, of the sentences chosen, and of t-SNE.
    :param num_sentences: sentences whose latents are projected, at most.
    :param num_shown: samples and reconstructions.
    :param trust_code: execute what a run names from outside the catalogue, see
        :func:`pyro_textvae.load_run`.
    :param comparison_over_seeds: what :func:`~pyro_textvae.grid.comparison.compare_grid` returns
        of these runs, to be shown in the place of the differences between single runs.
    :raises UserError: when a folder is no run, is given twice or names code that is not trusted,
        ``out`` is a file, or what draws the pictures is not installed.
    """
    check_drawable()
    find_device(device)
    runs = read_runs(paths)
    folder = Path(out) if out is not None else _default_folder(runs)
    if out is None:
        refuse_link(folder)
    for place in (folder, *folder.parents):
        if place.is_file():
            raise UserError(f"--out {folder}: {place} is a file: give the name of a folder")
    compared = (
        comparison(runs) if comparison_over_seeds is None else over_seeds(comparison_over_seeds)
    )
    sections = _sections(runs, compared, seed, device, num_sentences, num_shown, trust_code)
    title = "Report on " + ", ".join(run.name for run in runs)
    folder.mkdir(parents=True, exist_ok=True)
    for picture in _pictures(sections):
        _write_bytes(folder / picture.name, picture.png)
    write_text(folder / PAGE, render(title, sections))
    return folder / PAGE


def check_drawable() -> None:
    """Refuse to draw without what draws.

    :raises UserError: with what is not installed.
    """
    missing = _not_installed()
    if missing:
        raise UserError(
            f"a report needs {', '.join(missing)}, which is not installed: "
            "pip install 'pyro-textvae[viz]'"
        )


def is_drawable() -> bool:
    """Whether everything that draws a report is installed."""
    return not _not_installed()


def _not_installed() -> list[str]:
    return [name for name in _NEEDED if importlib.util.find_spec(name) is None]


def _default_folder(runs: Sequence[RunRecord]) -> Path:
    return runs[0].path / "report" if len(runs) == 1 else Path("report")


def _sections(
    runs: Sequence[RunRecord],
    compared: Section | None,
    seed: int,
    device: str,
    num_sentences: int,
    num_shown: int,
    trust_code: bool,
) -> list[Section]:
    decoded = {
        run.number: decode_run(
            run,
            seed=seed,
            device=device,
            num_sentences=num_sentences,
            num_shown=num_shown,
            trust_code=trust_code,
        )
        for run in runs
    }
    sections = [
        summary(runs),
        compared,
        training(runs),
        nll_by_draws(runs),
        khat(runs),
        check(runs),
        proposals(runs),
        dimensions(runs),
        confusion(runs),
        topics(runs),
        mining(runs),
        length(runs),
        latent_space(runs, decoded, seed),
        plan(runs, decoded),
        samples(runs, decoded),
        reconstructions(runs, decoded),
        generation(runs),
        provenance(runs, seed),
    ]
    return [section for section in sections if section is not None]


def _pictures(sections: Sequence[Section]) -> list[Picture]:
    blocks = [block for section in sections for block in section.blocks]
    shown = [block for block in blocks if isinstance(block, Picture)]
    return shown + [block.picture for block in blocks if isinstance(block, PointMap)]


def _write_bytes(path: Path, content: bytes) -> None:
    def put(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, put)
