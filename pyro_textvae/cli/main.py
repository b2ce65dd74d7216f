# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The command ``pyro-textvae``."""

from __future__ import annotations

import difflib
import importlib
import io
import os
import sys
from collections.abc import Sequence

from pyro_textvae.cli.streams import unbroken_streams
from pyro_textvae.errors import UserError

COMMANDS = {
    "prepare": "documents to sentences, once, with counts",
    "train": "train a model and guide on a corpus into a run folder",
    "evaluate": "log-likelihood, bound, KL and information of a run on a split",
    "sample": "draw sentences from a run",
    "reconstruct": "decode sentences again from their latents",
    "interpolate": "walk between the latents of two sentences",
    "complete": "fill the holes of a text, or go on from a prompt",
    "arithmetic": "decode a - b + c of the latents of three sentences",
    "traverse": "walk from a sentence along a dimension, a direction or a label",
    "neighbours": "the sentences of a split that are nearest to one in the latent space",
    "explore": "a local page of a collection: a map of its latents, to be read and searched",
    "embed": "sentences as vectors, to a file for other programs",
    "assess": "how good the text is that a run writes",
    "classify": "labels of text, with their probabilities",
    "augment": "new labelled sentences that a model is sure of",
    "compare": "paired differences of the nll between runs, or a whole grid of them",
    "refit": "another prior fitted to a run's latents after training, and what that changes",
    "compress": "a file of text to an archive of the length of its evidence bound",
    "decompress": "the file again that an archive was made of, to the byte",
    "report": "one HTML page on one run or several, with its pictures",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    :returns: 0 when it went well, 1 when runs of a grid failed, 2 for a mistake of the user's.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    _print_what_cannot_be_encoded_escaped()
    with unbroken_streams():
        return _status(given)


def _status(given: list[str]) -> int:
    try:
        status = _run([_utf8(argument) for argument in given])
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"pyro-textvae: error: {_in_one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("pyro-textvae: stopped", file=sys.stderr)
        return 130
    except UnicodeEncodeError as error:
        print(
            f"pyro-textvae: error: this terminal or file system takes no {error.object!a}: set "
            "PYTHONUTF8=1",
            file=sys.stderr,
        )
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        reason = " ".join((error.strerror or str(error)).split())
        print(f"pyro-textvae: error: {where}{reason}", file=sys.stderr)
        return 2


def _in_one_line(text: str) -> str:
    """The text in a line that a person reads; of a long one, such as a file's own, the ends."""
    line = " ".join(text.split())
    return line if len(line) <= 1200 else f"{line[:800]} ... {line[-300:]}"


def _print_what_cannot_be_encoded_escaped() -> None:
    """Text is not always in the encoding of the terminal or pipe that it is printed to."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _utf8(argument: str) -> str:
    """The argument as text, in a locale that has only ASCII too.

    :raises UserError: for bytes that are not UTF-8.
    """
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeEncodeError:
        return argument
    except UnicodeDecodeError as error:
        raise UserError(
            f"{argument!a} on the command line is not UTF-8 text: rename the file or folder, or "
            "give the text in UTF-8"
        ) from error


def _run(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if given[0] == "--version":
        from pyro_textvae import __version__

        print(f"pyro-textvae {__version__}")
        return 0
    if given[0] == "--print-completion":
        from pyro_textvae.cli.completion import completion_script

        print(completion_script(given[1] if given[1:] else "", COMMANDS))
        return 0
    command = given[0]
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"there is no command {command!r}{hint} (one of {', '.join(COMMANDS)})")
    if sys.flags.optimize > 1:
        raise UserError(
            "Pyro and the settings' help are made of docstrings, which Python leaves out here: "
            "unset PYTHONOPTIMIZE or set it to 1, and leave out -OO"
        )
    module = importlib.import_module(f"pyro_textvae.cli.{command}")
    return module.main(given[1:]) or 0


def _usage() -> str:
    lines = [f"  {name:12s} {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "usage: pyro-textvae COMMAND [--config FILE] [settings]",
            "",
            "Text VAEs as Pyro programs.",
            "",
            *lines,
            "",
            "pyro-textvae COMMAND --help lists the settings of a command.",
            "pyro-textvae --print-completion bash (or zsh) prints what completes all of it.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
