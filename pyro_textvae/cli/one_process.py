# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Commands that are not shared among processes."""

from __future__ import annotations

import os

from pyro_textvae.errors import UserError


def refuse_several(command: str, *, instead: str = "") -> None:
    """Refuse a command that is not shared among processes, before they race for one folder.

    :param instead: what else there is to do, to end the message with.
    :raises UserError: where ``torchrun`` started more than one.
    """
    size = os.environ.get("WORLD_SIZE", "")
    if size.isdecimal() and int(size) > 1:
        raise UserError(
            f"{command} is not distributed, and WORLD_SIZE={size} says that there are {size} "
            f"processes, which would write into one folder: start it without torchrun{instead}"
        )
