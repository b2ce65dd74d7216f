# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import importlib

import pytest

from pyro_textvae.data.languages import grammar
from pyro_textvae.data.sources import NLTKCorpus
from pyro_textvae.data.tokenizers import nltk as tokenizer
from pyro_textvae.errors import UserError


@pytest.mark.parametrize(
    "use", [lambda: NLTKCorpus("brown"), tokenizer._treebank.__wrapped__, lambda: grammar._read("")]
)
def test_a_user_without_a_home_is_told_what_nltk_wants(monkeypatch, use):
    def no_home(name):
        raise ValueError("Could not find a default download directory")

    monkeypatch.setattr(importlib, "import_module", no_home)
    with pytest.raises(UserError, match="home folder and there is none .*: set HOME, or NLTK_DATA"):
        use()
