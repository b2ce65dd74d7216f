# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import pytest

PEAK = """
import resource, sys, torch
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.priors import StandardNormal
torch.set_num_threads(1)
torch.manual_seed(0)
sizes = dict(vocab_size=1000, embedding_dim=32, hidden_dim=32)
model = SentenceVAE(
    prior=StandardNormal(16), decoder=LSTMDecoder(**sizes, latent_dim=16, max_length=12)
)
guide = GaussianGuide(encoder=LSTMEncoder(**sizes), latent_dim=16)
tokens = torch.randint(3, 1000, (32, 12))
tokens[:, -1] = 2
result = log_likelihood(model, guide, [{"tokens": tokens}], int(sys.argv[1]))
assert result.log_px.isfinite().all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_draws():
    """Peak of a whole process at K = 5000 within 1.2 times that at K = 100."""
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", PEAK, str(count)], capture_output=True, text=True, check=True
            ).stdout
        )
        for count in (100, 5000)
    ]
    assert peaks[1] < 1.2 * peaks[0]
