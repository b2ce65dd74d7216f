# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``explore``: what it refuses, and the map in a file; the page itself is in ``tests/explore``."""

import importlib.util
import socket

import pytest

from pyro_textvae.explore import plane


def test_the_map_in_a_file(cli, run, tmp_path, monkeypatch):
    # UMAP, where it is installed, compiles for many seconds.
    monkeypatch.setattr(plane, "installed_planes", lambda: ["pca", "tsne"])
    text = tmp_path / "mine.tsv"
    rows = [
        f"the {animal} sat {verb}\t{animal}"
        for animal in ("cat", "dog")
        for verb in ("x", "y", "z")
    ]
    text.write_text("\n".join(["text\tkind", *rows, "the <b>fox</b> </script>\tdog"]) + "\n")
    page = tmp_path / "map.html"
    columns = ["--text-column", "text", "--label-column", "kind", "--num-samples", "2"]
    status, out, err = cli("explore", run, text, *columns, "--export", page, "--clusters", "2")
    assert (status, err) == (0, ""), err
    assert out == f"7 sentences written to {page}\n"
    html = page.read_text()
    assert "bound of the nll by 2 draws of the guide" in html
    assert "connect-src &#39;none&#39;" in html


def test_what_is_no_collection(check_refused, run, language_model_run, tmp_path):
    out = ["--export", tmp_path / "map.html"]
    check_refused("the model has no latent", "explore", language_model_run, *out)
    check_refused("nowhere is not a run|no run", "explore", tmp_path / "nowhere", *out)
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    check_refused("empty.txt|no sentence", "explore", run, empty, *out)
    few = tmp_path / "few.txt"
    few.write_text("the cat sat\nthe dog ran\n")
    check_refused("fewer than 5: there is no map to draw", "explore", run, few, *out)
    assert not (tmp_path / "map.html").exists()


def test_a_model_with_a_source(check_refused, cli, tmp_path):
    sizes = ["--embedding-dim", "4", "--hidden-dim", "5", "--latent-dim", "2", "--epochs", "1"]
    world = ["--data", "world:paraphrase", "--num-sentences", "60", "--model", "conditional_vae"]
    assert cli("train", *world, *sizes, "--out", tmp_path / "run")[0] == 0
    check_refused("need source beside the text", "explore", tmp_path / "run", "--port", "0")


def test_a_port_in_use(check_refused, run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        check_refused(
            f"port {port} of 127.0.0.1 is in use: give another --port",
            "explore",
            run,
            "--port",
            port,
        )
    check_refused(r"port must lie in \[0, 65536\)", "explore", run, "--port", "65536")


def test_bad_places_and_maps(check_refused, run, tmp_path, monkeypatch):
    check_refused("must end in .html", "explore", run, "--export", tmp_path / "map.txt")
    check_refused("there is no folder", "explore", run, "--export", tmp_path / "no" / "map.html")
    monkeypatch.setattr(plane, "installed_planes", lambda: ["pca", "tsne"])
    check_refused("UMAP needs umap-learn", "explore", run, "--map", "umap")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "bokeh" else find(name)
    )
    check_refused(
        r"bokeh, not installed here: pip install 'pyro-textvae\[explore\]'", "explore", run
    )


def test_split_without_a_sentence_is_named(check_refused, run, tmp_path):
    folder = tmp_path / "text"
    folder.mkdir()
    for split in ("train", "valid"):
        (folder / f"{split}.txt").write_text("the cat sat\n" * 6)
    (folder / "test.txt").write_text("")
    check_refused("no sentence|test", "explore", run, folder, "--port", "0")


@pytest.mark.parametrize("size", [5, 7])
def test_of_more_sentences_some_are_drawn(run, size):
    from pyro_textvae.config.evaluate import EvaluationConfig
    from pyro_textvae.explore import open_collection

    config = EvaluationConfig(split="train", num_samples=1, seed=3)
    collection = open_collection(run, config, size=size, num_clusters=2)
    assert len(collection) == len(collection.likelihoods.nll) == size
    assert f"{size} of 32 sentences, train split" in collection.title
    again = open_collection(run, config, size=size, num_clusters=2)
    assert again.texts == collection.texts
