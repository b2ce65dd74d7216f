# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The tests that can see a mutant, those first that are most likely and quickest to tell."""

import json
from collections import defaultdict

SIGNATURES = "tests/test_defaults.py"
"""Reads what is set where nothing is given, without executing a line."""


class Selection:
    """The map of :mod:`coverage_map`, read backwards.

    :param files: maps; several where the suite was recorded in parts.
    """

    def __init__(self, files):
        self.seconds = {}
        self.tests_of = defaultdict(set)
        """The tests that execute a line, by file and line."""
        for file in files:
            recorded = json.loads(file.read_text())
            self.seconds |= recorded["seconds"]
            askers = defaultdict(set)
            for test, fixtures in recorded["fixtures"].items():
                for fixture in fixtures:
                    askers[f"fixture {fixture}"].add(test)
            contexts = recorded["contexts"]
            of_context = [askers[each] or {each} for each in contexts]
            for name, lines in recorded["lines"].items():
                for line, numbers in lines.items():
                    self.tests_of[name, int(line)].update(*(of_context[each] for each in numbers))
        self.lines = defaultdict(list)
        for name, line in self.tests_of:
            self.lines[name].append(line)

    def tests(self, mutant, longest):
        """Tests to run on a mutant, in this order; about ``longest`` seconds of them."""
        first, last = mutant.scope_lines
        if mutant.scope == "lines":
            lines = range(mutant.line, mutant.last_line + 1)
            tests = self._executing(mutant.file, lines)
            tests = tests or self._executing(mutant.file, range(first, last + 1))
        elif mutant.scope == "function":
            tests = self._executing(mutant.file, range(first + 1, last + 1))
        else:
            tests = set()
        # What runs at import, or where no tracer sees it, as what a library calls from its threads.
        tests = tests or self._executing(mutant.file, self.lines[mutant.file])
        if mutant.scope != "lines":
            tests = tests | {test for test in self.seconds if test.startswith(SIGNATURES)}
        ordered = sorted(tests, key=lambda test: (self._rank(mutant.file, test), test))
        used, kept = 0.0, []
        for test in ordered:
            used += self.seconds[test]
            if kept and used > longest:
                break
            kept.append(test)
        return kept

    def _executing(self, file, lines):
        tests = set()
        for line in lines:
            tests |= self.tests_of.get((file, line), set())
        return {test for test in tests if test in self.seconds}

    def _rank(self, file, test):
        """Seconds, with an allowance for the tests of the mutant's folder and of its file."""
        folder, _, name = file.removeprefix("pyro_textvae/").removesuffix(".py").rpartition("/")
        room = folder.split("/")[0]
        nearness = 1.0
        if room and test.startswith(f"tests/{room}/"):
            nearness = 0.1
        if name in test or test.startswith(SIGNATURES):
            nearness = 0.03
        return nearness * (0.02 + self.seconds[test])
