# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Error against decoder evaluations of every proposal, on sentences of a run, and a figure of it.

``python benchmarks/likelihood.py RUN [--split test] [--sentences 60] [--seed 1] [--proposals ...]``

The truth is quadrature where there is one Gaussian latent of one or two dimensions: the midpoint
rule on a grid of 0.3 over [-5.1, 5.1], four times finer wherever a cell or a neighbour is within 14
nats of the largest. Elsewhere it is a reference of ten times the usual budget with other random
numbers: ``mixture`` with 8,000 draws, or ``annealed`` with 512 particles where the guide has no
known family. Error is the root of the mean squared difference from it over sentences, bias the
mean, and both contain the noise of a reference, which is printed. A gradient counts as three
decoder evaluations. The table and the figure are written beside the run.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from likelihood_figure import draw
from torch import Tensor, nn

from pyro_textvae import zoo
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.families import GaussianFamily
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.evaluation.proposals import AnnealedProposal, MixtureProposal
from pyro_textvae.evaluation.sentences import single_sentences
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.run_folder.environment import describe_environment
from pyro_textvae.run_folder.folder import RunFolder
from pyro_textvae.runs.load import load_run, load_run_corpus

STEP = 0.3
EDGE = 5.1
FINER = 4
NOTEWORTHY = 14.0
SEED_OF_REFERENCE = 12345

DRAWS = {
    "guide": (100, 300, 1000),
    "widened": (1000,),
    "adaptive": (1000,),
    "refined": (100, 400),
    "mixture": (100, 300),
    "annealed": (16, 64),
    "auto": (100, 300),
}


def main() -> None:
    """Print the table, and write it and its figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--sentences", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--proposals", nargs="+", choices=DRAWS, default=list(DRAWS))
    parser.add_argument("--out", type=Path, default=None, help="by default in the run")
    options = parser.parse_args()
    model, guide, _ = load_run(options.run)
    corpus = load_run_corpus(RunFolder(options.run))
    split = corpus.split(options.split)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(split), generator=generator)[: options.sentences].sort().values
    batches = [split.batch(part.numpy()) for part in chosen.split(20)]
    truth, known_by, noise = truth_of(model, guide, batches)
    record: dict[str, Any] = {
        "run": options.run.name,
        "split": options.split,
        "sentences": len(truth),
        "seed": options.seed,
        "nll": -truth.mean().item(),
        "truth": known_by,
        "noise_of_truth": noise,
        "corpus_fingerprint": corpus.fingerprint,
        "environment": describe_environment(),
        "rows": [],
    }
    print(
        f"{options.run}, {len(truth)} sentences of {options.split}, nll {record['nll']:.3f} by "
        f"{known_by}, its own error {noise:.3f}, corpus {corpus.fingerprint}, seed {options.seed}"
    )
    print("| proposal | K | decoder evaluations | bias | error | claimed | k-hat > 0.7 | settled |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in options.proposals:
        for count in DRAWS[name]:
            proposal = zoo.load("proposals", name)()
            scored = log_likelihood(model, guide, batches, count, options.seed, proposal=proposal)
            difference = scored.log_px - truth
            row = {
                "proposal": name,
                "num_samples": count,
                "decoder_evaluations": scored.decoder_evaluations.double().mean().item(),
                "bias": difference.mean().item(),
                "bias_standard_error": difference.std().item() / math.sqrt(len(truth)),
                "error": difference.square().mean().sqrt().item(),
                "claimed": scored.standard_error.square().mean().sqrt().item(),
                "nll_standard_error": scored.nll_standard_error,
                "heavy_tail_share": scored.heavy_tail_share,
                "settled_share": scored.settled.double().mean().item(),
            }
            record["rows"].append(row)
            print(in_words(row), flush=True)
    for line in against_guide(record["rows"]):
        print(line)
    out = options.out or options.run / "likelihood_errors.json"
    out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    draw([record], out.with_suffix(".svg"))


def in_words(row: dict[str, Any]) -> str:
    """A row of the table."""
    heavy = row["heavy_tail_share"]
    return (
        f"| {row['proposal']} | {row['num_samples']:,} | {row['decoder_evaluations']:,.0f} | "
        f"{row['bias']:+.4f} +- {row['bias_standard_error']:.4f} | {row['error']:.3f} | "
        f"{row['claimed']:.3f} | {'-' if heavy is None else f'{100 * heavy:.0f} %'} | "
        f"{100 * row['settled_share']:.0f} % |"
    )


def against_guide(rows: Sequence[dict[str, Any]]) -> list[str]:
    """How many more evaluations the guide would need for the error of ``auto``, extrapolated.

    Twice: along the line through the logarithms of its own errors and numbers of draws, and as fast
    as independent weights can, with the root of the number of draws from the last one on.
    """
    guide = [row for row in rows if row["proposal"] == "guide"]
    autos = [row for row in rows if row["proposal"] == "auto"]
    if len(guide) < 2 or not autos:
        return []
    draws = torch.tensor([math.log(row["num_samples"]) for row in guide]).double()
    errors = torch.tensor([math.log(row["error"]) for row in guide]).double()
    centred = draws - draws.mean()
    slope = ((centred * (errors - errors.mean())).sum() / centred.square().sum()).item()
    lines = []
    for auto in autos:
        fold = guide[-1]["error"] / auto["error"]
        at_best = guide[-1]["num_samples"] * fold**2 / auto["decoder_evaluations"]
        line = (
            f"auto, K = {auto['num_samples']}: the guide needs {at_best:,.0f} times as many "
            "evaluations for its error if it falls with the root of K"
        )
        if slope < 0:
            power = min(-math.log(fold) / slope / math.log(10), 300.0)
            along = guide[-1]["num_samples"] * 10**power / auto["decoder_evaluations"]
            line += f", and {along:.1g} times as many along its own line, K^{slope:.2f}"
        lines.append(line)
    return lines


def truth_of(
    model: nn.Module, guide: nn.Module, batches: Sequence[dict[str, Tensor]]
) -> tuple[Tensor, str, float]:
    """log p(x) of every sentence, how it is known, and the root of its mean squared error."""
    with evaluation_mode(model, guide, 0):
        family = Posteriors(model, guide, batches[0], 0).family
        if isinstance(family, GaussianFamily) and family.dim <= 2:
            sentences = [one for batch in batches for one in single_sentences(batch)]
            return torch.stack([by_quadrature(model, s, family.dim) for s in sentences]), "grid", 0
    if family is None:
        proposal, count, words = AnnealedProposal(pilot_particles=64), 512, "annealed, K = 512"
    else:
        proposal, count, words = MixtureProposal(pilot_draws=256), 8000, "mixture, K = 8,000"
    scored = log_likelihood(model, guide, batches, count, SEED_OF_REFERENCE, proposal=proposal)
    return scored.log_px, words, scored.standard_error.square().mean().sqrt().item()


def by_quadrature(model: nn.Module, sentence: dict[str, Tensor], dim: int) -> Tensor:
    """log p(x) of one sentence, by the midpoint rule on a grid that is finer where it matters."""
    target = Target(model, sentence)

    def score(z: Tensor) -> Tensor:
        return target({"z": z.unsqueeze(1)}).total.squeeze(1).double()

    def grid(axis: Tensor) -> Tensor:
        return torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)

    coarse = grid(torch.arange(-EDGE + STEP / 2, EDGE, STEP))
    log_joint = score(coarse)
    heavy = coarse[log_joint > log_joint.max() - NOTEWORTHY]
    near = torch.cdist(coarse, heavy).amin(1) < 1.5 * STEP
    offsets = grid((torch.arange(FINER) - (FINER - 1) / 2) * STEP / FINER)
    fine = (coarse[near].unsqueeze(1) + offsets).reshape(-1, dim)
    parts = [
        log_joint[~near] + dim * math.log(STEP),
        score(fine) + dim * math.log(STEP / FINER),
    ]
    return torch.cat(parts).logsumexp(0)


if __name__ == "__main__":
    main()
