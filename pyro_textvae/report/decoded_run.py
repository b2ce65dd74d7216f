# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What a run says of sentences: their latents, their reconstructions, and samples of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pyro_textvae.contract import SOURCE, TOKENS
from pyro_textvae.data.corpus import Split
from pyro_textvae.data.languages.verse_form import set_line
from pyro_textvae.errors import UserError
from pyro_textvae.generation import encode, reconstruct, sample
from pyro_textvae.generation.documents import with_every_place
from pyro_textvae.generation.given_source import draws_source
from pyro_textvae.infer.simulate import Condition, fields_of, takes_condition
from pyro_textvae.nn.form_reader import FormReader
from pyro_textvae.report.run_record import RunRecord
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.code import UntrustedCodeError
from pyro_textvae.runs.load import load_run, load_run_corpus
from pyro_textvae.special_tokens import PAD

_BATCH_SIZE = 64


@dataclass(frozen=True)
class DecodedRun:
    """Sentences of a split and what the run makes of them; empty where that failed.

    :param lengths: tokens of each sentence, ``<eos>`` counted.
    :param latents: posterior means, ``(num_sentences, latent_dim)``, the sites concatenated; None
        for a model without latents.
    :param reconstructions: of the first sentences, decoded greedily from their posterior means.
    :param samples: by ancestral sampling: from the prior, and on what the first sentences are
        conditioned on where the model needs it.
    :param sources: what the first sentences are conditioned on, where the run is given a source.
    :param plans: of each of the sentences that is a document, the vectors of its sentences
        ``(S, plan_dim)``; nothing for a model without a plan.
    :param problem: why there are no samples, sentences or reconstructions; one line.
    """

    split: str
    sentences: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    latents: Tensor | None = None
    reconstructions: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    plans: tuple[np.ndarray, ...] = ()
    problem: str = ""


def decode_run(
    run: RunRecord,
    *,
    seed: int,
    device: str,
    num_sentences: int,
    num_shown: int,
    trust_code: bool = False,
) -> DecodedRun:
    """Encode ``num_sentences`` of the evaluated split, and decode ``num_shown`` of them again.

    The sentences are the same for the same seed and corpus, whatever the run.

    :raises UntrustedCodeError: for a run that names code which is not trusted.
    """
    split = (run.evaluation or {}).get("split", "test")
    try:
        model, guide, tokenizer = load_run(run.path, device=device, trust_code=trust_code)
    except UntrustedCodeError:
        raise
    except UserError as error:
        return DecodedRun(split, problem=str(error))
    # A document is shown as lines.
    are_documents = getattr(model, "max_sentences", None) is not None
    lines = tokenizer.decode_lines if are_documents else tokenizer.decode_parts
    are_poems = isinstance(getattr(model, "forms", None), FormReader)

    def decode(row: list) -> str:
        return set_line(lines(row)) if are_poems else lines(row)

    generator = torch.Generator().manual_seed(seed)
    condition: Condition = num_shown
    rows: Split | None = None
    sources: tuple[str, ...] = ()
    problem = ""
    try:
        rows = load_run_corpus(RunFolder(run.path), trust_code=trust_code).split(split)
        indices = torch.randperm(len(rows), generator=generator)[:num_sentences].numpy()
        shown = rows.batch(indices[:num_shown])
        condition = shown if takes_condition(model, shown) else num_shown
        if SOURCE in fields_of(model, shown):
            sources = tuple(tokenizer.decode_parts(row) for row in shown[SOURCE].tolist())
    except UntrustedCodeError:
        raise
    except UserError as error:
        problem = str(error)
    try:
        drawn = sample(model, condition, seed=seed, guide=guide if draws_source(model) else None)
    except UserError as error:
        return DecodedRun(split, problem=problem or str(error))
    samples = tuple(decode(row) for row in drawn.tolist())
    if rows is None:
        return DecodedRun(split, samples=samples, problem=problem)
    sentences = tuple(tokenizer.decode_lines(rows[int(index)].tolist()) for index in indices)
    if are_poems:
        sentences = tuple(map(set_line, sentences))
    lengths = tuple(rows.lengths[indices].tolist())
    latents = []
    plans: list[np.ndarray] = []
    try:
        for part in np.split(indices, range(_BATCH_SIZE, len(indices), _BATCH_SIZE)):
            batch = with_every_place(model, rows.batch(part))
            means = encode(guide, batch, seed=seed)
            if are_documents:
                plans += _plans(model, batch, means)
            latents.append(
                torch.cat([mean.reshape(len(mean), -1).cpu() for mean in means.values()], 1)
            )
    except UserError:
        return DecodedRun(split, sentences, lengths, samples=samples, sources=sources)
    decoded: list = []
    try:
        decoded = reconstruct(model, guide, shown, seed=seed).tolist()
    except UserError as error:
        problem = str(error)
    return DecodedRun(
        split,
        sentences,
        lengths,
        latents=torch.cat(latents).double(),
        reconstructions=tuple(decode(row) for row in decoded),
        samples=samples,
        sources=sources,
        plans=tuple(plans),
        problem=problem,
    )


@torch.no_grad()
def _plans(
    model: nn.Module, batch: Mapping[str, Tensor], means: Mapping[str, Tensor]
) -> list[np.ndarray]:
    """The vectors of the sentences that each document has; nothing without a plan."""
    sentence_vectors = getattr(model, "sentence_vectors", None)
    if sentence_vectors is None or not model.has_plan:
        return []
    vectors = sentence_vectors(means["z_whole"], means["z"]).cpu().double()
    there = (batch[TOKENS] != PAD).any(-1)
    return [each[has].numpy() for each, has in zip(vectors, there, strict=True)]
