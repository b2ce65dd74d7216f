# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``sample`` from the prior, from a mixture fitted after training, and on sources."""

import io
import json
import re
import sys

import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.cli.main import main
from pyro_textvae.data import Tokenizer
from pyro_textvae.data.corpus import Split
from pyro_textvae.generation import sampling
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.load import load_run, load_run_corpus
from tests.cli.conftest import TINY


def test_from_the_aggregate_posterior(cli, run):
    arguments = ["sample", run, "--size", "6", "--num-components", "2"]
    status, out, err = cli(*arguments, "--from", "aggregate")
    assert status == 0
    assert len(out.splitlines()) == 6
    said = r"2 Gaussians fitted to 32 latents; 8 held-out latents: .* nats per sentence\n"
    assert re.fullmatch(said, err)
    assert cli(*arguments, "--from=aggregate") == (0, out, err)
    assert cli(*arguments, "--latents-from", "aggregate") == (0, out, err)
    assert cli(*arguments, "--from", "prior")[1:] == (cli(*arguments)[1], "")


def test_wrong_settings(check_refused, run, language_model_run):
    check_refused("--latents-from must be one of", "sample", run, "--from", "posterior")
    check_refused("num_components must be at least 1", "sample", run, "--num-components", "0")
    few = ["--from", "aggregate", "--num-components", "33"]
    check_refused("33 components cannot be fitted to 32 sentences", "sample", run, *few)
    check_refused("latents here are none", "sample", language_model_run, "--from", "aggregate")


def test_run_with_a_vamp_prior(succeeds, train, new):
    """Trained, resumed bit for bit, evaluated, and read back with the prior tied to the guide."""
    options = ["--prior", "vamp_prior", "--options", '{"num_components": 3, "pseudo_length": 2}']
    succeeds(*train, *options, "--epochs", "2")
    whole = (new / "metrics.jsonl").read_bytes()
    succeeds(*train, *options, "--epochs", "1", "--overwrite")
    succeeds("train", "--resume", new, "--epochs", "2")
    assert (new / "metrics.jsonl").read_bytes() == whole
    assert "nats per sentence" in succeeds(
        "evaluate", new, "--num-samples", "2", "--proposal", "guide"
    )
    model, guide, _ = load_run(new)
    assert model.prior._guide is guide
    assert len(succeeds("sample", new, "--size", "3").splitlines()) == 3


def test_guide_that_no_vamp_prior_can_be_tied_to(check_refused, train):
    check_refused(
        "EmptyGuide has no 'encoder'", *train, "--prior", "vamp_prior", "--guide", "empty"
    )


CONDITIONAL = """
import pyro
import pyro.distributions as dist
import torch
from torch import nn


class Conditional(nn.Module):
    latent_dim = 2

    def __init__(self, decoder, vocab_size):
        super().__init__()
        self.decoder = decoder
        self.shift = nn.Embedding(vocab_size, 2)

    def forward(self, source, tokens=None):
        with pyro.plate("data", len(source)):
            loc = self.shift(source[:, 0])
            z = pyro.sample("z", dist.Normal(loc, 1.0).to_event(1))
            return pyro.sample("x", self.decoder(z), obs=tokens)
"""


@pytest.fixture
def with_sources(monkeypatch):
    """Every batch of a corpus has a source: the words backwards; all sentences are as long."""
    batch_of = Split.batch

    def batch(self, indices):
        fields = batch_of(self, indices)
        words, end = fields["tokens"].split([6, 1], -1)
        fields["source"] = torch.cat([words.flip(-1), end], -1)
        return fields

    monkeypatch.setattr(Split, "batch", batch)


@pytest.fixture
def conditional_run(tmp_path, monkeypatch, run, with_sources):
    """The run of a sentence VAE, read as one of a model that needs a source."""
    path = tmp_path / "mine.py"
    path.write_text(CONDITIONAL)
    cls = zoo.load("models", f"{path}:Conditional")
    torch.manual_seed(0)
    load = load_run

    def conditional(*arguments, **options):
        model, guide, tokenizer = load(*arguments, **options)
        return cls(model.decoder, len(tokenizer)).eval(), guide, tokenizer

    monkeypatch.setattr("pyro_textvae.runs.load_run", conditional)
    return run


def test_conditional_run_shows_the_source_of_every_sentence(
    succeeds, check_refused, conditional_run
):
    printed = succeeds("sample", conditional_run, "--size", "3").splitlines()
    corpus = load_run_corpus(RunFolder(conditional_run))
    first = [corpus.tokenizer.decode(corpus.test[i].tolist()[-2::-1]) for i in range(3)]
    assert [line.removeprefix("source  ") for line in printed[::3]] == first
    assert [line[:8] for line in printed[1::3]] == ["text    "] * 3
    valid = succeeds("sample", conditional_run, "--size", "3", "--split", "valid")
    assert valid.splitlines()[0] != printed[0]
    check_refused("8 sentences to take sources from.* got 9", "sample", conditional_run, "--size=9")


def test_conditional_run_reconstructs_and_walks(succeeds, check_refused, conditional_run):
    blocks = succeeds("reconstruct", conditional_run, "--size", "2").split("\n\n")[:2]
    for block in blocks:
        source, sentence, _ = (line[6:] for line in block.splitlines())
        assert source.split() == sentence.split()[::-1]
    walk = succeeds("interpolate", conditional_run, "--steps", "3").splitlines()
    assert [line[:6].strip() for line in walk] == ["with", "from", "", "", "", "to"]
    assert walk[0][6:].split() == walk[1][6:].split()[::-1]
    check_refused("leave --text out", "reconstruct", conditional_run, "--text", "the cat sat")
    check_refused("leave them out", "interpolate", conditional_run, "--start", "the cat sat")


def test_method_from_a_file(succeeds, run, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from pyro_textvae.generation import DecodingMethod\n\n\n"
        "class Rank(DecodingMethod):\n"
        "    is_random = False\n\n"
        "    def __init__(self, rank=0):\n"
        "        self.rank = rank\n\n"
        "    def choose(self, scores):\n"
        "        return scores.argsort(-1, descending=True)[:, self.rank]\n"
    )
    given = ["reconstruct", run, "--size", "3"]
    greedy = succeeds(*given)
    assert succeeds(*given, "--method", f"{path}:Rank") == greedy
    assert succeeds(*given, "--method", f"{path}:Rank", "--options", '{"rank": 1}') != greedy


def test_text_with_line_breaks_is_one_sentence_a_line(succeeds, tmp_path, new):
    breaks = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
    (tmp_path / "toy").mkdir()
    for split in ("train", "valid", "test"):
        rows = [json.dumps({"text": f"a{mark}a"}) for mark in breaks]
        (tmp_path / "toy" / f"{split}.jsonl").write_text("\n".join(rows))
    given = ["--data", tmp_path / "toy", *TINY, "--tokenizer", "character", "--out", new]
    succeeds("train", *given)
    printed = succeeds("sample", new, "--size", "40")
    assert len(printed.splitlines()) == 40
    assert "\\n" in printed
    assert "\\u2028" in printed
    blocks = succeeds("reconstruct", new, "--size", "2").splitlines()
    assert [line[:6].strip() for line in blocks[:6]] == ["from", "to", "", "from", "to", ""]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_output_that_is_not_utf_8_is_escaped(monkeypatch, run, encoding):
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding=encoding))
    monkeypatch.setattr(Tokenizer, "decode", lambda self, row: "\u4eca\u5929 \u00e9")
    assert main(["sample", str(run), "--size", "2"]) == 0
    sys.stdout.flush()
    line = "\u4eca\u5929 \u00e9".encode(encoding, "backslashreplace")
    assert written.getvalue().splitlines() == [line, line]


def test_sentences_are_printed_as_they_come(monkeypatch, run):
    """Drawn in parts of two, of which each is out before the next is begun."""
    written, lines_before = io.BytesIO(), []
    draw = sampling._draw

    def recorded(*arguments):
        lines_before.append(len(written.getvalue().splitlines()))
        return draw(*arguments)

    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="utf-8"))
    monkeypatch.setattr(sampling, "_draw", recorded)
    monkeypatch.setattr(sampling, "SENTENCES_AT_ONCE", 2)
    assert main(["sample", str(run), "--size", "5"]) == 0
    assert lines_before == [0, 2, 4]
    assert len(written.getvalue().splitlines()) == 5


def test_sources_stay_with_their_sentences_in_parts(succeeds, monkeypatch, conditional_run):
    arguments = ["sample", conditional_run, "--size", "5", "--method", "greedy", "--from", "prior"]
    sources = succeeds(*arguments).splitlines()[::3]
    monkeypatch.setattr(sampling, "SENTENCES_AT_ONCE", 2)
    printed = succeeds(*arguments).splitlines()
    assert printed[::3] == sources
    assert len(printed) == 15
