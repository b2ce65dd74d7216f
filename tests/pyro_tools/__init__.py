# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Pyro's own tools on programs of this library's contract; the table in docs/pyro-tools.md."""
