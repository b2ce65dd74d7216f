# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tests on mutants, each in a fork of a process that has collected the suite, on a copy of it.

A mutant's code is put into the functions that exist, so that nothing is imported again.
"""

import ctypes
import gc
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import types
from functools import cache, partial

import pytest

CACHED = type(cache(len))
KILLED, SURVIVED, BROKEN = "killed", "survived", "broken"
FEW_FIRST = 12
"""Tests that run before the rest, which is then run file by file for its shared fixtures."""


def make_copy(root, folder):
    """A copy of the checkout, in which one file at a time is a mutant's."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("pyro_textvae", "models", "guides", "tests", "docs", "benchmarks"):
        shutil.copytree(root / name, folder / name, symlinks=True)
    for path in root.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy2(path, folder)
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = str(folder)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.chdir(folder)


def try_all(mutants, folder, tests_of, report, seconds):
    """Call ``report(mutant, verdict, said)`` for each mutant.

    :param tests_of: the names of the tests to run on each mutant, in their order.
    :param seconds: of processor time for the tests of one mutant.
    """
    loop = _Loop(mutants, folder, tests_of, report, seconds)
    temporary = folder.with_name(f"{folder.name}.tmp")
    files = sorted({test.partition("::")[0] for tests in tests_of.values() for test in tests})
    pytest.main(
        [
            *("-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist"),
            *(f"--basetemp={temporary}", *files),
        ],
        plugins=[loop],
    )


class _Loop:
    """A pytest plugin: instead of the tests once, those of each mutant in a fork of its own."""

    def __init__(self, mutants, folder, tests_of, report, seconds):
        self.mutants, self.folder, self.tests_of = mutants, folder, tests_of
        self.report, self.seconds = report, seconds
        self.log = folder / "mutant.log"
        self.failure = None

    def pytest_runtest_logreport(self, report):
        if report.failed and self.failure is None:
            self.failure = f"{report.nodeid}\n{report.longreprtext[-600:]}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        items = {item.nodeid: item for item in session.items}
        capture = session.config.pluginmanager.getplugin("capturemanager")
        capture.suspend_global_capture(in_=True)
        functions = _functions(self.folder)
        gc.collect()
        gc.freeze()
        for mutant in self.mutants:
            tests = [items[name] for name in self.tests_of[mutant] if name in items]
            if not tests:
                self.report(mutant, SURVIVED, "no test executes it")
                continue
            file = self.folder / mutant.file
            original, times = file.read_bytes(), file.stat()
            changed = original[: mutant.start] + mutant.after.encode() + original[mutant.stop :]
            file.write_bytes(changed)
            try:
                change = self._change(mutant, original, changed, functions)
                verdict = self._fork(change, _grouped(tests)) if change else SURVIVED
                if verdict == SURVIVED and (not change or mutant.scope != "lines"):
                    verdict = self._anew(_grouped(tests))
            finally:
                file.write_bytes(original)
                os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
            self.report(mutant, verdict, self.log.read_text(errors="replace"))
        return True

    def _change(self, mutant, original, changed, functions):
        """What makes the imported package the mutant's; None where it must be imported anew."""
        file = os.path.realpath(self.folder / mutant.file)
        after = compile(changed, file, "exec", dont_inherit=True)
        if mutant.scope == "lines":
            before = set(_codes(compile(original, file, "exec", dont_inherit=True)))
            pairs = _replacements([code for code in _codes(after) if code not in before], functions)
            return pairs and partial(_replace_codes, pairs)
        modules = [
            module
            for module in list(sys.modules.values())
            if os.path.realpath(getattr(module, "__file__", None) or "") == file
        ]
        return partial(_replace_values, after, modules[0], functions) if modules else None

    def _fork(self, change, tests):
        self.log.write_text("")
        child = os.fork()
        if child == 0:
            status = 99
            try:
                os.setpgid(0, 0)
                _end_with_parent()
                limit = int(self.seconds) + 1
                resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
                status = self._run(change, tests)
            except BaseException as error:
                self.log.write_text(f"{type(error).__name__}: {error}")
            os._exit(status)
        deadline = time.monotonic() + 10 * self.seconds
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                break
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
                break
            time.sleep(0.02)
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if os.WIFSIGNALED(status):
            # A mutant that never ends is stopped by the limit on its processor time: it was seen.
            self.log.write_text(f"stopped by signal {os.WTERMSIG(status)}")
            return KILLED
        return {0: SURVIVED, 1: KILLED}.get(os.WEXITSTATUS(status), BROKEN)

    def _anew(self, tests):
        """What runs once, at import, needs a process of its own."""
        command = [sys.executable, "-m", "pytest", "-xq", "--tb=line", "-p", "no:cacheprovider"]
        with self.log.open("w") as log:
            try:
                run = subprocess.run(
                    [*command, *(test.nodeid for test in tests)],
                    **{"cwd": self.folder, "stdout": log, "stderr": log, "check": False},
                    timeout=20 * self.seconds,
                )
            except subprocess.TimeoutExpired:
                return KILLED
        return {0: SURVIVED, 1: KILLED, 2: KILLED, 4: KILLED}.get(run.returncode, BROKEN)

    def _run(self, change, tests):
        plugins = tests[0].config.pluginmanager
        plugins.unregister(plugins.getplugin("terminalreporter"))
        try:
            change()
        except Exception as error:
            self.log.write_text(f"{type(error).__name__} at import: {error}")
            return 1
        for test, following in zip(tests, [*tests[1:], None], strict=True):
            test.config.hook.pytest_runtest_protocol(item=test, nextitem=following)
            if self.failure is not None:
                self.log.write_text(self.failure)
                return 1
        return 0


def _end_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _grouped(tests):
    """The first few in their order, then the others by file."""
    places = {}
    for test in tests[FEW_FIRST:]:
        places.setdefault(test.path, len(places))
    return [*tests[:FEW_FIRST], *sorted(tests[FEW_FIRST:], key=lambda test: places[test.path])]


def _functions(folder):
    """Every function of the copy that exists, by file, name and first line."""
    functions = {}
    for each in gc.get_objects():
        # Not isinstance: it asks the object for its class, and some objects answer with a warning.
        if type(each) is types.FunctionType and each.__code__.co_filename.startswith(str(folder)):
            functions.setdefault(_place(each.__code__), []).append(each)
        elif type(each) is CACHED and each.__module__.startswith("pyro_textvae"):
            # What the suite's collection has computed is the code's without the mutant.
            each.cache_clear()
    return functions


def _place(code):
    return os.path.realpath(code.co_filename), code.co_qualname, code.co_firstlineno


def _codes(code):
    """The code of every function in a module's code."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes(constant)


def _replacements(codes, functions):
    """Functions that exist and the new code of each; None where that cannot be had."""
    pairs = []
    for code in codes:
        for function in functions.get(_place(code), ()):
            if function.__code__.co_freevars != code.co_freevars:
                return None
            pairs.append((function, code))
    return pairs or None


def _replace_codes(pairs):
    for function, code in pairs:
        function.__code__ = code


def _replace_values(code, module, functions):
    """The defaults of functions and the constants of a module, also where others import them."""
    again = {"__name__": module.__name__, "__file__": module.__file__}
    again["__package__"] = module.__package__
    exec(code, again)
    for each in gc.get_objects():
        if type(each) is types.FunctionType and each.__globals__ is again:
            for function in functions.get(_place(each.__code__), ()):
                function.__defaults__ = each.__defaults__
                function.__kwdefaults__ = each.__kwdefaults__
    for name, value in again.items():
        if isinstance(value, (bool, int, float, str, tuple)) and not name.startswith("__"):
            for other in list(sys.modules.values()):
                if vars(other).get(name) is vars(module).get(name) is not None:
                    if other is not module:
                        setattr(other, name, value)
            setattr(module, name, value)
