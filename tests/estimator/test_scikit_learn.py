# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Which of scikit-learn's own checks of an estimator apply to text, and pass."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import sklearn
from sklearn.utils import estimator_checks

from pyro_textvae import TextVAE
from tests.estimator.animals import TEXTS, TINY

DOCS = (Path(__file__).parent.parent.parent / "docs" / "python.md").read_text()
(TABLE,) = [part for part in DOCS.split("\n\n") if part.startswith("| scikit-learn's check")]
ROWS = re.findall(r"^\| (`[^|]*) \| ([^|]*) \|$", TABLE, re.M)
PASSED = [name for names, why in ROWS if why == "passes" for name in re.findall("`(.*?)`", names)]
SKIPPED = [name for names, why in ROWS if why != "passes" for name in re.findall("`(.*?)`", names)]


@pytest.mark.parametrize("name", PASSED)
def test_check_that_applies_to_text(name):
    if not hasattr(estimator_checks, name):
        pytest.skip("of a later version of scikit-learn")
    getattr(estimator_checks, name)("TextVAE", TextVAE(**TINY, epochs=1))


@pytest.mark.skipif(not sklearn.__version__.startswith("1.9."), reason="other versions have others")
def test_every_check_is_listed():
    there = {name for name in vars(estimator_checks) if name.startswith("check_")}
    there = {n for n in there if vars(estimator_checks)[n].__module__ == estimator_checks.__name__}
    there -= {"check_estimator"}
    assert there <= {*PASSED, *SKIPPED}
    assert not {*PASSED} & {*SKIPPED}


def test_what_the_skipped_ones_ask_for_holds_for_text(vae):
    first = vae.transform(TEXTS[:3])
    before = {**vars(vae)}
    assert np.array_equal(first, vae.transform(TEXTS[:3]))
    # One text at a time, in any order, and after a copy has gone through pickle.
    np.testing.assert_allclose(vae.transform(TEXTS[1:2])[0], first[1], atol=1e-6)
    np.testing.assert_allclose(vae.transform(TEXTS[2::-1]), first[::-1], atol=1e-6)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(vae)).transform(TEXTS[:3]), first)
    assert vars(vae) == before
