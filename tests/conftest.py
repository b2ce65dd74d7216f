# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import base64
import copy
import gc

import pyro
import pytest
import torch

from pyro_textvae.guides import GaussianGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal
from pyro_textvae.report import canvas
from tests.pretrained_folders import folder_of

# Distinct sizes for every dimension, so that a transposed one cannot pass.
VOCAB_SIZE = 7
MAX_LENGTH = 6
LATENT_DIM = 2

AS_PNG = canvas.as_png
DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNgAAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="
)


def pytest_collection_finish():
    """What collection has made stays to the end: the garbage collector need not visit it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _dots_for_pictures():
    """Figures of reports are painted as ever, but a dot stands for what matplotlib draws of them.

    Drawing takes longer than most of what is evaluated in tests; ``drawn_pictures`` has it done.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas, "as_png", lambda canvas: DOT)
        yield


@pytest.fixture
def drawn_pictures(monkeypatch):
    monkeypatch.setattr(canvas, "as_png", AS_PNG)


@pytest.fixture(autouse=True)
def _strict_session(tmp_path_factory, monkeypatch):
    """Validation on, an empty parameter store, a fixed seed, nothing in the user's own folders."""
    monkeypatch.setenv("PYRO_TEXTVAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("PYRO_TEXTVAE_CONFIG", str(tmp_path_factory.getbasetemp() / "config"))
    pyro.clear_param_store()
    pyro.enable_validation(True)
    pyro.set_rng_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory):
    """The folder of a small pre-trained model by its name; no test may write into it."""
    place = tmp_path_factory.mktemp("pretrained")
    return lambda name: folder_of(name, place / name)


@pytest.fixture
def pair():
    """A small sentence VAE and its guide, in float64 and in evaluation mode."""
    model = SentenceVAE(
        prior=StandardNormal(LATENT_DIM),
        decoder=LSTMDecoder(
            vocab_size=VOCAB_SIZE,
            embedding_dim=4,
            hidden_dim=5,
            latent_dim=LATENT_DIM,
            max_length=MAX_LENGTH,
        ),
    ).double()
    guide = GaussianGuide(
        encoder=LSTMEncoder(vocab_size=VOCAB_SIZE, embedding_dim=3, hidden_dim=8),
        latent_dim=LATENT_DIM,
    ).double()
    _draw_weights(model, guide)
    # Untrained weights hardly depend on z; these do, so that a test can see z ignored.
    with torch.no_grad():
        for parameter in (*model.parameters(), *guide.parameters()):
            parameter.mul_(3.0)
    return model.eval(), guide.eval()


def _draw_weights(model, guide):
    """The same whatever the order is in which networks are built."""
    pyro.set_rng_seed(0)
    decoder, encoder = model.decoder, guide.encoder
    for module in (
        *(decoder.embedding, decoder.lstm, decoder.token_scores, decoder.initial_cell),
        *(encoder.embedding, encoder.lstm, guide.loc, guide.log_variance),
    ):
        drawn = copy.deepcopy(module).float()
        drawn.reset_parameters()
        if isinstance(drawn, torch.nn.Embedding):
            torch.nn.init.uniform_(drawn.weight, -0.1, 0.1)
        module.load_state_dict(drawn.state_dict())


@pytest.fixture
def tokens():
    """Four sentences of lengths 4, 1, 5 and 3, right-padded; shape (4, 5)."""
    return torch.tensor([[4, 5, 3, 2, 0], [2, 0, 0, 0, 0], [6, 3, 4, 5, 2], [5, 6, 2, 0, 0]])
