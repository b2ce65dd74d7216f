# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What runs on worlds have learnt of what their world alone knows, with intervals of 95 %.

    python benchmarks/worlds.py runs/world-dialogue [RUNS ...] [--size 500] [--split test]

Of each run, or of every run of a grid's folder, on the first texts of the split:

paraphrase
    Of eight texts for each source: the share that one frame can have been said by together with
    the source, and how many are distinct; both also of eight draws from the world itself.
dialogue
    I(z; act) given the turns before, a lower bound in nats: the mean of log r(act | z, turns) - log
    p(act | turns), for z drawn from the guide, which is given no label, and, where the program has
    an act, one drawn by Bayes' rule from its p(act | turns, reply) beside it. p is exact, r a probe
    whose logits are log p and a small network of z added, trained on the valid split alone; act is
    summed over its exact posterior given turns and reply. Beside it H(act | turns), and what the
    reply itself tells of the act, which no z of it can exceed.
headlines
    Of headlines by each method: the share that are possible for their article; and of those whose
    act and thing are those of people whom training never had, the share that name one of them.
typos
    Of corrections by each method: the expected share of words and of sentences that are right
    under the exact posterior, as a share of what the best reader gains over doing nothing.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from pyro_textvae import zoo
from pyro_textvae.assessment.bootstrap import Bootstrap, Interval
from pyro_textvae.contract import LABELS, SOURCE
from pyro_textvae.data import Corpus
from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.label_probabilities import LabelProbabilities
from pyro_textvae.generation import build_method, encode, generate
from pyro_textvae.run_folder import RunFolder
from pyro_textvae.runs.build import Pair
from pyro_textvae.runs.load import load_pair, load_run_corpus, read_run

Line = tuple[str, float, Interval | None]

DRAWS = 8
ACT_SAMPLES = 32
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "ancestral": ("ancestral", {}),
    "greedy": ("greedy", {}),
    "beam": ("beam", {"num_beams": 5}),
    "most like all": ("minimum_bayes_risk", {"num_samples": 16}),
    "drawn most often": ("minimum_bayes_risk", {"num_samples": 16, "utility": "exact"}),
}
"""Methods of decoding and their options, by the name that is printed."""


class Run:
    """A pair, and the texts of a split of its corpus with their sources."""

    def __init__(self, pair: Pair, corpus: Corpus, split: str, size: int, seed: int) -> None:
        self.pair, self.corpus, self.seed = pair, corpus, seed
        self.world: Any = corpus.world
        self.batch = self.first(split, size)
        self.texts, self.sources = (self.decoded(self.batch[n]) for n in ("tokens", SOURCE))
        self.bootstrap = Bootstrap(1000, seed)

    def first(self, split: str, size: int) -> dict[str, Tensor]:
        """The first texts of a split, with all their fields."""
        rows = self.corpus.split(split)
        return dict(rows.batch(np.arange(min(size, len(rows)))))

    def decoded(self, rows: Tensor) -> list[str]:
        """The text of each row of ids."""
        return [self.corpus.tokenizer.decode(row) for row in rows.tolist()]

    def written(self, method: str = "ancestral", copies: int = 1) -> list[list[str]]:
        """Texts for every source, ``copies`` of each.

        :raises UserError: for a method that the model cannot be decoded by.
        """
        name, options = METHODS[method]
        made = build_method(name, options, tokenizer=self.corpus.tokenizer)
        condition = {SOURCE: self.batch[SOURCE]}
        drawn = generate(
            self.pair.model,
            condition,
            method=made,
            seed=self.seed,
            num_latents=copies,
            guide=self.pair.guide,
        )
        texts = self.decoded(drawn.tokens)
        return [texts[n * copies : (n + 1) * copies] for n in range(len(self.sources))]

    def by_each_method(self) -> Iterator[tuple[str, list[str]]]:
        """One text for every source, by each method that the model can be decoded by."""
        for method in METHODS:
            try:
                texts = self.written(method)
            except UserError as error:
                print(f"  {method}: {str(error).splitlines()[0]}")
                continue
            yield method, [text for (text,) in texts]


def paraphrase(run: Run) -> Iterator[Line]:
    """True equivalents and distinct texts, of eight for each source."""
    generator = np.random.default_rng(run.seed)
    of_world = [
        [run.world.draw_paraphrase(source, generator) for _ in range(DRAWS)]
        for source in run.sources
    ]
    written = run.written(copies=DRAWS)
    equivalent, distinct = [], []
    for texts in (written, of_world):
        pairs = zip(texts, run.sources, strict=True)
        equivalent.append([np.mean([run.world.is_paraphrase(t, s) for t in e]) for e, s in pairs])
        distinct.append([len(set(each)) / DRAWS for each in texts])
    for name, (of_model, truth) in (
        ("true equivalents", equivalent),
        ("distinct of eight", distinct),
    ):
        yield name, *run.bootstrap.mean(of_model)
        yield f"{name}, of the world's own draws", *run.bootstrap.mean(truth)
        yield (
            f"{name}, share of the world's",
            *run.bootstrap.ratio(*map(np.array, (of_model, truth))),
        )


def dialogue(run: Run) -> Iterator[Line]:
    """What z tells of the act of the reply beyond the turns before it."""
    valid = Run(run.pair, run.corpus, "valid", len(run.corpus.valid), run.seed)
    try:
        z, z_valid = (_latents(each) for each in (run, valid))
    except UserError as error:
        print(f"  {error}")
        return
    before, after = _acts(run)
    told = _told(_probe(z_valid, *_acts(valid), run.seed), z, before, after)
    entropy = -(before * before.log()).nan_to_num().sum(1)
    most = torch.special.xlogy(after, after / before).nan_to_num().sum(1)
    yield "I(z; act | turns), at least, nats", *run.bootstrap.mean(told.numpy())
    yield "H(act | turns), nats", *run.bootstrap.mean(entropy.numpy())
    yield "I(reply; act | turns), nats", *run.bootstrap.mean(most.numpy())
    for name, whole in (("H(act | turns)", entropy), ("I(reply; act | turns)", most)):
        yield (
            f"I(z; act | turns), share of {name}",
            *run.bootstrap.ratio(told.numpy(), whole.numpy()),
        )


def _latents(run: Run) -> Tensor:
    # A guide that is given the act would only say it again.
    batch = {name: value for name, value in run.batch.items() if name != LABELS}
    drawn = encode(run.pair.guide, batch, mean=False, seed=run.seed)
    parts = [value.reshape(len(value), -1).double() for value in drawn.values()]
    return torch.cat([*parts, *_drawn_act(run, batch)], 1).cpu()


def _drawn_act(run: Run, batch: dict[str, Tensor]) -> list[Tensor]:
    """The act of a program that has one, a latent like others: drawn by Bayes' rule."""
    names = tuple(run.corpus.label_names or ())
    if not names:
        return []
    rows = [
        {name: value[first : first + 100] for name, value in batch.items()}
        for first in range(0, len(batch[SOURCE]), 100)
    ]
    likelihood = log_likelihood(run.pair.model, run.pair.guide, rows, ACT_SAMPLES, run.seed)
    probabilities = LabelProbabilities.of(likelihood, names)
    if probabilities is None:
        return []
    generator = torch.Generator().manual_seed(run.seed)
    act = torch.multinomial(probabilities.by_bayes.exp().cpu(), 1, generator=generator)
    return [one_hot(act.squeeze(1), len(names)).double()]


def _acts(run: Run) -> tuple[Tensor, Tensor]:
    """p(act | turns) and p(act | turns, reply), exact, ``(N, A)``."""
    pairs = list(zip(run.sources, run.texts, strict=True))
    before = [[*run.world.act_posterior(source).values()] for source, _ in pairs]
    after = [[*run.world.act_posterior(source, text).values()] for source, text in pairs]
    return torch.tensor(before).double(), torch.tensor(after).double()


def _probe(z: Tensor, before: Tensor, after: Tensor, seed: int) -> nn.Module:
    """A network of z whose output, added to log p(act | turns), tells the act.

    That of the step which does best on a quarter of the texts, which it is not fitted to; at the
    first it tells nothing.
    """
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Linear(z.shape[1], 32), nn.Tanh(), nn.Linear(32, before.shape[1])
    ).double()
    for parameter in network[2].parameters():
        nn.init.zeros_(parameter)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    held, fitted = (
        tuple(part[rows] for part in (z, before, after))
        for rows in (slice(len(z) // 4), slice(len(z) // 4, None))
    )
    best, weights = -math.inf, copy.deepcopy(network.state_dict())
    for _ in range(400):
        with torch.no_grad():
            told = _told(network, *held).mean().item()
        if told > best:
            best, weights = told, copy.deepcopy(network.state_dict())
        optimizer.zero_grad()
        (-_told(network, *fitted).mean()).backward()
        optimizer.step()
    network.load_state_dict(weights)
    return network.requires_grad_(False)


def _told(network: nn.Module, z: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """The mean of log r(act | z, turns) - log p(act | turns) over acts, nats, ``(N,)``."""
    log_before = before.clamp(min=torch.finfo(before.dtype).tiny).log()
    log_r = (log_before + network(z)).log_softmax(-1)
    return (after * (log_r - log_before)).sum(1)


def headlines(run: Run) -> Iterator[Line]:
    """Headlines that their article can have, and names that training never had."""
    unseen = set(run.world.unseen_names)
    for method, texts in run.by_each_method():
        pairs = list(zip(texts, run.sources, strict=True))
        possible = [run.world.log_prob(text, source=source) > -math.inf for text, source in pairs]
        yield f"{method}: possible for the article", *run.bootstrap.mean(possible)
        told = [run.world.names_told(*pair) for pair in pairs]
        right = np.array(
            [run.world.name_of(text) in names for text, names in zip(texts, told, strict=True)]
        )
        of_unseen = np.array([bool(names) and set(names) <= unseen for names in told])
        of_seen = np.array([bool(names) and not set(names) & unseen for names in told])
        for kind, which in (("never seen", of_unseen), ("seen", of_seen)):
            name = f"{method}: names {kind} copied right, of {which.sum()}"
            yield name, *run.bootstrap.ratio(right & which, which)


def typos(run: Run) -> Iterator[Line]:
    """Corrections beside those of the best reader and doing nothing."""
    posteriors = [run.world.word_posteriors(source) for source in run.sources]
    best_words = [" ".join(max(p, key=p.__getitem__) for p in each) for each in posteriors]
    best_sentences = [" ".join(run.world.best_sentence(source)) for source in run.sources]

    def words(texts: list[str]) -> np.ndarray:
        """The expected number of words of each text that are right, in their place."""
        return np.array(
            [
                sum(p.get(word, 0.0) for word, p in zip(text.split(), each, strict=False))
                for text, each in zip(texts, posteriors, strict=True)
            ]
        )

    def sentences(texts: list[str]) -> np.ndarray:
        pairs = zip(texts, run.sources, strict=True)
        return np.array([math.exp(run.world.log_prob(t, source=s)) for t, s in pairs])

    sizes = np.array([len(each) for each in posteriors])
    ones = np.ones(len(sizes))
    kinds = {}
    for kind, right, best, wholes in (
        ("words", words, best_words, sizes),
        ("sentences", sentences, best_sentences, ones),
    ):
        nothing, most = right(run.sources), right(best)
        kinds[kind] = (right, nothing, most, wholes)
        yield f"nothing done: {kind} right", *run.bootstrap.ratio(nothing, wholes)
        yield f"best reader: {kind} right", *run.bootstrap.ratio(most, wholes)
    for method, texts in run.by_each_method():
        for kind, (right, nothing, most, wholes) in kinds.items():
            of_texts = right(texts)
            yield f"{method}: {kind} right", *run.bootstrap.ratio(of_texts, wholes)
            gain = run.bootstrap.ratio(of_texts - nothing, most - nothing)
            yield f"{method}: share of the best reader's gain in {kind}", *gain


OF_WORLDS = {each.__name__: each for each in (paraphrase, dialogue, headlines, typos)}


def report(path: Path, split: str, size: int, seed: int) -> None:
    """Print the numbers of one run.

    :raises UserError: for a run on none of these worlds, and one of a model without a source.
    """
    stored = read_run(path)
    corpus = load_run_corpus(stored)
    name = None if corpus.world is None else zoo.name_of("worlds", type(corpus.world))
    if name not in OF_WORLDS:
        raise UserError(f"{path} is on none of the worlds {', '.join(OF_WORLDS)}")
    print(f"\n{path}: world:{name}, {stored.contents['specs']['model']}", flush=True)
    run = Run(load_pair(stored), corpus, split, size, seed)
    for label, value, interval in OF_WORLDS[name](run):
        ends = "no interval" if interval is None else f"[{interval[0]:.4f}, {interval[1]:.4f}]"
        print(f"  {label:58s} {value:8.4f} {ends}", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Report on every run that is named, or is in a folder that is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="runs, or folders of grids' runs")
    parser.add_argument("--split", default="test")
    parser.add_argument("--size", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    for folder in given.runs:
        inside = [folder] if RunFolder(folder).is_run() else sorted(folder.iterdir())
        for path in inside:
            if RunFolder(path).is_run():
                report(path, given.split, given.size, given.seed)


if __name__ == "__main__":
    main()
