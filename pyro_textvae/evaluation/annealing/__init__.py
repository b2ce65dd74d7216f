# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Annealed importance sampling along a path from guide to joint."""
