# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Encoders as Pyro guides, one a file."""

import os

# Debuggers match breakpoints by real path, and this folder is reached through a link.
__path__ = [os.path.realpath(path) for path in __path__]
