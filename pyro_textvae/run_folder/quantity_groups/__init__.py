# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The numbers of an evaluation, one file for each group of them."""
