# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest

from pyro_textvae import TextVAE
from tests.estimator.animals import TEXTS, TINY, VALID


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYRO_TEXTVAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def vae(cache):
    """Fitted for two epochs; no test may change it."""
    return TextVAE(**TINY, epochs=2).fit(TEXTS, valid=VALID, report=None)
