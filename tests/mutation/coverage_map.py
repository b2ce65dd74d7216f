# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Which tests execute which lines of the package: one run of tests under ``coverage``."""

import json
import time
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("pyro_textvae", "models", "guides")


class Recorder:
    """A pytest plugin that names what is executed by its test, or by the fixture it is set up in.

    A fixture that several tests share runs in the first alone, and is seen by all that ask for it.
    """

    def __init__(self, measurement):
        self.measurement = measurement
        self.seconds = {}
        self.fixtures = {}
        self._contexts = []

    def _enter(self, context):
        self._contexts.append(context)
        self.measurement.switch_context(context)

    def _leave(self):
        self._contexts.pop()
        self.measurement.switch_context(self._contexts[-1] if self._contexts else "import")

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        self.fixtures[item.nodeid] = list(getattr(item, "fixturenames", ()))
        start = time.perf_counter()
        self._enter(item.nodeid)
        yield
        self._leave()
        self.seconds[item.nodeid] = time.perf_counter() - start

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        shared = fixturedef.scope != "function"
        if shared:
            self._enter(f"fixture {fixturedef.argname}")
        yield
        if shared:
            self._leave()


def record(arguments, output):
    """Run pytest on ``arguments`` and write the map of its tests to the file ``output``."""
    import coverage

    measurement = coverage.Coverage(
        data_file=None, config_file=False, source=[str(ROOT / folder) for folder in SOURCES]
    )
    recorder = Recorder(measurement)
    measurement.start()
    measurement.switch_context("import")
    status = pytest.main(["-q", "-p", "no:cacheprovider", *arguments], plugins=[recorder])
    measurement.stop()
    write_map(recorder, measurement.get_data(), output)
    return status


def write_map(recorder, data, output):
    """Contexts by number, since one is executed on thousands of lines."""
    numbers = {}
    lines = defaultdict(dict)
    for file in data.measured_files():
        name = str(Path(file).relative_to(ROOT))
        for line, contexts in data.contexts_by_lineno(file).items():
            executed_in = sorted(set(contexts) - {""})
            lines[name][line] = [numbers.setdefault(each, len(numbers)) for each in executed_in]
    output.write_text(
        json.dumps(
            {
                "seconds": recorder.seconds,
                "fixtures": recorder.fixtures,
                "contexts": list(numbers),
                "lines": lines,
            }
        )
    )
