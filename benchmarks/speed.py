# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tables of ratios: our training, evaluation and generation against PyTorch written by hand.

``python benchmarks/speed.py [--device cuda] [--threads 2] [--part training ...]``

Both sides of a ratio are timed in turn in one process, and their medians compared, so that other
work on the machine slows both. Each part has a process of its own, so that none finds memory that
another has left behind; so has each number of peak memory. Text is drawn at random: neither time
nor memory depends on what the words are.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyro
import torch
from hand_written import HandWrittenVAE
from torch import Tensor, nn

from pyro_textvae.config import TrainConfig
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.batches import evaluation_mode
from pyro_textvae.evaluation.target import Target
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.infer import IWAE, BetaELBO
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
from pyro_textvae.nn.vocabulary_loss import vocabulary_loss
from pyro_textvae.priors import StandardNormal
from pyro_textvae.special_tokens import EOS, FIRST_EMITTED, PAD
from pyro_textvae.training.progress import Progress
from pyro_textvae.training.run_folder import describe_environment
from pyro_textvae.training.update import Updates

PTB = {"vocab_size": 10_000, "embedding_dim": 256, "hidden_dim": 256}
YAHOO = {"vocab_size": 20_000, "embedding_dim": 512, "hidden_dim": 1024}
LATENT_DIM = 32
LENGTHS = {"Penn Treebank": (20, 24), "Yahoo": (70, 90)}
"""Shortest and longest sentence of a batch: batches hold sentences of similar length."""

Rows = list[dict[str, Any]]


def training(device: torch.device, repeats: int) -> Rows:
    """A step: zero the gradients, loss, backward pass, clipping by the global norm, Adam."""
    rows = []
    batches = (32,) if device.type == "cpu" else (32, 128)
    for name, sizes in (("Penn Treebank", PTB), ("Yahoo", YAHOO)):
        for batch_size in batches:
            model, guide = build(sizes, device)
            tokens = draw_tokens(batch_size, LENGTHS[name], sizes["vocab_size"], device)
            steps = {"ours": _our_step(model, guide, tokens)}
            for variant in ("fused", "full", "ours"):
                hand_written = HandWrittenVAE(**sizes, latent_dim=LATENT_DIM).to(device)
                hand_written.take_weights(model, guide)
                steps[f"by hand, {variant} cross-entropy"] = _their_step(
                    hand_written, tokens, variant
                )
            count = repeats if sizes is PTB else max(3, repeats // 4)
            seconds = in_turn(steps, count, device)
            label = f"training step, {name}, batch {batch_size}"
            rows += against("ours", label, seconds)
    return rows


def evaluation(device: torch.device, repeats: int) -> Rows:
    """log p(x) of a few sentences with K = 500, against one sentence at a time by hand."""
    model, guide = build(PTB, device)
    hand_written = HandWrittenVAE(**PTB, latent_dim=LATENT_DIM).to(device)
    hand_written.take_weights(model, guide)
    tokens = draw_tokens(8, (20, 24), PTB["vocab_size"], device)
    sentences = [row[row != PAD] for row in tokens]
    noise = torch.randn(500, len(tokens), LATENT_DIM, device=device)
    with evaluation_mode(model, guide, seed=0):
        posterior = guide.posterior(guide.encoder(tokens))
        z = posterior.base_dist.loc + posterior.base_dist.scale * noise
        joint = Target(model, {"tokens": tokens})({"z": z}).total
        ours = (joint - posterior.log_prob(z)).double().logsumexp(0)
        theirs = torch.stack(
            [hand_written.log_likelihood(s, noise[:, n]) for n, s in enumerate(sentences)]
        )
    error = (ours - torch.tensor(500.0).log() - theirs).abs().max().item()

    def by_hand() -> None:
        for sentence in sentences:
            hand_written.log_likelihood(sentence, torch.randn(500, LATENT_DIM, device=device))

    steps = {
        "ours": lambda: log_likelihood(model, guide, [{"tokens": tokens}], num_samples=500),
        "by hand, one sentence at a time": by_hand,
    }
    rows = against("ours", "log-likelihood, K = 500", in_turn(steps, repeats, device))
    rows[-1]["note"] = f"largest difference of log p(x) with the same draws: {error:.0e} nats"
    return rows


def vocabulary(device: torch.device, repeats: int) -> Rows:
    """The vocabulary's part alone, and its share of the bare matrix product."""
    hidden = torch.randn(11_000, 256, device=device)
    weight = torch.randn(10_000 - FIRST_EMITTED, 256, device=device) / 16
    bias = torch.zeros(len(weight), device=device)
    classes = torch.randint(len(weight), (len(hidden),), device=device)
    piece = torch.empty(1100, len(weight), device=device)

    def product() -> None:
        for part in hidden.split(len(piece)):
            torch.mm(part, weight.T, out=piece[: len(part)])

    def whole(size: int) -> None:
        for part, chosen in zip(hidden.split(size), classes.split(size), strict=True):
            scores = torch.nn.functional.linear(part, weight, bias)
            torch.nn.functional.cross_entropy(scores, chosen, reduction="none")

    steps = {
        "ours": lambda: vocabulary_loss(hidden, weight, bias, classes),
        "its matrix product alone": product,
        "scores of 2,200 tokens in full": lambda: whole(2200),
        "scores of all tokens in full": lambda: whole(len(hidden)),
    }
    with torch.no_grad():
        seconds = in_turn(steps, repeats, device)
    rows = against("ours", "vocabulary, 11,000 tokens, no gradient", seconds)
    inputs = [value.requires_grad_() for value in (hidden, weight, bias)]
    of_loss, of_scores = torch.randn(len(hidden), device=device), torch.empty_like(piece)

    def products() -> None:
        with torch.no_grad():
            product()
            for part in hidden.split(len(piece)):
                torch.mm(of_scores[: len(part)], weight)
                torch.mm(of_scores[: len(part)].T, part)

    def gradients() -> None:
        torch.autograd.grad(vocabulary_loss(*inputs, classes), inputs, of_loss)

    seconds = in_turn(
        {"ours": gradients, "the three matrix products alone": products}, repeats, device
    )
    return rows + against("ours", "vocabulary, 11,000 tokens, with gradients", seconds)


def generation(device: torch.device, repeats: int) -> Rows:
    """32 sentences of up to 40 words."""
    model, guide = build(PTB, device, max_length=40)
    hand_written = HandWrittenVAE(**PTB, latent_dim=LATENT_DIM).to(device)
    hand_written.take_weights(model, guide)
    with torch.no_grad():
        # So that no sentence ends early, on either side.
        model.decoder.token_scores.bias[EOS - FIRST_EMITTED] = -30.0
        hand_written.scores.bias[EOS - FIRST_EMITTED] = -30.0
    z = torch.randn(32, LATENT_DIM, device=device)
    steps = {
        "ours": lambda: model.eval().decoder(z).sample(),
        "by hand": lambda: hand_written.generate(z, 40),
    }
    return against("ours", "generation, 32 sentences of 40 words", in_turn(steps, repeats, device))


def linearity(device: torch.device, repeats: int) -> Rows:
    """Time of one unit as K, sentence length, batch and corpus double."""
    model, guide = build(PTB, device, max_length=100)
    rows = []

    def evaluate(sentences: int, length: int, num_samples: int, batch_size: int) -> None:
        tokens = draw_tokens(sentences, (length, length), PTB["vocab_size"], device)
        batches = [{"tokens": part} for part in tokens.split(batch_size)]
        log_likelihood(model, guide, batches, num_samples=num_samples)

    def step(length: int, batch_size: int, num_particles: int) -> Callable[[], object]:
        tokens = draw_tokens(batch_size, (length, length), PTB["vocab_size"], device)
        return _our_step(model, guide, tokens, num_particles)

    base = {"sentences": 8, "length": 20, "num_samples": 100, "batch_size": 8}
    kinds = {
        "evaluation, K": ("num_samples", base),
        "evaluation, words of a sentence": ("length", base),
        "evaluation, sentences of the corpus": ("sentences", base),
        "evaluation, sentences of a batch": ("batch_size", base | {"sentences": 32}),
    }
    for label, (name, settings) in kinds.items():
        sizes = [settings[name] * factor for factor in (1, 2, 4)]
        steps = {str(size): (lambda s=settings | {name: size}: evaluate(**s)) for size in sizes}
        # The batch's size changes how the same sentences are cut, not how many there are.
        units = [1, 1, 1] if name == "batch_size" else [1, 2, 4]
        rows += _per_unit(label, in_turn(steps, repeats, device), units)
    base = {"length": 20, "batch_size": 32, "num_particles": 4}
    for label, name in (
        ("training, K", "num_particles"),
        ("training, words of a sentence", "length"),
        ("training, sentences of a batch", "batch_size"),
    ):
        sizes = [base[name] * factor for factor in (1, 2, 4)]
        steps = {str(size): step(**(base | {name: size})) for size in sizes}
        rows += _per_unit(label, in_turn(steps, repeats, device), [1, 2, 4])
    return rows


def memory(device: torch.device, repeats: int) -> Rows:
    """Peak memory of one IWAE step, and of the same with all scores at once, in new processes."""
    rows = []
    cases = [(16, 50_000), (16, 10_000), (1, 50_000), (4, 50_000)]
    for num_particles, vocab_size in cases:
        found = {}
        for variant in ("ours", "full"):
            command = [sys.executable, __file__, "--device", str(device), "--peak", variant]
            command += ["--particles", str(num_particles), "--vocab-size", str(vocab_size)]
            command += ["--threads", str(torch.get_num_threads())]
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found[variant] = int(printed.split()[-1]) / 2**20
        rows.append(
            {
                "what": f"peak memory of a step, K = {num_particles}, V = {vocab_size:,}",
                "against": "scores of all tokens in full",
                "ours": f"{found['ours']:,.0f} MiB",
                "theirs": f"{found['full']:,.0f} MiB",
                "ratio": found["ours"] / found["full"],
            }
        )
    return rows


PARTS = {
    "training": training,
    "evaluation": evaluation,
    "vocabulary": vocabulary,
    "generation": generation,
    "memory": memory,
    "linearity": linearity,
}


def build(
    sizes: dict[str, int], device: torch.device, max_length: int = 100
) -> tuple[SentenceVAE, GaussianGuide]:
    """A sentence VAE and its guide."""
    decoder = LSTMDecoder(**sizes, latent_dim=LATENT_DIM, max_length=max_length)
    model = SentenceVAE(prior=StandardNormal(LATENT_DIM), decoder=decoder).to(device)
    guide = GaussianGuide(encoder=LSTMEncoder(**sizes), latent_dim=LATENT_DIM).to(device)
    return model, guide


def draw_tokens(
    count: int, lengths: tuple[int, int], vocab_size: int, device: torch.device
) -> Tensor:
    """Sentences of random words whose lengths are spread evenly between two, ``<eos>`` counted."""
    tokens = torch.randint(4, vocab_size, (count, lengths[1]))
    for row, length in zip(
        tokens, torch.linspace(*map(float, lengths), count).round(), strict=True
    ):
        row[int(length) - 1] = EOS
        row[int(length) :] = PAD
    return tokens.to(device)


def in_turn(
    steps: dict[str, Callable[[], object]], repeats: int, device: torch.device
) -> dict[str, float]:
    """Median seconds of each step: all in every round, in turns of order; one round to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    order = list(steps.items())
    for _ in range(repeats + 1):
        order.reverse()
        for name, step in order:
            gc.collect()
            _wait(device)
            started = time.perf_counter()
            step()
            _wait(device)
            taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(values[1:]) for name, values in taken.items()}


def against(ours: str, what: str, seconds: dict[str, float]) -> Rows:
    """A row for each of the others."""
    return [
        {
            "what": what,
            "against": name,
            "ours": f"{1e3 * seconds[ours]:,.1f} ms",
            "theirs": f"{1e3 * value:,.1f} ms",
            "ratio": seconds[ours] / value,
        }
        for name, value in seconds.items()
        if name != ours
    ]


def _per_unit(what: str, seconds: dict[str, float], units: list[int]) -> Rows:
    per_unit = {n: value / unit for (n, value), unit in zip(seconds.items(), units, strict=True)}
    names = list(per_unit)
    return [
        {
            "what": f"{what}, {small} to {large}",
            "against": f"{small}, for each unit",
            "ours": f"{1e3 * per_unit[large]:,.1f} ms",
            "theirs": f"{1e3 * per_unit[small]:,.1f} ms",
            "ratio": per_unit[large] / per_unit[small],
        }
        for small, large in zip(names, names[1:], strict=False)
    ]


def _our_step(
    model: nn.Module, guide: nn.Module, tokens: Tensor, num_particles: int = 1
) -> Callable[[], object]:
    """What the trainer does with a batch, checks of finite numbers included."""
    modules = nn.ModuleDict({"model": model, "guide": guide})
    parameters = list(modules.parameters())
    updates = Updates(modules, parameters, TrainConfig(), Path("none"))
    objective = BetaELBO() if num_particles == 1 else IWAE(num_particles)
    loss_module, progress = objective(model, guide), Progress()

    def step() -> None:
        updates.step(loss_module, {"tokens": tokens}, progress)
        # On a GPU the trainer asks every hundred steps; here memory would grow.
        updates.check()

    return step


def _their_step(module: HandWrittenVAE, tokens: Tensor, variant: str) -> Callable[[], object]:
    parameters = list(module.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = module.loss(tokens, variant) / len(tokens)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    return step


def _print_peak(device: torch.device, variant: str, num_particles: int, vocab_size: int) -> None:
    """Bytes that a step takes at most, on top of what the process held before the model."""
    before = _peak(device)
    sizes = PTB | {"vocab_size": vocab_size}
    model, guide = build(sizes, device)
    tokens = draw_tokens(32, (20, 24), vocab_size, device)
    if variant == "full":
        scores = model.decoder.token_scores
        scores.log_prob = lambda hidden, ids: (
            -torch.nn.functional.cross_entropy(
                scores(hidden), ids - FIRST_EMITTED, reduction="none"
            )
        )
    _our_step(model, guide, tokens, num_particles)()
    print(_peak(device) - before)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _machine(device: torch.device) -> dict[str, Any]:
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), name)
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return {"machine": name, "threads": torch.get_num_threads(), **describe_environment()}


def main() -> None:
    """Print the machine, and a row of a table for each ratio as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--peak", choices=("ours", "full"), help=argparse.SUPPRESS)
    parser.add_argument("--particles", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--vocab-size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pyro.set_rng_seed(0)
    pyro.enable_validation(False)
    device = torch.device(options.device)
    if options.peak:
        _print_peak(device, options.peak, options.particles, options.vocab_size)
        return
    if not options.bare:
        print(json.dumps(_machine(device)))
        print("| what | against | ours | theirs | ratio |\n|---|---|---|---|---|", flush=True)
    if len(options.part) > 1:
        for part in options.part:
            command = [sys.executable, __file__, "--bare", "--part", part, "--device", str(device)]
            command += ["--threads", str(options.threads), "--repeats", str(options.repeats)]
            subprocess.run(command, check=True)
        return
    for row in PARTS[options.part[0]](device, options.repeats):
        note = f" ({row['note']})" if "note" in row else ""
        print(
            f"| {row['what']}{note} | {row['against']} | {row['ours']} | {row['theirs']} | "
            f"{row['ratio']:.2f} |"
        )


if __name__ == "__main__":
    main()
