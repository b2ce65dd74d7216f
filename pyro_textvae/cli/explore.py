# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``pyro-textvae explore``."""

from __future__ import annotations

import importlib.util
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pyro_textvae.cli.output import check_apart_from_runs
from pyro_textvae.cli.run_options import RunOptions, parse_with_run
from pyro_textvae.config.checks import PORT, at_least, setting
from pyro_textvae.config.evaluate import EvaluationConfig, Split
from pyro_textvae.errors import UserError

_NEEDED = {"bokeh": "bokeh", "sklearn": "scikit-learn"}


@dataclass
class ExploreOptions(RunOptions):
    """A page of the sentences of RUN, or of FILE, on a map of the latent space; Ctrl-C ends it.

    Args:
        file: text to show, .txt, .tsv or .jsonl; by default a split of the run's own corpus.
        split: train, valid or test, of the run's corpus or of a folder.
        text_column: column of a TSV or JSONL file that holds the sentence.
        label_column: column of the label that points can be coloured by.
        quotes: in a TSV; csv as pandas writes cells, literal as a character; by default recognised.
        size: sentences at most; of more, some are drawn.
        map: the map that is shown first; pca, tsne, or umap where umap-learn is installed.
        clusters: groups that are told apart at first.
        num_samples: draws of the guide for each sentence's nll, where evaluate has not scored them.
        port: of this machine that the page is at; 0 for any that is free.
        browser: open the page in the browser.
        export: write the map alone, with search, into this .html file, and serve nothing.

    """

    file: str | None = None
    split: Split = "test"
    text_column: str | None = None
    label_column: str | None = None
    quotes: Literal["csv", "literal"] | None = None
    size: int = setting(10_000, at_least(1))
    map: Literal["pca", "tsne", "umap"] = "pca"
    clusters: int = setting(10, at_least(1))
    num_samples: int = setting(10, at_least(1))
    port: int = setting(5006, PORT)
    browser: bool = False
    export: str | None = None


def main(arguments: Sequence[str]) -> None:
    """Serve the page, or write the map."""
    options = parse_with_run(ExploreOptions, "explore", arguments, then="file")
    from pyro_textvae.cli.one_process import refuse_several

    refuse_several("explore")
    missing = [name for name, module in _NEEDED.items() if not importlib.util.find_spec(name)]
    if missing:
        raise UserError(
            f"a page needs {' and '.join(_NEEDED[name] for name in missing)}, not installed here: "
            "pip install 'pyro-textvae[explore]'"
        )
    from pyro_textvae.explore.plane import PLANES, installed_planes

    if options.map not in installed_planes():
        raise UserError(
            f"the map {PLANES[options.map]} needs umap-learn, not installed here: pip install "
            "umap-learn, or leave --map out"
        )
    if options.export is None:
        from pyro_textvae.explore.server import check_port

        check_port(options.port)
    else:
        _check_export(options)
    config = EvaluationConfig(
        split=options.split,
        data=options.file,
        text_column=options.text_column,
        label_column=options.label_column,
        quotes=options.quotes,
        num_samples=options.num_samples,
        seed=options.seed,
        device=options.device,
    )
    from pyro_textvae.explore.open_collection import open_collection

    collection = open_collection(
        options.run,
        config,
        size=options.size,
        num_clusters=options.clusters,
        trust_code=options.trust_code,
    )
    if options.export is not None:
        from pyro_textvae.explore.export import map_html
        from pyro_textvae.run_folder.files import write_text

        html = map_html(collection, installed_planes(), options.map)
        write_text(Path(options.export), html)
        print(f"{len(collection):,} sentences written to {options.export}")
        return
    from pyro_textvae.explore.server import make_server, serve

    def ready(address: str) -> None:
        print(f"{collection.title}: {address} (Ctrl-C ends it)", flush=True)
        if options.browser and not webbrowser.open(address):
            print("no browser was found: open the address yourself", file=sys.stderr)

    try:
        serve(make_server(collection, options.port, options.map), ready)
    except KeyboardInterrupt:
        print("closed", file=sys.stderr)


def _check_export(options: ExploreOptions) -> None:
    out = Path(str(options.export))
    if out.suffix not in (".html", ".htm"):
        raise UserError(f"--export {out} must end in .html")
    check_apart_from_runs(out, options.run)
