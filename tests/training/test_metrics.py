# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import pytest

from pyro_textvae.errors import UserError
from pyro_textvae.training.metrics import MetricsFile


def test_link_to_a_file_of_the_right_lines_is_refused_and_not_cut(tmp_path):
    other = MetricsFile(tmp_path / "other.jsonl")
    other.append(step=1)
    state = other.state_dict()
    other.append(step=2)
    before = other.path.read_bytes()
    link = tmp_path / "metrics.jsonl"
    link.symlink_to(other.path)
    with pytest.raises(UserError, match=r"metrics\.jsonl is a link: put the file itself there"):
        MetricsFile(link).load_state_dict(state)
    assert other.path.read_bytes() == before
