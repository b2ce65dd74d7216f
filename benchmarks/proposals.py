# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Decoder evaluations and error of every proposal, on sentences of a run, against a reference.

``python benchmarks/proposals.py RUN [--split test] [--sentences 100] [--reference 20000]``

The reference is the mixture proposal with many draws. Error is the root of the mean squared
difference from it over sentences and seeds, bias the mean difference; both contain the noise of the
reference. A gradient counts as three decoder evaluations.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.importance.proposal import Proposal
from pyro_textvae.evaluation.proposals import (
    AdaptiveProposal,
    AnnealedProposal,
    AutoProposal,
    GuideProposal,
    MixtureProposal,
    RefinedProposal,
    WidenedProposal,
)
from pyro_textvae.run_folder.environment import describe_environment
from pyro_textvae.run_folder.folder import RunFolder
from pyro_textvae.runs.load import load_run, load_run_corpus

ROWS: list[tuple[str, Proposal, int, int, bool]] = [
    ("refined", RefinedProposal(), 128, 3, False),
    ("refined", RefinedProposal(), 400, 3, False),
    ("refined, quasi-random", RefinedProposal(), 400, 1, True),
    ("mixture", MixtureProposal(), 300, 3, False),
    ("auto", AutoProposal(), 300, 3, False),
    ("annealed", AnnealedProposal(), 64, 1, False),
    ("adaptive", AdaptiveProposal(), 1000, 1, False),
    ("widened", WidenedProposal(), 1000, 1, False),
    ("guide", GuideProposal(), 1000, 1, False),
    ("guide, quasi-random", GuideProposal(), 1000, 1, True),
    ("guide", GuideProposal(), 5000, 1, False),
]


def main() -> None:
    """Print the table, and write it as JSON beside the run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--sentences", type=int, default=100)
    parser.add_argument("--reference", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    model, guide, _ = load_run(options.run)
    folder = RunFolder(options.run)
    corpus = load_run_corpus(folder)
    split = corpus.split(options.split)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(split), generator=generator)[: options.sentences].sort().values
    batches = [split.batch(part.numpy()) for part in chosen.split(25)]

    def score(proposal: Proposal, count: int, seed: int, quasi_random: bool = False):  # noqa: ANN202
        return log_likelihood(
            model, guide, batches, count, seed, proposal=proposal, quasi_random=quasi_random
        )

    started = time.time()
    reference = score(MixtureProposal(pilot_draws=400), options.reference, seed=12345)
    found = {
        "run": str(options.run),
        "split": options.split,
        "sentences": options.sentences,
        "kl": reference.kl.mean().item(),
        "reference_samples": options.reference,
        "reference_nll": reference.nll,
        "reference_standard_error": reference.nll_standard_error,
        "corpus_fingerprint": corpus.fingerprint,
        "environment": describe_environment(),
        "rows": [],
    }
    print(f"{options.run}, {options.sentences} sentences of {options.split}, kl {found['kl']:.2f}")
    print(
        f"reference: mixture, K = {options.reference:,}: nll {reference.nll:.4f} +- "
        f"{reference.nll_standard_error:.4f} ({time.time() - started:.0f} s)"
    )
    print("| proposal | K | decoder evaluations | error | its own estimate | bias | ess | khat |")
    print("|---|---|---|---|---|---|---|---|")
    for name, proposal, count, seeds, quasi_random in ROWS:
        results = [score(proposal, count, seed, quasi_random) for seed in range(seeds)]
        differences = torch.stack([result.log_px - reference.log_px for result in results])
        bias_error = differences.mean(0).std().item() / options.sentences**0.5
        claimed = torch.stack([result.standard_error for result in results])
        row = {
            "proposal": name,
            "num_samples": count,
            "decoder_evaluations": results[0].decoder_evaluations.double().mean().item(),
            "error": differences.square().mean().sqrt().item(),
            "claimed_error": claimed.square().mean().sqrt().item(),
            "bias": differences.mean().item(),
            "bias_standard_error": bias_error,
            "median_ess": results[0].ess.median().item(),
            "heavy_tail_share": results[0].heavy_tail_share,
        }
        found["rows"].append(row)
        print(
            f"| {name} | {count:,} | {row['decoder_evaluations']:,.0f} | {row['error']:.3f} | "
            f"{row['claimed_error']:.3f} | {row['bias']:+.4f} +- {bias_error:.4f} | "
            f"{row['median_ess']:.0f} | {100 * row['heavy_tail_share']:.0f} % |",
            flush=True,
        )
    out = options.out or options.run / "proposals.json"
    out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
