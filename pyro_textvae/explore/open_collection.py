# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""A run's own sentences or other text as a collection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pyro_textvae.config.evaluate import EvaluationConfig
from pyro_textvae.contract import LABELS, NOT_GIVEN
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation.sentences import single_sentences
from pyro_textvae.explore.collection import Collection
from pyro_textvae.explore.likelihoods import evaluated_likelihoods, quick_likelihoods
from pyro_textvae.infer.batches import Fields
from pyro_textvae.infer.simulate import fields_beside_text, named_fields
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.evaluate import corpus_to_score
from pyro_textvae.runs.load import load_pair, load_tokenizer, read_run


def takes_labels(*programs: nn.Module) -> bool:
    """Whether a program names the labels of sentences."""
    return any(LABELS in named_fields(program) for program in programs)


def open_collection(
    path: str | Path | RunFolder,
    config: EvaluationConfig,
    *,
    size: int = 10_000,
    num_clusters: int = 10,
    trust_code: bool = False,
) -> Collection:
    """The sentences of a split of a run's corpus, or of other text, in its latent space.

    Their likelihoods are those of the run's evaluation where it is of them, otherwise bounds by
    ``config.num_samples`` draws of the guide.

    :param config: which text; the seed of the sentences taken, of clusters and of the maps.
    :param size: sentences at most; of more, some are drawn.
    :param num_clusters: groups that are told apart at first.
    :param trust_code: execute what the run names from outside the catalogue, see
        :func:`pyro_textvae.load_run`.
    :raises UserError: for a model with a source or without a latent, and text that it cannot read.
    """
    run = read_run(path, trust_code=trust_code)
    tokenizer, pair = load_tokenizer(run), load_pair(run, device=config.device)
    beside = fields_beside_text(pair.model) | fields_beside_text(pair.guide)
    if beside:
        raise UserError(
            f"the programs of {run.folder.path} need {', '.join(sorted(beside))} beside the text, "
            "and a map is of sentences alone: take a run of a model without it"
        )
    if config.data is not None and Path(config.data).expanduser().is_file():
        # All of a file is shown. Labels that the run does not know are learnt of the train split.
        config = replace(config, split="train")
    corpus = corpus_to_score(run, config, tokenizer)
    split = corpus.split(config.split)
    if not len(split):
        raise UserError(
            f"the {config.split} split of {config.data or path} has no sentence: give another "
            "--split"
        )
    indices = np.arange(len(split))
    if len(indices) > size:
        drawn = np.random.default_rng(config.seed).choice(indices, size, replace=False)
        indices = np.sort(drawn)
    fields = single_sentences(split.batch(indices))
    if LABELS not in corpus.fields and takes_labels(pair.model, pair.guide):
        # Summed out where they are not given, so that the likelihood is of the text.
        fields = [Fields({**each, LABELS: torch.tensor([NOT_GIVEN])}) for each in fields]
    likelihoods = evaluated_likelihoods(run.folder, corpus, config.split, indices)
    what = f"{config.data}" if config.data else f"{config.split} split of {corpus.source}"
    part = "" if len(indices) == len(split) else f" of {len(split):,}"
    collection = Collection(
        f"{path}: {len(indices):,}{part} sentences, {what}",
        pair.model,
        pair.guide,
        tokenizer,
        fields,
        label_names=corpus.label_names,
        likelihoods=likelihoods,
        max_length=run.sizes["max_length"],
        num_clusters=num_clusters,
        seed=config.seed,
    )
    if likelihoods is None:
        collection.likelihoods = quick_likelihoods(
            pair.model,
            pair.guide,
            collection.batches(),
            config.num_samples,
            config.seed,
        )
    return collection
