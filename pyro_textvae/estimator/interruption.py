# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What Ctrl-C leaves of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.build import build_pair
from pyro_textvae.runs.load import load_tokenizer, read_run
from pyro_textvae.training import Callback
from pyro_textvae.training.callback import Trained


class Begun(Callback):
    """Knows whether the training has begun, so that there is a checkpoint."""

    def __init__(self) -> None:
        self.has_begun = False

    def on_train_begin(self, trainer: Trained) -> None:
        """Now it has."""
        self.has_begun = True


@contextmanager
def kept_when_interrupted(
    folder: RunFolder, begun: Begun, report: Callable[[str], None]
) -> Iterator[None]:
    """Let Ctrl-C end the training, and leave a run that can be used and gone on with.

    :raises KeyboardInterrupt: where training has not begun: then nothing is there to be kept.
    """
    try:
        yield
    except KeyboardInterrupt:
        if not begun.has_begun:
            raise
        step = _keep_weights_of_checkpoint(folder)
        what = "" if step is None else f", with the weights of step {step}: no epoch was finished"
        report(f"stopped{what}; resume() goes on from the last checkpoint")


def _keep_weights_of_checkpoint(folder: RunFolder) -> int | None:
    """Where no epoch was finished, the checkpoint's weights are better than none.

    :returns: the step that they are of; None where there are weights.
    """
    state = folder.load_state()
    if folder.weights.is_file() or state is None:
        return None
    run = read_run(folder, trust_code=True)
    pair = build_pair(run.config, run.sizes, tokenizer=load_tokenizer(run), specs=run.specs)
    pair.modules.load_state_dict(state["modules"])
    folder.save_weights(pair.modules)
    step: int = state["progress"]["step"]
    return step
