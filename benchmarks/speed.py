# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tables of ratios: our training, evaluation and generation against PyTorch written by hand.

``python benchmarks/speed.py [--device cuda] [--threads 2] [--only training]``

What is compared runs in turns of order, each side in a process of its own, so that other work on
the machine slows both and neither finds memory that the other has left behind; medians of the
repeats. Text is drawn at random: neither time nor memory depends on what the words are.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyro
import torch
from hand_written import HandWrittenVAE
from torch import Tensor, nn

from pyro_textvae.config.train import TrainingConfig
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.infer import IWAE, BetaELBO
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.nn.plain_linear import plain_linear
from pyro_textvae.nn.vocabulary_loss import vocabulary_loss
from pyro_textvae.priors import StandardNormal
from pyro_textvae.run_folder.environment import describe_environment
from pyro_textvae.special_tokens import EOS, FIRST_EMITTED, PAD
from pyro_textvae.training.progress import Progress
from pyro_textvae.training.update import Updates

PTB = {"vocab_size": 10_000, "embedding_dim": 256, "hidden_dim": 256}
YAHOO = {"vocab_size": 20_000, "embedding_dim": 512, "hidden_dim": 1024}
LATENT_DIM = 32
_device = torch.device("cpu")

Steps = dict[str, Callable[[], Callable[[], object]]]
"""What makes each of the steps that are timed against each other; ours first."""


def training(sizes: dict[str, int], lengths: tuple[int, int], batch_size: int) -> Steps:
    """A step: zero the gradients, loss, backward pass, clipping by the global norm, Adam."""

    def ours() -> Callable[[], object]:
        return _our_step(*build(sizes), draw_tokens(batch_size, lengths, sizes["vocab_size"]))

    def by_hand(cross_entropy: str) -> Callable[[], object]:
        tokens = draw_tokens(batch_size, lengths, sizes["vocab_size"])
        return _their_step(_hand_written(*build(sizes), sizes), tokens, cross_entropy)

    return {
        "ours": ours,
        "by hand, PyTorch's fused cross-entropy": lambda: by_hand("fused"),
        "by hand, scores of all tokens at once": lambda: by_hand("full"),
        "by hand, with our cross-entropy": lambda: by_hand("ours"),
        "its matrix products alone, by torch.mm": lambda: _products_of_step(
            sizes, lengths, batch_size
        ),
    }


def evaluation() -> Steps:
    """log p(x) of a few sentences with K = 500, against one sentence at a time by hand."""
    tokens = draw_tokens(8, (20, 24), PTB["vocab_size"])

    def ours() -> Callable[[], object]:
        model, guide = build(PTB)
        return lambda: log_likelihood(model, guide, [{"tokens": tokens}], num_samples=500)

    def by_hand() -> Callable[[], object]:
        module = _hand_written(*build(PTB), PTB)
        noise = torch.randn(500, LATENT_DIM, device=_device)
        return lambda: [module.log_likelihood(row[row != PAD], noise) for row in tokens]

    return {"ours": ours, "by hand, one sentence at a time": by_hand}


def difference_of_evaluation() -> float:
    """The largest difference of log p(x) between the two, from the same draws."""
    model, guide = build(PTB)
    module = _hand_written(model, guide, PTB)
    tokens = draw_tokens(8, (20, 24), PTB["vocab_size"])
    noise = torch.randn(500, len(tokens), LATENT_DIM, device=_device)
    with evaluation_mode(model, guide, seed=0):
        posterior = guide.posterior(guide.encoder(tokens))
        z = posterior.base_dist.loc + posterior.base_dist.scale * noise
        joint = Target(model, {"tokens": tokens})({"z": z}).total
        ours = (joint - posterior.log_prob(z)).double().logsumexp(0) - math.log(500)
        theirs = [module.log_likelihood(r[r != PAD], noise[:, n]) for n, r in enumerate(tokens)]
    return (ours - torch.stack(theirs)).abs().max().item()


def vocabulary(*, gradients: bool) -> Steps:
    """The vocabulary's part alone, and the bare matrix products in it."""
    hidden = torch.randn(11_000, 256, device=_device)
    weight = torch.randn(10_000 - FIRST_EMITTED, 256, device=_device) / 16
    bias = torch.zeros(len(weight), device=_device)
    classes = torch.randint(len(weight), (len(hidden),), device=_device)
    inputs = [value.requires_grad_() for value in (hidden, weight, bias)]
    upstream = torch.rand(len(hidden), device=_device)

    def ours() -> None:
        with torch.set_grad_enabled(gradients):
            losses = vocabulary_loss(*inputs, classes)
            if gradients:
                torch.autograd.grad(losses, inputs, upstream)

    def products(piece: Tensor) -> None:
        for part in hidden.split(len(piece)):
            torch.mm(part, weight.T, out=piece[: len(part)])
            if gradients:
                torch.mm(piece[: len(part)], weight)
                torch.mm(piece[: len(part)].T, part)

    def products_by_parts(piece: Tensor) -> None:
        for part in hidden.split(len(piece)):
            plain_linear(part, weight, bias)
            if gradients:
                torch.mm(piece[: len(part)], weight)
                torch.mm(piece[: len(part)].T, part)

    def whole(size: int) -> None:
        for part, chosen in zip(hidden.split(size), classes.split(size), strict=True):
            scores = torch.nn.functional.linear(part, weight, bias)
            losses = torch.nn.functional.cross_entropy(scores, chosen, reduction="none")
            if gradients:
                torch.autograd.grad(losses, inputs, upstream[: len(part)])

    def bare() -> Callable[[], object]:
        piece = torch.empty(1100, len(weight), device=_device)
        return torch.no_grad()(lambda: products(piece))

    def bare_by_parts() -> Callable[[], object]:
        piece = torch.empty(419, len(weight), device=_device)
        return torch.no_grad()(lambda: products_by_parts(piece))

    steps: Steps = {
        "ours": lambda: ours,
        "its matrix products alone, by torch.mm": bare,
        "its matrix products alone, the first by oneDNN": bare_by_parts,
    }
    for size in (2200, len(hidden)):
        steps[f"scores of {size:,} tokens at once"] = lambda size=size: lambda: whole(size)
    return steps


def generation() -> Steps:
    """32 sentences of 40 words, word by word."""

    def pair() -> tuple[SentenceVAE, HandWrittenVAE]:
        model, guide = build(PTB, max_length=40)
        with torch.no_grad():
            # So that no sentence ends early, on either side.
            model.decoder.token_scores.bias[EOS - FIRST_EMITTED] = -30.0
        return model.eval(), _hand_written(model, guide, PTB)

    z = torch.randn(32, LATENT_DIM, device=_device)

    def ours() -> Callable[[], object]:
        decoder = pair()[0].decoder
        return lambda: decoder(z).sample()

    def by_hand() -> Callable[[], object]:
        module = pair()[1]
        return lambda: module.generate(z, 40)

    return {"ours": ours, "by hand": by_hand}


def growth(what: str, name: str) -> Steps:
    """The same work as one of its sizes grows, largest first: time for a unit of it."""

    def evaluate(factor: int) -> Callable[[], object]:
        sizes = {"sentences": 8, "length": 20, "num_samples": 100}
        sizes[name] *= factor
        model, guide = build(PTB)
        length = sizes["length"]
        tokens = draw_tokens(sizes["sentences"], (length, length), PTB["vocab_size"])
        batches = [{"tokens": part} for part in tokens.split(8)]
        return lambda: log_likelihood(model, guide, batches, num_samples=sizes["num_samples"])

    def train(factor: int) -> Callable[[], object]:
        sizes = {"length": 20, "batch_size": 32, "num_particles": 4}
        sizes[name] *= factor
        length = sizes["length"]
        tokens = draw_tokens(sizes["batch_size"], (length, length), PTB["vocab_size"])
        return _our_step(*build(PTB), tokens, sizes["num_particles"])

    make = evaluate if what == "evaluation" else train
    return {str(factor): lambda factor=factor: make(factor) for factor in (4, 2, 1)}


CASES: dict[str, Callable[[], Steps]] = {
    "training step, Penn Treebank, batch 32": lambda: training(PTB, (20, 24), 32),
    "training step, Penn Treebank, batch 128": lambda: training(PTB, (20, 24), 128),
    "training step, Yahoo, batch 32": lambda: training(YAHOO, (70, 90), 32),
    "log-likelihood of 8 sentences, K = 500": evaluation,
    "vocabulary, 11,000 tokens, no gradient": lambda: vocabulary(gradients=False),
    "vocabulary, 11,000 tokens, with gradients": lambda: vocabulary(gradients=True),
    "generation, 32 sentences of 40 words": generation,
}
GROWTH: dict[str, tuple[str, str]] = {
    "evaluation, K of 100": ("evaluation", "num_samples"),
    "evaluation, sentences of 20 words": ("evaluation", "length"),
    "evaluation, 8 sentences of the corpus": ("evaluation", "sentences"),
    "training, K of 4": ("training", "num_particles"),
    "training, sentences of 20 words": ("training", "length"),
    "training, batches of 32": ("training", "batch_size"),
}


def memory() -> Iterator[str]:
    """Peak memory of one step of IWAE, and of the same with the scores of all tokens at once."""
    for num_particles, vocab_size in ((1, 50_000), (4, 50_000), (16, 50_000), (16, 10_000)):
        peaks = []
        for variant in ("ours", "full"):
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                arguments = (str(_device), variant, num_particles, vocab_size)
                peaks.append(pool.submit(_peak_of_step, *arguments).result() / 2**20)
        yield (
            f"| peak memory of a step, K = {num_particles}, V = {vocab_size:,} | scores of all "
            f"tokens at once | {peaks[0]:,.0f} MiB | {peaks[1]:,.0f} MiB | "
            f"{peaks[0] / peaks[1]:.2f} |"
        )


def build(sizes: dict[str, int], max_length: int = 100) -> tuple[SentenceVAE, GaussianGuide]:
    """A sentence VAE and its guide."""
    decoder = LSTMDecoder(**sizes, latent_dim=LATENT_DIM, max_length=max_length)
    model = SentenceVAE(prior=StandardNormal(LATENT_DIM), decoder=decoder).to(_device)
    guide = GaussianGuide(encoder=LSTMEncoder(**sizes), latent_dim=LATENT_DIM).to(_device)
    return model, guide


def draw_tokens(count: int, lengths: tuple[int, int], vocab_size: int) -> Tensor:
    """Sentences of random words whose lengths are spread evenly between two, ``<eos>`` counted."""
    tokens = torch.randint(4, vocab_size, (count, lengths[1]))
    spread = torch.linspace(*map(float, lengths), count).round().long()
    for row, length in zip(tokens, spread.tolist(), strict=True):
        row[length - 1] = EOS
        row[length:] = PAD
    return tokens.to(_device)


def in_turn(case: str, device: torch.device, threads: int, repeats: int) -> dict[str, float]:
    """Median seconds of each step of a case: all in every round, in turns of order.

    Each has a process of its own, and is run once to warm up.
    """
    names = list(_steps(case))
    workers = {name: _Worker(case, name, device, threads) for name in names}
    taken: dict[str, list[float]] = {name: [] for name in names}
    try:
        for repeat in range(repeats + 1):
            for name in names if repeat % 2 else names[::-1]:
                taken[name].append(workers[name].time())
    finally:
        for worker in workers.values():
            worker.process.kill()
    return {name: statistics.median(values[1:]) for name, values in taken.items()}


class _Worker:
    """A process that runs one step whenever it is asked to."""

    def __init__(self, case: str, name: str, device: torch.device, threads: int) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, case, name, str(device), threads)
        self.process = context.Process(target=_work, args=arguments, daemon=True)
        self.process.start()

    def time(self) -> float:
        """Seconds of one run of the step."""
        self.connection.send("go")
        return self.connection.recv()


def _work(connection: Connection, case: str, name: str, device: str, threads: int) -> None:
    _settle(device, threads)
    step = _steps(case)[name]()
    while connection.recv():
        gc.collect()
        _wait()
        started = time.perf_counter()
        step()
        _wait()
        connection.send(time.perf_counter() - started)


def _steps(case: str) -> Steps:
    return CASES[case]() if case in CASES else growth(*GROWTH[case])


def _settle(device: str, threads: int) -> None:
    global _device
    _device = torch.device(device)
    torch.set_num_threads(threads)
    pyro.set_rng_seed(0)
    pyro.enable_validation(False)


def _our_step(
    model: nn.Module, guide: nn.Module, tokens: Tensor, num_particles: int = 1
) -> Callable[[], object]:
    """What the trainer does with a batch, checks of finite numbers included."""
    modules = nn.ModuleDict({"model": model, "guide": guide})
    updates = Updates(modules, list(modules.parameters()), TrainingConfig(), Path("none"))
    objective = BetaELBO() if num_particles == 1 else IWAE(num_particles)
    loss_module, progress = objective(model, guide), Progress()

    def step() -> None:
        updates.step(loss_module, {"tokens": tokens}, progress)
        # On a GPU the trainer asks every hundred steps only.
        updates.check()

    return step


def _hand_written(
    model: SentenceVAE, guide: GaussianGuide, sizes: dict[str, int]
) -> HandWrittenVAE:
    module = HandWrittenVAE(**sizes, latent_dim=LATENT_DIM).to(_device)
    module.take_weights(model, guide)
    return module


def _their_step(module: HandWrittenVAE, tokens: Tensor, cross_entropy: str) -> Callable[[], object]:
    parameters = list(module.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = module.loss(tokens, cross_entropy) / len(tokens)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    return step


def _products_of_step(
    sizes: dict[str, int], lengths: tuple[int, int], batch_size: int
) -> Callable[[], object]:
    """The matrix products of a step without anything else: each layer's and its two gradients'."""
    length, width, gates = lengths[1], sizes["hidden_dim"], 4 * sizes["hidden_dim"]
    tokens = batch_size * length
    # Padding goes through the recurrent layers, and not to the vocabulary.
    shapes = [(batch_size * sum(lengths) // 2, width, sizes["vocab_size"], 1)]
    for inputs in (sizes["embedding_dim"], sizes["embedding_dim"] + LATENT_DIM):
        shapes += [(tokens, inputs, gates, 1), (batch_size, width, gates, length)]
    made = [
        (torch.randn(m, k, device=_device), torch.randn(n, k, device=_device), times)
        for m, k, n, times in shapes
    ]

    def step() -> None:
        for inputs, weight, times in made:
            for _ in range(times):
                outputs = inputs @ weight.T
                _ = outputs @ weight
                _ = outputs.T @ inputs

    return step


def _peak_of_step(device: str, variant: str, num_particles: int, vocab_size: int) -> int:
    """Bytes that a step takes at most, on top of what the process held before the model."""
    _settle(device, 1)
    before = _peak()
    sizes = PTB | {"vocab_size": vocab_size}
    model, guide = build(sizes)
    if variant == "full":
        scores = model.decoder.token_scores
        scores.log_prob = lambda hidden, ids: (
            -torch.nn.functional.cross_entropy(
                scores(hidden), ids - FIRST_EMITTED, reduction="none"
            )
        )
    _our_step(model, guide, draw_tokens(32, (20, 24), vocab_size), num_particles)()
    return _peak() - before


def _peak() -> int:
    if _device.type == "cuda":
        return torch.cuda.max_memory_allocated(_device)
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _wait() -> None:
    if _device.type == "cuda":
        torch.cuda.synchronize(_device)


def _machine() -> dict[str, Any]:
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), name)
    if _device.type == "cuda":
        name = torch.cuda.get_device_name(_device)
    return {"machine": name, "threads": torch.get_num_threads(), **describe_environment()}


def main() -> None:
    """Print the machine, and a row of a table for each ratio as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    options = parser.parse_args()
    _settle(options.device, options.threads)
    print(json.dumps(_machine()))
    print("| what | against | ours | theirs | ratio |\n|---|---|---|---|---|", flush=True)
    for case in (*CASES, *GROWTH):
        if options.only not in case:
            continue
        seconds = in_turn(case, _device, options.threads, options.repeats)
        for row in _growth_rows(case, seconds) if case in GROWTH else _rows(case, seconds):
            print(row, flush=True)
    if options.only in "peak memory":
        for row in memory():
            print(row, flush=True)
    if options.only in "log-likelihood":
        error = difference_of_evaluation()
        print(f"\nlog p(x) of both with the same draws: at most {error:.0e} nats apart")


def _rows(case: str, seconds: dict[str, float]) -> Iterator[str]:
    ours = seconds.pop("ours")
    for name, theirs in seconds.items():
        yield (
            f"| {case} | {name} | {1e3 * ours:,.1f} ms | {1e3 * theirs:,.1f} ms | "
            f"{ours / theirs:.2f} |"
        )


def _growth_rows(case: str, seconds: dict[str, float]) -> Iterator[str]:
    units = {int(factor): value / int(factor) for factor, value in seconds.items()}
    for factor in (2, 4):
        after, before = units[factor], units[factor // 2]
        yield (
            f"| {case}, {factor} times as many | {factor // 2} times, each of them | "
            f"{1e3 * after:,.1f} ms | {1e3 * before:,.1f} ms | {after / before:.2f} |"
        )


if __name__ == "__main__":
    main()
