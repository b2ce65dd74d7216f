# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The error that a user can mend."""


class UserError(ValueError):
    """A mistake in what the user gave: one line that names the thing, the value and the mend.

    The command line prints it without a traceback and exits with status 2.
    """
