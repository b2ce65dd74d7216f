# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A mistake stays one line where Pyro traces the program that finds it."""

import pyro
import pyro.distributions as dist
import pytest
from pyro import poutine

from pyro_textvae.errors import UserError
from pyro_textvae.testing import ContractError
from pyro_textvae.training import TrainingError


@pytest.mark.parametrize("kind", [UserError, ContractError, TrainingError])
def test_pyros_table_of_shapes_is_left_out(kind):
    def program():
        pyro.sample("z", dist.Normal(0.0, 1.0))
        raise kind("the field 'source' is missing: give it")

    with pytest.raises(kind) as caught:
        poutine.trace(poutine.trace(program)).get_trace()
    assert str(caught.value) == "the field 'source' is missing: give it"
