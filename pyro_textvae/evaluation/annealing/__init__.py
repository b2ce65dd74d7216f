# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Particles along a path of densities from a wide distribution to the joint."""
