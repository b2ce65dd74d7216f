# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What padding of documents costs in memory, and what an epoch of them costs in time.

``python benchmarks/longer_texts.py``

Memory: the peak of one training step on 32 documents of 6 sentences of 12 tokens of 10,000 types,
in a process of its own, as the same documents are padded with rows that are no sentences. Time:
processor seconds of one thread for an epoch over documents of 1 to 12 sentences, divided by their
tokens, as there are twice and four times as many of them, and as they are twice as long.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from torch import Tensor

from pyro_textvae.data.document_batches import plan_document_batches
from pyro_textvae.guides import DocumentGuide
from pyro_textvae.infer import BetaELBO
from pyro_textvae.models import DocumentVAE
from pyro_textvae.nn import BagOfWordsEncoder, GRUDecoder
from pyro_textvae.priors import StandardNormal

TYPES, WIDTH, TOKENS = 10_000, 128, 12
MOST = 24


class Trained:
    """A model, its guide and an optimiser, the same for every measurement."""

    def __init__(self, num_types: int = TYPES) -> None:
        torch.manual_seed(0)
        torch.set_num_threads(1)
        sizes = {"vocab_size": num_types, "embedding_dim": WIDTH, "hidden_dim": WIDTH}
        decoder = GRUDecoder(**sizes, latent_dim=64, max_length=2 * TOKENS)
        self.model = DocumentVAE(StandardNormal(16), decoder, 16, MOST, plan_dim=64)
        self.guide = DocumentGuide(BagOfWordsEncoder(**sizes), 16)
        self.bound = BetaELBO()
        modules = torch.nn.ModuleList([self.model, self.guide])
        self.optimizer = torch.optim.Adam(modules.parameters())

    def step(self, tokens: Tensor) -> None:
        """One step of training on ``(N, S, T)``."""
        self.optimizer.zero_grad()
        loss = self.bound.differentiable_loss(self.model, self.guide, tokens=tokens)
        loss.backward()
        self.optimizer.step()


def documents(shapes: np.ndarray, num_types: int, places: int | None = None) -> Tensor:
    """Random documents of these numbers of sentences and tokens, ``(N, S, T)``."""
    generator = torch.Generator().manual_seed(1)
    num_sentences, longest = (torch.as_tensor(each) for each in shapes.T)
    size = (len(shapes), places or int(num_sentences.max()), int(longest.max()))
    tokens = torch.randint(4, num_types, size, generator=generator)
    tokens[torch.arange(size[2]) == (longest - 1)[:, None, None].expand(size)] = 2
    there = torch.arange(size[1]) < num_sentences[:, None]
    within = torch.arange(size[2]) < longest[:, None, None]
    return tokens * (there[..., None] & within)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak_of_step(places: int) -> int:
    """Bytes above what the process had before its second step, or before its first one."""
    trained = Trained()
    tokens = documents(np.full((32, 2), (6, TOKENS)), TYPES, places)
    before = _peak()
    for _ in range(2):
        trained.step(tokens)
    return _peak() - before


def memory() -> Iterator[str]:
    """A line for each number of places that 6 sentences are padded to."""
    context = multiprocessing.get_context("spawn")
    peaks = []
    for places in (6, 12, MOST):
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            peaks.append(pool.submit(peak_of_step, places).result() / 2**20)
        yield (
            f"| peak memory of a step, 6 sentences in {places} places | {peaks[-1]:,.0f} MiB | "
            f"{peaks[-1] / peaks[0]:.2f} |"
        )


def seconds_a_token(shapes: np.ndarray, trained: Trained, num_types: int) -> float:
    """Processor seconds of an epoch for one of its tokens, the median of 3 epochs."""
    tokens = documents(shapes, num_types)
    padded = np.column_stack([shapes, np.zeros(len(shapes), int)])
    seconds = []
    for epoch in range(3):
        batches = plan_document_batches(padded, 32, epoch=epoch)
        started = time.process_time()
        for batch in batches:
            sentences, longest = shapes[batch].max(0)
            trained.step(tokens[torch.as_tensor(batch), :sentences, :longest])
        seconds.append(time.process_time() - started)
    return float(np.median(seconds)) / int(shapes.prod(1).sum())


def epochs(num_documents: int, num_types: int) -> Iterator[str]:
    """A line for each corpus, beside the smallest."""
    trained = Trained(num_types)
    random = np.random.default_rng(0)

    def shapes(count: int, most: int) -> np.ndarray:
        return np.column_stack(
            [random.integers(1, most + 1, count), random.integers(4, TOKENS + 1, count)]
        )

    seconds_a_token(shapes(num_documents // 4, 12), trained, num_types)
    first = None
    for times, most in ((1, 12), (2, 12), (4, 12), (1, MOST)):
        each = seconds_a_token(shapes(times * num_documents, most), trained, num_types)
        first = first or each
        yield (
            f"| epoch of {times * num_documents:,} documents of 1 to {most} sentences | "
            f"{1e6 * each:.1f} µs a token | {each / first:.2f} |"
        )


def main() -> None:
    """Print a line for each measurement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, default=256)
    parser.add_argument("--types", type=int, default=1000, help="of the epochs")
    parser.add_argument("--only", choices=["memory", "epochs"])
    given = parser.parse_args()
    print("| what | measured | to the first |\n|---|---|---|")
    for name, lines in (("memory", memory()), ("epochs", epochs(given.documents, given.types))):
        if given.only in (None, name):
            for line in lines:
                print(line, flush=True)


if __name__ == "__main__":
    main()
