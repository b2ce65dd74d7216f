# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Particles that go along the latents of a datum in their order: sequential Monte Carlo."""
