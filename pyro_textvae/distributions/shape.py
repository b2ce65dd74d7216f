# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sizes, as PyTorch's distributions take them."""

import torch

Shape = torch.Size | list[int] | tuple[int, ...]
