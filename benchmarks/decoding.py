# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Decoding beside ``transformers``' ``generate``, its memory, and how much of it is in a language.

``python benchmarks/decoding.py speed [--repeats 5]`` times 32 rows of 40 new tokens, in one process
by turns, of a GPT-2 of random weights: 4 layers of 128, 4,101 tokens. ``ours`` is that same network
as a decoder, and beside it our ``TransformerDecoder`` of that size. Processor time of one thread.

``python benchmarks/decoding.py memory`` tells the peak of a search by 1 to 20 beams, each in a
process of its own.

``python benchmarks/decoding.py language RUN [--size 1000]`` samples from a run that was trained on
``--data grammar`` and tells the share of the sentences that belong to the language.
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from hand_written_pretrained import tiny_decoder

from pyro_textvae.generation import Constraints, DecodingMethod, build_method, generate
from pyro_textvae.nn import TransformerDecoder
from pyro_textvae.nn.hugging_face.loading import quietly
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.load import load_run, load_run_corpus
from pyro_textvae.special_tokens import BOS

ROWS, NEW_TOKENS = 32, 40
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "greedy": ({}, {"do_sample": False}),
    "ancestral": ({}, {"do_sample": True, "top_k": 0}),
    "top_k": ({"top_k": 50}, {"do_sample": True, "top_k": 50}),
    "nucleus": ({"top_p": 0.9}, {"do_sample": True, "top_k": 0, "top_p": 0.9}),
    "beam": ({"num_beams": 5}, {"do_sample": False, "num_beams": 5}),
}
"""Methods with our options and theirs."""


def main() -> None:
    """Run what the first argument names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["speed", "memory", "peak", "language"])
    parser.add_argument("run", nargs="?", default="4")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--size", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what == "speed":
        speed(options.repeats)
    elif options.what == "memory":
        memory()
    elif options.what == "peak":
        peak(int(options.run))
    else:
        language(options.run, options.size)


def speed(repeats: int) -> None:
    """A row for each method: milliseconds of both, and their ratio."""
    from transformers import GenerationConfig

    decoder = tiny_decoder(0, "full").eval()
    theirs = decoder.network.network
    print("| method | decoder | ours | transformers' generate | ratio |\n|---|---|---|---|---|")
    for name, (our_options, their_options) in CASES.items():
        method = build_method(name, our_options)
        config = GenerationConfig(
            **their_options, max_new_tokens=NEW_TOKENS, eos_token_id=0, pad_token_id=0
        )
        prompt = decoder.embedding.their_ids[BOS].expand(ROWS, 1)

        def generated(prompt: Any = prompt, config: Any = config) -> Any:
            with quietly():
                return theirs.generate(
                    prompt, attention_mask=torch.ones_like(prompt), generation_config=config
                )

        for ours in (decoder, same_size(decoder.vocab_size)):
            pair = alternately(lambda d=ours, m=method: decoded(d, m), generated, repeats)
            print(
                f"| {name} | {type(ours).__name__} | {pair[0]:,.0f} ms | {pair[1]:,.0f} ms | "
                f"{pair[0] / pair[1]:.2f} |"
            )


def decoded(decoder: Any, method: DecodingMethod) -> Any:
    """Sentences of a decoder without z."""
    constraints = Constraints(max_length=NEW_TOKENS)
    return method.generate(decoder().expand(torch.Size((ROWS,))), constraints)


def same_size(vocab_size: int) -> TransformerDecoder:
    """Our own Transformer in the size of that GPT-2."""
    torch.manual_seed(0)
    return TransformerDecoder(
        vocab_size=vocab_size,
        embedding_dim=128,
        hidden_dim=128,
        latent_dim=0,
        max_length=100,
        num_layers=4,
        num_heads=4,
        injection=[],
        tied_embeddings=True,
    ).eval()


def alternately(one: Callable[[], Any], two: Callable[[], Any], repeats: int) -> tuple[float, ...]:
    """Medians of the processor time of both, milliseconds, by turns after one of each."""
    times: tuple[list[float], list[float]] = ([], [])
    with torch.no_grad():
        for turn in range(repeats + 1):
            for call, kept in zip((one, two), times, strict=True):
                torch.manual_seed(turn)
                start = time.process_time()
                call()
                if turn:
                    kept.append(1000 * (time.process_time() - start))
    return tuple(map(statistics.median, times))


def memory() -> None:
    """The peak of a process that searches, less that of one that only has the decoder."""
    print("| beams | peak above the decoder's |\n|---|---|")
    base = None
    for beams in (0, 1, 5, 10, 20):
        printed = subprocess.run(
            [sys.executable, __file__, "peak", str(beams)],
            capture_output=True,
            text=True,
            check=True,
        )
        kilobytes = int(printed.stdout.split()[-1])
        base = kilobytes if base is None else base
        if beams:
            print(f"| {beams} | {(kilobytes - base) / 1024:,.0f} MiB |")


def peak(beams: int) -> None:
    """The largest resident size of this process after a search; none for no beams."""
    decoder = same_size(30_000)
    if beams:
        decoded(decoder, build_method("beam", {"num_beams": beams}))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def language(run: str, size: int) -> None:
    """A row for each method: share of its sentences in the grammar, and of distinct ones."""
    model, guide, tokenizer = load_run(run)
    grammar: Any = load_run_corpus(RunFolder(run)).grammar
    print("| method | in the language | distinct | words | nats a sentence, log p(x given z) |")
    print("|---|---|---|---|---|")
    cases: list[tuple[str, dict[str, Any]]] = [
        ("ancestral", {}),
        ("ancestral", {"temperature": 0.7}),
        ("greedy", {}),
        ("top_k", {"top_k": 10}),
        ("nucleus", {"top_p": 0.9}),
        ("nucleus", {"top_p": 0.7}),
        ("typical", {"typical_p": 0.9}),
        ("min_p", {"min_p": 0.1}),
        ("beam", {"num_beams": 5}),
        ("beam", {"num_beams": 5, "length_penalty": 0.0}),
    ]
    for name, given in cases:
        drawn = generate(model, size, method=build_method(name, given), guide=guide)
        texts = [tokenizer.decode(row) for row in drawn.tokens.tolist()]
        inside = sum(math.isfinite(grammar.log_prob(text.split())) for text in texts) / size
        error = (inside * (1 - inside) / size) ** 0.5
        options = " ".join(f"{option}={value}" for option, value in given.items())
        words = statistics.fmean(len(text.split()) for text in texts)
        print(
            f"| {name} {options} | {inside:.1%} +- {error:.1%} | {len(set(texts)) / size:.1%} | "
            f"{words:.1f} | {drawn.log_prob.mean():.1f} |"
        )


if __name__ == "__main__":
    main()
