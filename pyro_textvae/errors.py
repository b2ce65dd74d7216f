# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The error that a user can fix."""


class UserError(ValueError):
    """A mistake in what the user gave: one line that names the thing, the value and what to do.

    The command line prints it without a traceback and exits with status 2.
    """

    def __init__(self, message: str = "") -> None:
        # Pyro raises what a traced program raises anew, with a table of its shapes below.
        super().__init__(message.partition("\nTrace Shapes:")[0])


def in_one_line(error: BaseException) -> str:
    """Type and message of an error of a user's program, without Pyro's table of trace shapes."""
    message = " ".join(str(error).partition("Trace Shapes:")[0].split())[:300]
    return f"{type(error).__name__}: {message}"
