# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Von Mises-Fisher distributions to test, and their functions in reference digits."""

import json
from pathlib import Path

import torch

from pyro_textvae.distributions import VonMisesFisher
from pyro_textvae.distributions.sphere import unit_vector
from tests.distributions.directions import generic_direction


def von_mises_fisher(dim, concentration, dtype=torch.float64):
    loc = unit_vector(generic_direction(dim).to(dtype))
    return VonMisesFisher(loc, torch.tensor(concentration, dtype=dtype))


def reference(kind):
    """By dimension, the columns by name: ``{dim: {name: (n,)}}``, float64.

    ``"values"`` holds 19 dimensions from 2 to 1024, each with 27 concentrations from 0 to 1e6;
    ``"pairs"`` functions of two concentrations. Computed by mpmath from Bessel functions, with 40
    digits, and rounded to 20.
    """
    path = Path(__file__).parent / "von_mises_fisher_reference.json"
    table = json.loads(path.read_text())[kind]
    tables = {}
    for dim in sorted({row[0] for row in table["rows"]}):
        rows = [row for row in table["rows"] if row[0] == dim]
        columns = torch.tensor(rows, dtype=torch.float64).T
        tables[dim] = dict(zip(table["columns"], columns, strict=True))
    return tables
