# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Runs of before a setting existed: what they were trained on is what they are scored on."""

import json
import unicodedata

import pytest

from pyro_textvae import runs
from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.run_folder import RunFolder

TINY = {"embedding_dim": 4, "hidden_dim": 5, "latent_dim": 2, "epochs": 1, "device": "cpu"}


def trained_before(out, without, **settings):
    """A run as the version before the settings ``without`` wrote it."""
    runs.train(TrainConfig(**TINY, **settings), out, report=lambda text: None)
    folder = RunFolder(out)
    config = json.loads(folder.config_json.read_text())
    for name in without:
        del config["settings"][name]
    folder.config_json.write_text(json.dumps(config))
    return folder, config["corpus_fingerprint"]


def check_usable(folder, fingerprint):
    """It loads, is scored on its own text, and goes on."""
    config = EvaluationConfig(num_samples=2, proposal="guide", device="cpu")
    result = runs.evaluate(folder.path, config).result
    assert result["corpus_fingerprint"] == fingerprint
    assert runs.resume(folder.path, epochs=2, report=lambda text: None).epoch == 2


@pytest.mark.parametrize(("tokenizer", "form"), [("word", "none"), ("character", "nfc")])
def test_text_keeps_the_normal_form_of_the_runs_tokenizer(tmp_path, tokenizer, form):
    text = "das Caf\u00e9 h\u00f6rt\nzwei T\u00f6ne\n"
    for split in ("train", "valid", "test"):
        decomposed = unicodedata.normalize("NFD", text) if split == "test" else text
        (tmp_path / f"{split}.txt").write_text(decomposed, encoding="utf-8")
    folder, fingerprint = trained_before(
        *(tmp_path / "run", ["unicode_form"]),
        **{"data": str(tmp_path), "tokenizer": tokenizer, "unicode_form": form},
    )
    check_usable(folder, fingerprint)


@pytest.mark.parametrize("suffix", ["tsv", "txt"])
def test_a_quote_stays_a_character(tmp_path, suffix):
    for split in ("train", "valid", "test"):
        file = tmp_path / f"{split}.{suffix}"
        file.write_text('text\tmood\n"say ""a"" now"\tgood\nplain\tbad\n')
    quotes = "literal" if suffix == "tsv" else None
    folder, fingerprint = trained_before(
        *(tmp_path / "run", ["quotes"]), **{"data": str(tmp_path), "quotes": quotes}
    )
    check_usable(folder, fingerprint)
