# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Runs on documents: which programs take them, and how long they may be."""

import json

import pytest

from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.config.train import TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.runs.evaluate import evaluate
from pyro_textvae.runs.train import train

SMALL = {
    **{"epochs": 1, "device": "cpu", "batch_size": 8, "max_sentences": 3},
    **{"embedding_dim": 2, "hidden_dim": 2, "latent_dim": 1},
}
PROGRAMS = {
    "model": "tests/programs/documents.py:DocumentVAE",
    "guide": "tests/programs/documents.py:DocumentGuide",
}


def write(folder, most=3, count=80, lengths=None):
    """Documents of one to three sentences, and every tenth of ``most``."""
    lengths = lengths or [most if n % 10 == 9 else 1 + n % 3 for n in range(count)]
    rows = [[f"number {n} .", *["she left ."] * (size - 1)] for n, size in enumerate(lengths)]
    folder.mkdir()
    for split in ("train", "valid", "test"):
        text = "".join(json.dumps({"text": row}) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text)
    return str(folder)


def test_a_model_of_one_sentence_refuses_documents(tmp_path):
    data = write(tmp_path / "short", 3)
    with pytest.raises(UserError, match="SentenceVAE is a model of one sentence: give a model of"):
        train(TrainConfig(data=data, **SMALL), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_documents_are_trained_on_and_longer_ones_refused(tmp_path):
    lines = []
    data = write(tmp_path / "long", 6)
    config = TrainConfig(data=data, **SMALL, **PROGRAMS)
    train(config, tmp_path / "run", report=lines.append)
    (dropped,) = [x for text in lines for x in text.split("\n") if "left out" in x]
    assert "documents of more than 3 sentences left out" in dropped
    settings = {"num_samples": 2, "proposal": "guide", "data": data}
    with pytest.raises(UserError, match="has a document of 6 sentences, the model was built for 3"):
        evaluate(tmp_path / "run", EvaluationConfig(**settings), trust_code=True)
    settings["data"] = write(tmp_path / "other", 3, count=5)
    scored = evaluate(tmp_path / "run", EvaluationConfig(**settings), trust_code=True)
    assert scored.result["num_sentences"] == 5


def test_other_text_may_be_as_long_as_the_model_was_built_for(tmp_path):
    """Over a thousand sentences, refused where nobody asked for them, and no more than that."""
    data = write(tmp_path / "long", lengths=[1001])
    programs = {"model": "document_vae", "guide": "document", "encoder": "bag_of_words"}
    settings = {**SMALL, **programs, "max_sentences": 1001, "data": data}
    train(TrainConfig(**settings), tmp_path / "run", report=lambda line: None)
    scoring = {"num_samples": 2, "proposal": "guide", "data": data}
    result = evaluate(tmp_path / "run", EvaluationConfig(**scoring)).result
    assert result["num_sentences"] == 1
    scoring["data"] = write(tmp_path / "longer", lengths=[1002])
    with pytest.raises(UserError, match="has a document of 1002 sentences, the model was built"):
        evaluate(tmp_path / "run", EvaluationConfig(**scoring))
