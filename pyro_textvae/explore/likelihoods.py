# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The likelihood of every sentence of a collection, as far as it is known or quickly had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from pyro_textvae.data import Corpus
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.run_folder.evaluated_run import EvaluationError, read_evaluated_run


@dataclass(frozen=True, eq=False)
class Likelihoods:
    """-log p(x) of sentences in nats.

    nll
        ``(N,)`` float64.
    origin
        What they are and where they are from, in a line.
    """

    nll: np.ndarray
    origin: str


def evaluated_likelihoods(
    folder: RunFolder, corpus: Corpus, split: str, indices: np.ndarray
) -> Likelihoods | None:
    """Those of the run's last evaluation; None where it is of other text, or there is none.

    :param indices: of the sentences in the split.
    """
    try:
        run = read_evaluated_run(folder)
    except EvaluationError:
        return None
    of = run.evaluation
    is_of_these = (
        of["corpus_fingerprint"] == corpus.fingerprint
        and of["split"] == split
        and of["num_sentences"] == len(corpus.split(split))
        and of.get("nll") is not None
    )
    if not is_of_these:
        return None
    return Likelihoods(-run.log_px.numpy()[indices], "nll of the run's evaluation")


def quick_likelihoods(
    model: nn.Module,
    guide: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    num_samples: int,
    seed: int,
) -> Likelihoods | None:
    """Upper bounds of -log p(x), up to the error of a few draws; None where there are none.

    :param batches: that know the places of their sentences.
    :param num_samples: draws of the guide for each sentence.
    :raises UserError: for a model that cannot be scored.
    """
    try:
        likelihood = log_likelihood(model, guide, batches, num_samples, seed, progress=True)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"the sentences cannot be scored: {in_one_line(error)}") from error
    if likelihood.points or likelihood.beside_text:
        return None
    draws = "1 draw" if num_samples == 1 else f"{num_samples} draws"
    return Likelihoods(-likelihood.log_px.numpy(), f"bound of the nll by {draws} of the guide")
