# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Importance-weighted log-likelihood, sentence by sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import pyro
import torch
from torch import Tensor, nn
from tqdm import tqdm

from pyro_textvae.distributions import sentence_mask
from pyro_textvae.evaluation.batches import evaluation_mode, in_corpus_order, to_device
from pyro_textvae.evaluation.pareto import SMALLEST_SAMPLE, pareto_khat, tail_size
from pyro_textvae.evaluation.units import bits, perplexity
from pyro_textvae.infer import PerDatumELBO, PerDatumTerms


@dataclass(frozen=True)
class LogLikelihood:
    """Estimates for each sentence, in corpus order; float64, nats, shapes ``(num_sentences,)``.

    log_px
        log (1/K) sum_k p(x, z_k) / q(z_k | x): in expectation a lower bound of log p(x).
    standard_error
        Monte Carlo standard error of ``log_px`` (delta method).
    ess
        Effective sample size of the K weights.
    khat
        Pareto shape of the weights' tail; NaN where K is below 100, -inf for weights that are
        constant to the precision of the model.
    elbo
        The evidence lower bound: ``reconstruction - kl``.
    reconstruction
        E_q log p(x | z), by the same K draws.
    kl
        KL(q(z | x), p(z)), in closed form where one is registered.
    tokens
        Number of tokens of each sentence, ``<eos>`` counted.
    """

    log_px: Tensor
    standard_error: Tensor
    ess: Tensor
    khat: Tensor
    reconstruction: Tensor
    kl: Tensor
    tokens: Tensor
    num_samples: int

    @cached_property
    def elbo(self) -> Tensor:
        """Evidence lower bound of each sentence."""
        return self.reconstruction - self.kl

    @cached_property
    def num_sentences(self) -> int:
        """Number of sentences."""
        return len(self.log_px)

    @cached_property
    def num_tokens(self) -> int:
        """Number of tokens, one ``<eos>`` a sentence counted."""
        return int(self.tokens.sum())

    @cached_property
    def nll(self) -> float:
        """Negative log-likelihood, nats per sentence."""
        return -self.log_px.mean().item()

    @cached_property
    def nll_standard_error(self) -> float:
        """Monte Carlo standard error of ``nll``: the noise of the K draws on these sentences."""
        return self.standard_error.square().sum().sqrt().item() / self.num_sentences

    @cached_property
    def nll_sampling_error(self) -> float:
        """Standard error of ``nll`` over sentences: what another test set of this size would do."""
        if self.num_sentences < 2:
            return math.nan
        return self.log_px.std().item() / math.sqrt(self.num_sentences)

    @cached_property
    def ppl(self) -> float:
        """Perplexity: exp(total nll / total tokens)."""
        return perplexity(-self.log_px.sum().item(), self.num_tokens)

    @cached_property
    def ppl_elbo(self) -> float:
        """The same from the evidence lower bound: an upper bound of the perplexity."""
        return perplexity(-self.elbo.sum().item(), self.num_tokens)

    @cached_property
    def bits_per_word(self) -> float:
        """Bits per token; with a word tokenizer a token is a word or an ``<eos>``."""
        return bits(-self.log_px.sum().item(), self.num_tokens)


def log_likelihood(
    model: nn.Module,
    guide: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    num_samples: int = 1000,
    seed: int = 0,
    *,
    max_tokens: int = 16384,
    progress: bool = False,
) -> LogLikelihood:
    """Estimate log p(x) of every sentence with ``num_samples`` draws from the guide.

    The draws come in chunks of at most ``max_tokens`` tokens, reduced on the way in float64, so
    memory does not grow with ``num_samples``. Modules are put in evaluation mode for the while, and
    the state of the random generators is left as it was.

    Source: Burda et al. (2016), Importance Weighted Autoencoders, equation 8.

    :param batches: dicts with the batch first; those of ``corpus.batches`` know their place in the
        split, others are taken as they come.
    :raises ValueError: for ``num_samples`` below 1, or no batch at all.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    rows: list[dict[str, Tensor]] = []
    indices = []
    done = total = 0.0
    with (
        evaluation_mode(model, guide, seed),
        tqdm(
            batches, disable=None if progress else True, desc="log-likelihood", leave=False
        ) as bar,
    ):
        for number, batch in enumerate(bar):
            tokens = batch["tokens"]
            pyro.set_rng_seed((seed + 7919 * number) % 2**31)
            particles = max(1, min(num_samples, max_tokens // max(tokens.numel(), 1)))
            sums = _Sums(num_samples)
            while sums.count < num_samples:
                size = min(particles, num_samples - sums.count)
                sums.add(PerDatumELBO(size).terms(model, guide, **to_device(batch, model)))
            row = sums.result() | {"tokens": sentence_mask(tokens).sum(-1).cpu()}
            rows.append(row)
            indices.append(getattr(batch, "indices", None))
            done += row["log_px"].sum().item()
            total += len(tokens)
            bar.set_postfix_str(f"nll {-done / total:.3f}")
    if not rows:
        raise ValueError("there is no batch to score")
    columns = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    columns = in_corpus_order(columns, indices)
    return LogLikelihood(num_samples=num_samples, **columns)


class _Sums:
    """Running sums over the draws of one batch, float64, all shapes ``(N,)``."""

    def __init__(self, num_samples: int) -> None:
        self.num_samples = num_samples
        self.count = 0
        self.constant = False
        self.log_sum = self.log_sum_of_squares = torch.tensor(-torch.inf, dtype=torch.float64)
        self.reconstruction = self.kl = torch.zeros((), dtype=torch.float64)
        self.largest: Tensor | None = None
        self.rounding = torch.zeros((), dtype=torch.float64)

    def add(self, terms: PerDatumTerms) -> None:
        """Take in one chunk of draws."""
        weights = terms.log_weights.double().cpu()
        likelihood = terms.log_likelihood.double().cpu()
        # Without a latent every draw is the same number: one is enough.
        self.constant = not terms.log_ratio
        size = self.num_samples if self.constant else len(weights)
        if self.constant:
            weights, likelihood = (value[:1].expand(size, -1) for value in (weights, likelihood))
        self.count += size
        self.log_sum = torch.logaddexp(self.log_sum, weights.logsumexp(0))
        self.log_sum_of_squares = torch.logaddexp(
            self.log_sum_of_squares, (2 * weights).logsumexp(0)
        )
        self.reconstruction = self.reconstruction + likelihood.sum(0)
        self.kl = self.kl + terms.total_kl.double().cpu().mean(0) * size
        if self.num_samples >= SMALLEST_SAMPLE:
            pool = weights if self.largest is None else torch.cat([self.largest, weights])
            # A log-weight is a difference of sums of this size, in the precision of the model.
            unit = 64 * torch.finfo(terms.log_weights.dtype).eps
            self.rounding = unit * likelihood.abs().amax(0).clamp(min=1.0)
            self.largest = pool.topk(min(len(pool), tail_size(self.num_samples) + 1), 0).values

    def result(self) -> dict[str, Tensor]:
        """The columns of :class:`LogLikelihood`."""
        k = self.num_samples
        log_px = self.log_sum - math.log(k)
        sum_of_squares = (self.log_sum_of_squares - 2 * self.log_sum).exp()  # of softmax weights
        excess = (sum_of_squares - 1.0 / k).clamp(min=0.0)
        khat = torch.full_like(log_px, math.nan)
        if self.largest is not None:
            khat = pareto_khat(self.largest)
            spread = self.largest[0] - self.largest[-1]
            khat = khat.masked_fill(spread <= self.rounding, -math.inf)
        standard_error = (excess * k / max(k - 1, 1)).sqrt()
        if self.constant:
            standard_error = torch.zeros_like(log_px)
        elif k == 1:
            standard_error = torch.full_like(log_px, math.nan)
        return {
            "log_px": log_px,
            "standard_error": standard_error,
            "ess": 1.0 / sum_of_squares,
            "khat": khat,
            "reconstruction": self.reconstruction / k,
            "kl": self.kl / k,
        }
