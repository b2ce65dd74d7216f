# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
