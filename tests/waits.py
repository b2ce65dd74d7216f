# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Which operations would make the host wait for a GPU, noted on a machine without one."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_BY_VALUE = {
    "_local_scalar_dense",
    "_pack_padded_sequence",
    "is_nonzero",
    "masked_scatter",
    "masked_select",
    "nonzero",
}
_BY_MASK = {"_index_put_impl_", "_unsafe_index", "index", "index_put", "index_put_"}


class Waits(TorchDispatchMode):
    """Notes every operation for whose result, or its size, the host would wait, in ``found``.

    :param also: names of further ones, such as ``equal`` where no numbers of the host are compared.
    """

    def __init__(self, *also):
        super().__init__()
        self.names = _BY_VALUE | set(also)
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.removeprefix("aten::")
        by_mask = name in _BY_MASK and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if by_mask or name in self.names:
            self.found.append(name)
        return function(*args, **(kwargs or {}))
