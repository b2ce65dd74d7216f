# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What the processes that train one run have in common."""

from __future__ import annotations

import os

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import Corpus
from pyro_textvae.processes import check_same, launch_name, of_the_first, rank_and_size
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.environment import describe_environment

LAUNCH = "launch"
"""In config.json: which launch of ``torchrun`` began the run."""


def check_same_run(config: TrainConfig, corpus: Corpus) -> None:
    """Refuse processes of other versions, with another corpus or other settings.

    :raises UserError: on all of them, with what differs and the rank.
    """
    if rank_and_size()[1] == 1:
        return
    environment = describe_environment()
    versions = {f"version of {name}": text for name, text in environment["packages"].items()}
    settings = {
        f"setting {name}": repr(value)
        for name, value in config.to_dict().items()
        if name != "device"
    }
    check_same(
        {
            "version of Python": environment["python"],
            "commit of pyro-textvae": str(environment["commit"]),
            **versions,
            "fingerprint of the corpus": corpus.fingerprint,
            "number of training sentences": f"{len(corpus.train):,}",
            **settings,
        }
    )


def goes_on_after_restart(path: str) -> bool:
    """Whether this launch of ``torchrun`` began the run before it restarted its processes."""
    rank, _ = rank_and_size()
    # The others would keep the first one from the folder while they look.
    return of_the_first(rank == 0 and _was_begun_by(launch_name(), RunFolder(path)))


def _was_begun_by(launch: str | None, folder: RunFolder) -> bool:
    if launch is None or not int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or 0):
        return False
    if not folder.is_run():
        return False
    with folder.writing():
        # What the killed process was about to put in its place is there now.
        return folder.config_json.is_file() and folder.read_config().get(LAUNCH) == launch


def was_left_without_settings(path: str) -> bool:
    """Whether the processes of this launch ended before they had written what the run is."""
    folder = RunFolder(path)
    is_restart = bool(int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or 0))
    return of_the_first(is_restart and folder.is_run() and not folder.config_json.is_file())
