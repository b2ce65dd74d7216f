# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The script of worlds on models that write what the world does, and on an untrained run."""

import functools
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from pyro_textvae.data import load_corpus
from pyro_textvae.errors import UserError
from pyro_textvae.guides import EmptyGuide
from pyro_textvae.models import ConditionalLanguageModel
from pyro_textvae.nn import GRUDecoder, GRUEncoder
from pyro_textvae.runs import save_run

ROOT = Path(__file__).parent.parent.parent
SPEC = importlib.util.spec_from_file_location("worlds", ROOT / "benchmarks" / "worlds.py")
worlds = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(worlds)


class Fake(worlds.Run):
    """A run whose texts are made by a function of source and reference."""

    def __init__(self, name, write=None, size=60):
        corpus = load_corpus(f"world:{name}", num_sentences=10 * size)
        super().__init__(None, corpus, "test", size, 0)
        self.write = write

    def written(self, method="ancestral", copies=1):
        pairs = zip(self.sources, self.texts, strict=True)
        return [[self.write(*pair) for _ in range(copies)] for pair in pairs]


def numbers_of(run, name):
    return {label: (value, ends) for label, value, ends in worlds.OF_WORLDS[name](run)}


def test_paraphrases_of_the_world_are_its_own_and_those_of_a_copier_are_not_distinct():
    run = Fake("paraphrase")
    generator = np.random.default_rng(1)
    run.write = lambda source, text: run.world.draw_paraphrase(source, generator)
    numbers = numbers_of(run, "paraphrase")
    assert numbers["true equivalents"][0] == 1
    share, (low, high) = numbers["distinct of eight, share of the world's"]
    assert low < 1 < high
    assert high - low < 0.1
    run.write = lambda source, text: source
    numbers = numbers_of(run, "paraphrase")
    assert numbers["true equivalents, share of the world's"][0] == 1
    assert numbers["distinct of eight"][0] == 1 / 8
    run.write = lambda source, text: "the nurse"
    assert numbers_of(run, "paraphrase")["true equivalents"][0] == 0


def test_what_z_tells_of_acts_is_all_that_the_reply_tells_and_of_noise_nothing(monkeypatch):
    run = Fake("dialogue", size=150)

    def told(latents):
        monkeypatch.setattr(worlds, "_latents", latents)
        return numbers_of(run, "dialogue")

    numbers = told(lambda run: (worlds._acts(run)[1] + 1e-9).log())
    most = numbers["I(reply; act | turns), nats"][0]
    assert 0.9 * most < numbers["I(z; act | turns), at least, nats"][0] < 1.02 * most
    assert 0.7 < most / numbers["H(act | turns), nats"][0] <= 1.02
    noise = torch.Generator().manual_seed(0)
    numbers = told(lambda run: torch.randn(len(run.texts), 4, generator=noise).double())
    assert abs(numbers["I(z; act | turns), at least, nats"][0]) < 0.05


def test_an_act_is_drawn_as_the_model_tells_it_and_stands_beside_z(monkeypatch):
    run = Fake("dialogue", size=20)
    run.pair = SimpleNamespace(model=None, guide=None)
    names = run.corpus.label_names = ("a", "b", "c")
    told = torch.arange(20) % 3
    posterior = SimpleNamespace(by_bayes=one_hot(told, 3).double().log())
    z = torch.randn(20, 2)
    monkeypatch.setattr(worlds, "encode", lambda guide, batch, **options: {"z": z})
    monkeypatch.setattr(worlds, "log_likelihood", lambda *arguments: None)
    monkeypatch.setattr(worlds.LabelProbabilities, "of", lambda likelihood, given: posterior)
    latents = worlds._latents(run)
    assert torch.equal(latents[:, :2], z.double())
    assert torch.equal(latents[:, 2:].argmax(1), told)
    assert latents.shape == (20, 2 + len(names))
    run.corpus.label_names = None
    assert worlds._latents(run).shape == (20, 2)


def test_headlines_of_the_world_are_right_and_those_with_the_first_name_are_not():
    run = Fake("headlines", write=lambda source, text: text)
    numbers = numbers_of(run, "headlines")
    assert numbers["greedy: possible for the article"][0] == 1
    right = [value for name, (value, _) in numbers.items() if "copied right" in name]
    assert right == [1.0] * 2 * len(worlds.METHODS)
    run.write = lambda source, text: " ".join([source.split()[0], *text.split()[1:]])
    numbers = numbers_of(run, "headlines")
    assert numbers["greedy: possible for the article"][0] < 0.9
    right = [value for name, (value, _) in numbers.items() if "copied right" in name]
    assert max(right) < 0.9


@pytest.mark.slow
def test_gain_of_the_best_reader_is_one_and_of_doing_nothing_none(monkeypatch):
    monkeypatch.setattr(worlds, "METHODS", {"greedy": ("greedy", {})})
    run = Fake("typos", size=4)
    # Read once, for it takes its time.
    run.world.word_posteriors = functools.cache(run.world.word_posteriors)
    run.world.best_sentence = functools.cache(run.world.best_sentence)
    best = {source: " ".join(run.world.best_sentence(source)) for source in run.sources}
    run.write = lambda source, text: best[source]
    numbers = numbers_of(run, "typos")
    assert numbers["greedy: share of the best reader's gain in sentences"][0] == pytest.approx(1)
    assert numbers["greedy: share of the best reader's gain in words"][0] == pytest.approx(
        1, abs=0.2
    )
    assert numbers["best reader: words right"][0] > numbers["nothing done: words right"][0] + 0.02
    run.write = lambda source, text: source
    numbers = numbers_of(run, "typos")
    for kind in ("words", "sentences"):
        gain = numbers[f"greedy: share of the best reader's gain in {kind}"][0]
        assert gain == pytest.approx(0)


def test_an_untrained_run_is_reported_on_and_one_of_other_text_refused(
    tmp_path, capsys, monkeypatch
):
    corpus = load_corpus("world:headlines", num_sentences=50)
    sizes = {"vocab_size": len(corpus.tokenizer), "embedding_dim": 4, "hidden_dim": 8}
    decoder = GRUDecoder(**sizes, latent_dim=0, max_length=corpus.max_length, memory_dim=8)
    model = ConditionalLanguageModel(GRUEncoder(**sizes), decoder)
    save_run(tmp_path / "runs" / "run", model, EmptyGuide(), corpus.tokenizer, corpus=corpus)
    worlds.main([str(tmp_path / "runs"), "--size", "3"])
    printed = capsys.readouterr().out
    assert "world:headlines, " in printed
    assert printed.count(": possible for the article") == len(worlds.METHODS)
    monkeypatch.setattr(worlds, "OF_WORLDS", {"paraphrase": worlds.paraphrase})
    with pytest.raises(UserError, match="run is on none of the worlds paraphrase"):
        worlds.main([str(tmp_path / "runs")])
