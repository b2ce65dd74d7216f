# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Records of runs as their files would give them, without the files."""

from pathlib import Path

import pytest
import torch

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.report.blocks import Note
from pyro_textvae.report.run_record import RunRecord

NUM_SENTENCES = 40

EPOCHS = [
    {
        "kind": "epoch",
        "epoch": epoch,
        "train_loss": 70.0 - epoch,
        "valid_elbo": 60.0 - epoch,
        "valid_kl": 1.0 + epoch,
        "valid_mutual_information": 0.5 * epoch,
        "best": epoch < 3,
    }
    for epoch in (1, 2, 3)
]

EVALUATION = {
    "data": "grammar",
    "split": "test",
    "num_sentences": NUM_SENTENCES,
    "num_tokens": 300,
    "num_left_out": 1,
    "num_cut": 0,
    "num_samples": 128,
    "proposal": "guide",
    "proposal_settings": {"quasi_random": False},
    "nll": 21.4567,
    "nll_standard_error": 0.0321,
    "nll_sampling_error": 1.25,
    "elbo": 23.5,
    "reconstruction": 20.25,
    "kl": 3.25,
    "ppl": 17.4812,
    "ppl_elbo": 22.9,
    "bits_per_word": 4.128,
    "bits_per_character": None,
    "mutual_information": 2.5125,
    "mutual_information_upper": 4.5,
    "mutual_information_ceiling": 3.689,
    "active_units": 2,
    "latent_dim": 4,
    "median_ess": 33.3,
    "heavy_tail_share": 0.125,
    "doubling_increment": 0.0512,
    "doubling_ratio": 0.5,
    "remaining_bias": 0.0512,
    "curve": [
        {"num_samples": 32, "nll": 21.6103, "standard_error": 0.01},
        {"num_samples": 64.0, "nll": 21.5079, "standard_error": 0.02},
        {"num_samples": 128, "nll": 21.4567, "standard_error": 0.0321},
    ],
    "kl_per_dimension": [0.25, 2.0, 0.5, 0.5],
    "unit_variance": [0.009, 0.8, 0.011, 0.0],
    "borderline_units": [0, 2],
    "warnings": [],
    "corpus_fingerprint": "0123456789abcdef",
    "seed": 7,
    "environment": {"python": "3.11.9", "packages": {"torch": "2.13.0"}, "commit": "abc123+"},
}


@pytest.fixture
def sentences():
    """The columns of a table of 40 sentences of 2 to 13 tokens."""
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(2, 14, (NUM_SENTENCES,), generator=generator)
    noise = torch.randn(NUM_SENTENCES, generator=generator, dtype=torch.float64)
    return {
        "num_tokens": tokens,
        "log_px": -2.5 * tokens + noise,
        "khat": torch.linspace(-0.4, 1.16, NUM_SENTENCES, dtype=torch.float64),
    }


@pytest.fixture
def record(sentences):
    """Makes the record of a run; keywords replace what it holds."""

    def make(number=1, name="run", *, evaluation=EVALUATION, **changes):
        settings = TrainConfig(data="grammar").to_dict()
        values = {
            "path": Path("runs") / name,
            "name": name,
            "number": number,
            "config": {"settings": settings, "corpus_fingerprint": "0123456789abcdef"},
            "epochs": EPOCHS,
            "evaluation": evaluation,
            "evaluation_note": None,
            "sentences": sentences,
            "sentences_note": None,
        }
        if evaluation is None:
            note = Note(f"{name} has not been evaluated.", "missing", "pyro-textvae evaluate run")
            values |= {"evaluation_note": note, "sentences_note": note, "sentences": None}
        return RunRecord(**values | changes)

    return make
