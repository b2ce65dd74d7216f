# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.pyro_tools``: every tool is tried, and docs/pyro-tools.md says how it went."""

from tests.pyro_tools.table import rewrite

rewrite()
