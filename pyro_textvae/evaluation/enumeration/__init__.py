# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Discrete sites summed out of the likelihood: a datum for every sentence and value."""
