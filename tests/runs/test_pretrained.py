# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Runs with pre-trained parts: complete in themselves, resumed bit for bit, refused in one line."""

import json
import math
import shutil
import sys
from dataclasses import replace

import pytest
import torch

import pyro_textvae as tv
from pyro_textvae import zoo
from pyro_textvae.cli.main import main
from pyro_textvae.config import EvaluationConfig, TrainConfig
from pyro_textvae.errors import UserError
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.priors import StandardNormal
from pyro_textvae.runs.code import UntrustedCodeError, copy_in_run
from pyro_textvae.runs.evaluate import evaluate
from pyro_textvae.runs.load import load_run
from pyro_textvae.runs.train import resume, train
from tests.pretrained_folders import TEXTS

OPTIONS = {
    "decoder_fine_tuning": "none",
    "encoder_fine_tuning": "lora",
    "encoder_lora_rank": 1,
    "injection": ["attention", "addition"],
}


def quiet(line):
    del line


def settings(decoder, encoder, **changes):
    values = {
        "data": str(decoder.parent / "text"),
        "tokenizer": f"hf:{decoder}",
        "decoder": f"hf:{decoder}",
        "encoder": f"hf:{encoder}",
        "latent_dim": 2,
        "epochs": 2,
        "optimizer": "adamw",
        "warmup_steps": 2,
        "learning_rate_schedule": "cosine",
        "options": OPTIONS,
        "device": "cpu",
    }
    return TrainConfig(**values | changes)


@pytest.fixture
def folders(pretrained, tmp_path):
    """Copies of two pre-trained models, which a test may remove."""
    pytest.importorskip("peft", reason="the extra [hf] is not installed")
    copies = [tmp_path / "outside" / name for name in ("gpt2", "bert")]
    for copy in copies:
        shutil.copytree(pretrained(copy.name), copy)
    text = copies[0].parent / "text"
    text.mkdir()
    for split, lines in {"train": TEXTS, "valid": TEXTS[:1], "test": TEXTS[1:]}.items():
        (text / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return copies


def remove(folders):
    for folder in folders:
        shutil.rmtree(folder)


def same_weights(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def test_run_is_complete_in_itself(folders, tmp_path):
    """Trained, then moved, with the folders outside gone: loaded, scored, drawn from."""
    train(settings(*folders, epochs=1), tmp_path / "run", report=quiet)
    remove(folders)
    run = tmp_path / "moved"
    shutil.move(tmp_path / "run", run)
    config = json.loads((run / "config.json").read_text())
    named = [config["specs"]["decoder"], config["specs"]["encoder"], config["tokenizer_kind"]]
    kept = {f"hf:pretrained/{folder.name}" for folder in (run / "pretrained").iterdir()}
    assert set(named) == kept
    assert len(kept) == 3
    model, guide, tokenizer = load_run(run)
    names = [*model.state_dict(), *guide.state_dict()]
    assert not [name for name in names if "embedding" in name or "base_layer" in name]

    config = EvaluationConfig(num_samples=4, proposal="guide", device="cpu")
    result = evaluate(run, config).result
    words = sum(len(text.split()) + 1 for text in TEXTS[1:])
    total = result["nll"] * result["num_sentences"]
    assert result["bits_per_word"] == pytest.approx(total / words / math.log(2))

    assert main(["sample", str(run), "--size", "2"]) == 0


def test_resumed_run_is_the_undisturbed_one(folders, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    # A constant rate: that of a cosine depends on the number of epochs.
    changes = {"learning_rate_schedule": "constant", "accumulate_batches": 2}
    train(settings(*folders, **changes), whole, report=quiet)
    train(settings(*folders, **changes, epochs=1), parts, report=quiet)
    remove(folders)
    resume(parts, epochs=2, report=quiet)
    assert (whole / "metrics.jsonl").read_bytes() == (parts / "metrics.jsonl").read_bytes()
    for one, other in zip(load_run(whole)[:2], load_run(parts)[:2], strict=True):
        assert same_weights(one, other)


def test_changed_copy_is_refused(folders, tmp_path):
    train(settings(*folders, epochs=1), tmp_path / "run", report=quiet)
    decoder = json.loads((tmp_path / "run" / "config.json").read_text())["specs"]["decoder"]
    weights = tmp_path / "run" / decoder.removeprefix("hf:") / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match="is not the pre-trained model that .* was made of"):
        load_run(tmp_path / "run")


@pytest.mark.parametrize("place", ["../outside/gpt2", "/etc", "source/decoder", "pretrained/../x"])
def test_run_names_no_model_elsewhere(tmp_path, place):
    with pytest.raises(UntrustedCodeError, match="lies outside of its folder pretrained"):
        copy_in_run(tmp_path, "decoder", f"hf:{place}")


def test_pair_of_python_is_saved_with_them(folders, tmp_path):
    corpus = tv.load_corpus(folders[0].parent / "text", tokenizer=f"hf:{folders[0]}")
    values = {"tokenizer": corpus.tokenizer, "latent_dim": 2, "max_length": corpus.max_length}
    values |= {"fine_tuning": "none"}
    decoder = zoo.build(zoo.load("decoders", f"hf:{folders[0]}"), values)
    encoder = zoo.build(zoo.load("encoders", f"hf:{folders[1]}"), values)
    model, guide = SentenceVAE(StandardNormal(2), decoder), GaussianGuide(encoder, 2)
    tv.save_run(tmp_path / "run", model, guide, corpus.tokenizer, corpus=corpus)
    remove(folders)
    loaded, loaded_guide, tokenizer = load_run(tmp_path / "run")
    assert tokenizer == corpus.tokenizer
    assert same_weights(model, loaded)
    assert same_weights(guide, loaded_guide)


def refused(capsys, *arguments):
    """What ``train`` says, in one line, of what it cannot take."""
    small = ("--data", "grammar", "--num-sentences", "60", "--epochs", "1")
    assert main(["train", *small, *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("no weights", "has no weights (model.safetensors): save the model there"),
        ("pickled weights", "pytorch_model.bin is pickled, which is never opened"),
        ("cut weights", "cannot be loaded: "),
        ("code", "has code of its own (mine.GPT), which is never executed"),
        ("kernel", "has code of its own (someone/attention), which is never executed"),
        ("quantised", "is quantised, and is trained in float32"),
        ("architecture", "is a 'neverheardof', which transformers"),
        ("no config", "has no config.json, so it is no model's folder"),
    ],
)
def test_damaged_folder_is_refused_in_one_line(folders, tmp_path, capsys, change, reason):
    folder = folders[0]
    weights, config = folder / "model.safetensors", folder / "config.json"
    if change == "no config":
        config.unlink()
    elif change == "no weights":
        weights.unlink()
    elif change == "pickled weights":
        weights.rename(folder / "pytorch_model.bin")
    elif change == "cut weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    else:
        new = {"code": {"auto_map": {"AutoModelForCausalLM": "mine.GPT"}}}
        new |= {"kernel": {"attn_implementation": "someone/attention"}}
        new |= {"quantised": {"quantization_config": {"load_in_8bit": True}}}
        new |= {"architecture": {"model_type": "neverheardof"}}
        config.write_text(json.dumps(json.loads(config.read_text()) | new[change]))
    out = tmp_path / "run"
    spec = f"hf:{folder}"
    line = refused(capsys, "--decoder", spec, "--tokenizer", spec, "--out", out)
    assert reason in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--decoder", "hf:{bert}", "--tokenizer", "hf:{bert}"], "is no causal language model"),
        (["--decoder", "hf:{gpt2}"], "the text is in those of word: give --tokenizer hf:"),
        (["--decoder", "hf:gpt2"], "names no folder: a pre-trained model is read from disk"),
        (["--encoder", "hf:"], "hf: names no folder: give hf:path/to/folder"),
        (["--prior", "hf:{gpt2}"], "which can be decoders or encoders or tokenizers, and no prior"),
    ],
    ids=str,
)
def test_wrong_use_is_refused_in_one_line(folders, tmp_path, capsys, flags, reason):
    named = {folder.name: folder for folder in folders}
    flags = [flag.format(**named) for flag in flags]
    assert reason in refused(capsys, *flags, "--out", tmp_path / "run")


def test_program_that_reads_a_model_by_itself_is_refused(folders, tmp_path, capsys):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from pyro_textvae.nn.hugging_face import HuggingFaceEncoder\n"
        "class Mine(HuggingFaceEncoder):\n"
        "    def __init__(self, tokenizer):\n"
        f"        super().__init__({str(folders[1])!r}, tokenizer, fine_tuning='none')\n"
    )
    line = refused(capsys, "--encoder", f"{mine}:Mine", "--out", tmp_path / "run")
    assert f"give it as --decoder hf:{folders[1]} or --encoder hf:{folders[1]}" in line


def test_tokenizer_alone_goes_with_any_decoder(folders, tmp_path):
    plain = {"decoder": "gru", "encoder": "bag_of_words", "options": {}, "hidden_dim": 3}
    run = tmp_path / "run"
    train(replace(settings(*folders, epochs=1), **plain), run, report=quiet)
    (kept,) = (run / "pretrained").iterdir()
    assert not list(kept.glob("*.safetensors"))
    remove(folders)
    assert main(["evaluate", str(run), "--num-samples", "2", "--proposal", "guide"]) == 0
    assert load_run(run)[2].kind == "hf"


def test_without_the_extra_it_says_what_to_install(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    line = refused(capsys, "--encoder", f"hf:{folders[1]}", "--out", tmp_path / "run")
    assert "pip install 'pyro-textvae[hf]'" in line
