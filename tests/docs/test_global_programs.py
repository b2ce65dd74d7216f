# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The programs with global latents: scored against the truth, and all that the commands do."""

import importlib.util
import itertools
import json
from pathlib import Path

import pyro
import pytest
import torch

from pyro_textvae.cli.main import main
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.nn import BagOfWordsEncoder, LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal
from pyro_textvae.special_tokens import EOS, FIRST_EMITTED
from pyro_textvae.testing import check_guide, check_model
from tests.cli.conftest import TINY, write_corpus

FOLDER = Path(__file__).parents[2] / "docs" / "programs"
PARTS = {
    "topic_model": ("TopicModel", "TopicGuide", ["--encoder", "bag_of_words"]),
    "bayesian_weights": ("BayesianBias", "BayesianBiasGuide", []),
}
each_program = pytest.mark.parametrize("name", PARTS)
GRID = torch.arange(-8.0, 8.01, 0.1, dtype=torch.float64)
LOG_DENSITY = torch.distributions.Normal(0.0, 1.0).log_prob(GRID) + torch.tensor(0.1).log()


def program_of(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def topic_pair(vocab_size):
    program = program_of("topic_model")
    pyro.set_rng_seed(1)
    model = program.TopicModel(latent_dim=1, vocab_size=vocab_size, max_length=5)
    encoder = BagOfWordsEncoder(vocab_size=vocab_size, embedding_dim=3, hidden_dim=4)
    guide = program.TopicGuide(encoder, latent_dim=1, vocab_size=vocab_size)
    guide.log_concentration.data.mul_(2.0)
    return model.double(), guide.double()


def bayesian_pair(vocab_size):
    program = program_of("bayesian_weights")
    pyro.set_rng_seed(1)
    sizes = {"vocab_size": vocab_size, "embedding_dim": 3, "hidden_dim": 4}
    decoder = LSTMDecoder(**sizes, latent_dim=1, max_length=5)
    model = program.BayesianBias(StandardNormal(1), decoder)
    guide = program.BayesianBiasGuide(LSTMEncoder(**sizes), latent_dim=1, vocab_size=vocab_size)
    guide.bias_loc.data = torch.randn_like(guide.bias_loc)
    guide.bias_log_scale.data.fill_(-0.5)
    return model.double(), guide.double()


PAIRS = {"topic_model": topic_pair, "bayesian_weights": bayesian_pair}


def expected_product(concentration, classes):
    """log E of the product of the probabilities of these classes under a Dirichlet."""
    counts = torch.bincount(classes, minlength=len(concentration)).double()
    after = concentration + counts
    total = concentration.sum().lgamma() - after.sum().lgamma()
    return total + (after.lgamma() - concentration.lgamma()).sum()


def exact_topics(model, guide, sentence):
    """log p(x): each word's topic enumerated, the topics in closed form, the mixture on a grid."""
    concentration = guide.log_concentration.detach().exp()
    classes = sentence[: (sentence == EOS).nonzero()[0, 0] + 1] - FIRST_EMITTED
    log_share = torch.nn.functional.logsigmoid(torch.stack([GRID, -GRID]))
    terms = []
    for topics in itertools.product([0, 1], repeat=len(classes)):
        chosen = torch.tensor(topics)
        of_topics = sum(expected_product(concentration[k], classes[chosen == k]) for k in (0, 1))
        terms.append(of_topics + log_share[chosen].sum(0))
    return (torch.stack(terms).logsumexp(0) + LOG_DENSITY).logsumexp(0)


def exact_bayesian(model, guide, sentence):
    """log p(x): the biases by Gauss and Hermite, z on a grid, in a decoder without a prior."""
    plain = LSTMDecoder(vocab_size=4, embedding_dim=3, hidden_dim=4, latent_dim=1, max_length=5)
    plain.double().eval()
    weights = dict(model.decoder.named_parameters())
    size = 12
    # Golub and Welsch: nodes and weights of the Gaussian's rule.
    off = torch.arange(1, size, dtype=torch.float64).sqrt()
    nodes, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    log_weights = 2 * vectors[0].abs().log()
    terms = []
    for i, j in itertools.product(range(size), repeat=2):
        bias = guide.bias_loc + guide.bias_log_scale.exp() * nodes[[i, j]]
        plain.load_state_dict(weights | {"token_scores.bias": bias})
        log_px = plain(GRID.unsqueeze(-1)).log_prob(sentence)
        terms.append(log_weights[i] + log_weights[j] + (log_px + LOG_DENSITY).logsumexp(0))
    return torch.stack(terms).logsumexp(0)


SENTENCES = {
    "topic_model": [[3, 4, 3, 2], [5, 5, 2, 0], [2, 0, 0, 0], [4, 3, 3, 5]],
    "bayesian_weights": [[3, 3, 3, 2], [3, 2, 0, 0], [2, 0, 0, 0]],
}


@each_program
@torch.no_grad()
def test_likelihood_is_the_mean_over_the_posterior_of_what_is_global(name):
    tokens = torch.tensor([row for row in SENTENCES[name] if EOS in row])
    pair = PAIRS[name](vocab_size=6 if name == "topic_model" else 4)
    exact_of = exact_topics if name == "topic_model" else exact_bayesian
    exact = torch.stack([exact_of(*pair, sentence) for sentence in tokens])
    r = log_likelihood(*pair, [{"tokens": tokens}], 30, seed=3, num_global_draws=40)
    assert r.global_draws.count == 40
    z = (r.log_px - exact) / r.standard_error
    assert z.abs().max() < 4.5
    assert abs(r.nll + exact.mean().item()) < 4.5 * r.nll_standard_error
    assert r.standard_error.max() < 0.4
    parts = r.nll_global_error**2 + r.nll_local_error**2
    assert parts == pytest.approx(r.nll_standard_error**2)
    assert r.nll_global_error > r.nll_local_error > 0
    assert (r.elbo < r.log_px + 4.5 * r.standard_error).all()


@each_program
def test_program_keeps_the_contract(name):
    model, guide = PAIRS[name](vocab_size=6)
    check_model(model)
    check_guide(guide, model)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("global") / "toy")


def settings(name, text):
    model, guide, more = PARTS[name]
    file = FOLDER / f"{name}.py"
    return [
        "--data",
        text,
        "--model",
        f"{file}:{model}",
        "--guide",
        f"{file}:{guide}",
        *TINY[:6],
        *more,
    ]


@pytest.fixture
def call(capsys):
    def call(*arguments, status=0):
        capsys.readouterr()
        assert main([*map(str, arguments)]) == status
        return capsys.readouterr()

    return call


@each_program
def test_commands(name, text, tmp_path, call):
    """Trained, by an objective of Pyro's too, evaluated, compared; the rest is of every program."""
    runs, train = [], ["train", *settings(name, text)]
    for number, objective in enumerate(("beta_elbo", "pyro.infer:Trace_ELBO")):
        runs.append(tmp_path / f"run{number}")
        call(*train, "--objective", objective, "--epochs", 1, "--out", runs[-1])
    last = json.loads((runs[0] / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["train_loss"] == pytest.approx(
        last["train_reconstruction"]
        + last["kl_weight"] * (last["train_kl"] + last["train_global_kl"]),
        rel=0.05,
    )
    options = ["--num-samples", 4, "--proposal", "guide", "--report", "false"]
    table = call("evaluate", runs[0], *options, "--num-global-draws", 5).out
    assert "by global latents" in table
    assert "by 5 draws of them" in table
    assert "nats of the whole corpus, in none of the above" in table
    result = json.loads((runs[0] / "evaluation.json").read_text())
    of_globals = result["global_latents"]
    assert of_globals["num_draws"] == 5
    assert of_globals["kl"] == pytest.approx(sum(of_globals["kl_of_sites"].values()))
    assert of_globals["nll_global_error"] <= result["nll_standard_error"]
    assert not [*runs[0].glob("evaluation.partial*")]
    call("evaluate", runs[1], *options)
    assert "run1" in call("compare", runs[0], runs[1]).out
    assert call("sample", runs[0], "--seed", 1).out == call("sample", runs[0], "--seed", 1).out
    said = call("evaluate", runs[0], *options, "--check", status=2).err
    assert "with the global latent" in said
    assert len(said.splitlines()) == 1


@each_program
@pytest.mark.parametrize("objective", ["wake_sleep", "piwae", "pyro.infer:TraceTailAdaptive_ELBO"])
def test_objective_that_cannot_scale_a_global_latent(name, objective, text, tmp_path, call):
    train = ["train", *settings(name, text), "--epochs", 1, "--num-particles", 4]
    train += ["--objective", objective]
    said = call(*train, "--out", tmp_path / "run", status=2).err
    assert "is outside the plate 'data', so it is one latent of the whole corpus, which" in said
    assert "use BetaELBO, IWAE or DReG" in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()
