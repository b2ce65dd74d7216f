# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Work shared by the processes that ``torchrun`` started."""

from pyro_textvae.processes.agreement import (
    broadcast_tensors,
    check_same,
    gather,
    of_the_first,
    together,
)
from pyro_textvae.processes.failures import one_error_line
from pyro_textvae.processes.group import (
    begin_sum,
    joined_processes,
    launch_name,
    local_device,
    rank_and_size,
    second_group,
    sum_of_all,
    sums_of_all,
)

__all__ = [
    "begin_sum",
    "broadcast_tensors",
    "check_same",
    "gather",
    "joined_processes",
    "launch_name",
    "local_device",
    "of_the_first",
    "one_error_line",
    "rank_and_size",
    "second_group",
    "sum_of_all",
    "sums_of_all",
    "together",
]
