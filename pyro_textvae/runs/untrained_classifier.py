# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Whether anything taught a guide's posterior of a label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from pyro_textvae import zoo
from pyro_textvae.runs.load import StoredRun

_CLASSIFICATION = "label_classification"


def classifier_left_untrained(run: StoredRun, guide: nn.Module) -> str | None:
    """Why a guide's q(label | text) has learnt nothing, in one line; None where it has a bound.

    An objective of importance weights that sums over labels has no q(label | text), nor has the
    bound of a text whose label is given. Then what teaches it is the loss label_classification.
    """
    config, train = run.config, run.contents.get("corpus", {}).get("train", {})
    loss = {**getattr(guide, "auxiliaries", {}), **config.auxiliaries}.get(_CLASSIFICATION, 0)
    weight = loss.get("weight", 1.0) if isinstance(loss, Mapping) else loss
    if weight or config.objective not in zoo.names("objectives"):
        return None
    objective: Any = zoo.load("objectives", config.objective)
    if not objective.trains_enumerated_sites:
        why = f"{config.objective} has it in no bound"
    elif train.get("labelled") == train.get("sentences"):
        why = f"every sentence had its label, and {config.objective} has it in no bound then"
    else:
        return None
    return (
        f"the guide's q(label | text) was not trained, so it says nothing: {why}; train with "
        f"--auxiliaries '{{\"{_CLASSIFICATION}\": 1}}'"
    )
