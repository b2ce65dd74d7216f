# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Training that begins with the weights of another run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.weights_hash import load_with_hash
from pyro_textvae.runs.build import Pair
from pyro_textvae.runs.load import read_run

_NAMED = 4
"""So many weights that stay as they were drawn are named one by one."""


@dataclass(frozen=True)
class Start:
    """Where the weights are from.

    run
        Path of the other run.
    weights_sha256
        Of the file that was read.
    line
        For the user: how much was taken, and what was not.
    """

    run: str
    weights_sha256: str
    line: str


def start_from(pair: Pair, config: TrainConfig, tokenizer: Tokenizer) -> Start | None:
    """Give ``pair`` the weights of the run that ``config`` starts from; None where it names none.

    A weight is taken where the other run has one of the same name and shape; all others stay as
    they were drawn.

    :param tokenizer: of the text; the other run must have the same.
    :raises UserError: when it is no run or has no weights, is of another vocabulary, or has nothing
        that ``pair`` could take.
    """
    if config.start_from is None:
        return None
    path = config.start_from.replace("{seed}", str(config.seed))
    folder = RunFolder(path)
    contents = read_run(folder).contents
    if contents["tokenizer_fingerprint"] != tokenizer.fingerprint:
        raise UserError(
            f"start_from {path}: its vocabulary is another than that of {config.data} with these "
            "settings, so its weights are of other words: start from a run of the same text, "
            "tokenizer, min_count and vocab_size"
        )
    saved, digest = load_with_hash(folder, folder.read_weights)
    assert digest is not None
    modules = pair.modules
    state: dict[str, Tensor] = modules.state_dict()
    taken = {name for name, value in state.items() if _is_like(saved.get(name), value)}
    # Weights that are tied are saved once, under one of their names.
    pointers = {state[name].data_ptr() for name in taken}
    left = [name for name, value in state.items() if value.data_ptr() not in pointers]
    if not taken:
        raise UserError(
            f"start_from {path}: none of its weights has the name and shape of one of "
            f"{pair.specs['model']} with guide {pair.specs['guide']}: start from a run of a "
            "model, decoder or guide that is alike"
        )
    with torch.no_grad():
        for name in taken:
            state[name].copy_(saved[name])
    numbers = sum(p.numel() for p in modules.parameters() if p.data_ptr() in pointers)
    line = f"{numbers:,} of {pair.num_parameters:,} parameters begin as those of {path}"
    if left:
        named = ", ".join(left[:_NAMED]) + (
            f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        )
        line += f"; as drawn: {named}"
    return Start(path, digest, line)


def start_again(
    pair: Pair, config: TrainConfig, tokenizer: Tokenizer, recorded: dict[str, str] | None
) -> None:
    """As :func:`start_from`, of a run that was stopped before its first checkpoint.

    :param recorded: what its config.json says of its start.
    :raises UserError: as :func:`start_from`, and when the other run's weights are others now.
    """
    start = start_from(pair, config, tokenizer)
    if start and recorded and start.weights_sha256 != recorded["weights_sha256"]:
        raise UserError(
            f"start_from {start.run}: its weights have changed since this run began with them: "
            "train again with --overwrite"
        )


def _is_like(saved: Tensor | None, value: Tensor) -> bool:
    return saved is not None and saved.shape == value.shape
