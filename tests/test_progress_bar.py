# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import sys
import types

import pytest

from pyro_textvae.progress_bar import progress_bar


def kernel(config):
    module = types.ModuleType("IPython")
    module.get_ipython = lambda: types.SimpleNamespace(config=config)
    return module


@pytest.mark.parametrize(
    ("config", "shown", "is_seen"),
    [
        ({"IPKernelApp": {}}, True, True),
        ({"IPKernelApp": {}}, False, False),
        ({"TerminalIPythonApp": {}}, True, False),
    ],
)
def test_bar_is_seen_in_a_notebook_and_not_in_a_pipe(config, shown, is_seen, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "IPython", kernel(config))
    assert list(progress_bar([1, 2], shown=shown, desc="sentences")) == [1, 2]
    assert ("sentences" in capsys.readouterr().err) is is_seen
