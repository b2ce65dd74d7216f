# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Posteriors of a whole split, and the parts of their KL."""
