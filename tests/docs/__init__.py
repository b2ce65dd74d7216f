# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The pages of ``docs/`` and the programs that stand there."""
