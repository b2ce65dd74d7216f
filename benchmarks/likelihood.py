# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Bias and error of every proposal on a run with a latent of two dimensions, against quadrature.

``python benchmarks/likelihood.py RUN [--split test] [--sentences 60] [--seed 1]``

The truth is the midpoint rule on a grid of 0.3 over [-5.1, 5.1] squared, four times finer in both
directions wherever a cell or a neighbour is within 14 nats of the largest. Error is the root of the
mean squared difference from it over sentences, bias the mean; a gradient counts as three decoder
evaluations.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.importance.proposal import Proposal
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.evaluation.proposals import (
    AnnealedProposal,
    AutoProposal,
    GuideProposal,
    MixtureProposal,
    RefinedProposal,
)
from pyro_textvae.evaluation.sentences import single_sentences
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.run_folder.folder import RunFolder
from pyro_textvae.runs.load import load_run, load_run_corpus

STEP = 0.3
EDGE = 5.1
FINER = 4
NOTEWORTHY = 14.0

ROWS: list[tuple[str, Proposal, int]] = [
    ("guide", GuideProposal(), 1000),
    ("refined, no share of the prior", RefinedProposal(prior_share=0.0), 200),
    ("refined", RefinedProposal(), 200),
    ("mixture", MixtureProposal(), 300),
    ("annealed", AnnealedProposal(), 64),
    ("auto", AutoProposal(), 300),
]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--sentences", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    model, guide, _ = load_run(options.run)
    corpus = load_run_corpus(RunFolder(options.run))
    split = corpus.split(options.split)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(split), generator=generator)[: options.sentences].sort().values
    batches = [split.batch(part.numpy()) for part in chosen.split(20)]
    with evaluation_mode(model, guide, 0):
        sentences = [one for batch in batches for one in single_sentences(batch)]
        truth = torch.stack([exact_log_px(model, sentence) for sentence in sentences])
    print(
        f"{options.run}, {len(truth)} sentences of {options.split}, nll {-truth.mean():.3f} by "
        f"quadrature, corpus {corpus.fingerprint}, seed {options.seed}"
    )
    print("| proposal | K | decoder evaluations | bias | error | claimed | k-hat above 0.7 |")
    print("|---|---|---|---|---|---|---|")
    for name, proposal, count in ROWS:
        scored = log_likelihood(model, guide, batches, count, options.seed, proposal=proposal)
        difference = scored.log_px - truth
        bias_error = difference.std().item() / math.sqrt(len(truth))
        heavy = scored.heavy_tail_share
        print(
            f"| {name} | {count:,} | {scored.decoder_evaluations.double().mean():,.0f} | "
            f"{difference.mean():+.4f} +- {bias_error:.4f} | "
            f"{difference.square().mean().sqrt():.3f} | "
            f"{scored.standard_error.square().mean().sqrt():.3f} | "
            f"{'-' if heavy is None else f'{100 * heavy:.0f} %'} |",
            flush=True,
        )


def exact_log_px(model: nn.Module, sentence: dict[str, Tensor]) -> Tensor:
    """log p(x) of one sentence, by the midpoint rule on a grid that is finer where it matters."""
    target = Target(model, sentence)

    def score(z: Tensor) -> Tensor:
        return target({"z": z.unsqueeze(1)}).total.squeeze(1).double()

    axis = torch.arange(-EDGE + STEP / 2, EDGE, STEP)
    coarse = torch.cartesian_prod(axis, axis)
    log_joint = score(coarse)
    heavy = coarse[log_joint > log_joint.max() - NOTEWORTHY]
    near = torch.cdist(coarse, heavy).amin(1) < 1.5 * STEP
    offsets = (torch.arange(FINER) - (FINER - 1) / 2) * STEP / FINER
    fine = (coarse[near].unsqueeze(1) + torch.cartesian_prod(offsets, offsets)).reshape(-1, 2)
    parts = [
        log_joint[~near] + 2 * math.log(STEP),
        score(fine) + 2 * math.log(STEP / FINER),
    ]
    return torch.cat(parts).logsumexp(0)


if __name__ == "__main__":
    main()
