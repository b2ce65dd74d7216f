# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A case run in a fork of a process that has imported everything: milliseconds, not seconds."""

import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LONGEST = 60.0
MOST_MEMORY = 6 * 2**30
_CHANGES = {
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.mkdir": (0,),
    "os.symlink": (1,),
    "os.link": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "shutil.rmtree": (0,),
}
"""Events of Python's audit that change files, and which of their arguments are those."""
_FOLLOWS_LINKS = ("open", "os.truncate", "os.chmod")
_EXECUTES = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect")


@dataclass
class Outcome:
    """How a case ended.

    :param status: negative for the signal that ended it.
    :param events: what it did outside of the folders that it may write to, or executed.
    :param orphans: whether processes that it started were still there.
    """

    status: int
    out: str
    err: str
    seconds: float
    is_hanging: bool
    events: str
    orphans: bool


def run_in_fork(
    body: Callable[[], int | None], work: Path, writable: Sequence[Path], notes: Path
) -> Outcome:
    """Run ``body`` in a fork, in the folder ``work``, with limits to its time and memory.

    :param writable: folders outside of which nothing may be written; the fork is kept from it.
    :param notes: a folder for its output.
    """
    names = [notes / name for name in ("stdout", "stderr", "events")]
    pid = os.fork()
    if pid == 0:
        _be_the_child(body, work, writable, names)
    # Its own group, so that what it started can be looked for.
    with suppress(OSError):
        os.setpgid(pid, pid)
    handle = os.pidfd_open(pid)
    is_hanging = not select.select([handle], [], [], LONGEST)[0]
    os.close(handle)
    if is_hanging:
        os.killpg(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    orphans = True
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        orphans = False
    out, err, events = (path.read_text(errors="replace") for path in names)
    seconds = usage.ru_utime + usage.ru_stime
    return Outcome(
        os.waitstatus_to_exitcode(status), out, err, seconds, is_hanging, events, orphans
    )


def _be_the_child(
    body: Callable[[], int | None], work: Path, writable: Sequence[Path], names: list[Path]
) -> None:
    status: int | None = 1
    try:
        os.setpgid(0, 0)
        os.chdir(work)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        numbers = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for path in names]
        os.dup2(numbers[0], 1)
        os.dup2(numbers[1], 2)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        _watch([*map(str, writable)], numbers[2])
        try:
            status = body()
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status or 0)


def _watch(writable: list[str], notes: int) -> None:
    """Note, and refuse, writing outside of the given folders and starting programs."""

    def note(text: str) -> None:
        os.write(notes, f"{text}\n".encode(errors="replace"))

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            name, mode, flags = arguments
            is_writing = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            if not is_writing or isinstance(name, int):
                return
            if os.path.islink(name) and (mode is not None or flags & os.O_NOFOLLOW):
                # It may be opened without following links; what it leads to is compared afterwards.
                return
            paths = [name]
        elif event in _CHANGES:
            paths = [arguments[place] for place in _CHANGES[event]]
        elif event == "subprocess.Popen":
            # What results are made with: the commit, the processor, and the fonts of pictures.
            if arguments[1][:1] not in (["git"], ["uname"], ["fc-list"]):
                note(f"started {arguments[1]}")
                raise PermissionError("no program may be started")
            return
        elif event in _EXECUTES:
            note(f"{event}{arguments}")
            raise PermissionError("no program may be started")
        else:
            return
        for path in paths:
            if isinstance(path, str | bytes | os.PathLike):
                text = os.fsdecode(path)
                folder, name = os.path.split(text.rstrip("/"))
                real = os.path.join(os.path.realpath(folder), name)
                if event in _FOLLOWS_LINKS:
                    real = os.path.realpath(text)
                if real != os.devnull and not real.startswith(tuple(writable)):
                    note(f"{event} {real}")
                    raise PermissionError(1, "outside of the folder of the case", real)

    sys.addaudithook(hook)
