# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Log-likelihoods of sentences, with what is known of their errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pyro_textvae.displayed import Displayed, as_plain
from pyro_textvae.evaluation.enumeration.summed_out import SummedOut
from pyro_textvae.evaluation.importance.error_of_mean import error_of_mean
from pyro_textvae.evaluation.importance.global_draws import GlobalDraws, part_beyond
from pyro_textvae.evaluation.importance.running_weights import curve_sizes
from pyro_textvae.evaluation.importance.settled import HEAVY_TAIL, MOST_ERRORS, is_enough
from pyro_textvae.evaluation.importance.student import (
    freedom_of_sum,
    student_deviate,
    variance_ceiling,
)
from pyro_textvae.evaluation.importance.warnings_of import (
    FEWEST_DRAWS,
    SMALLEST_ESS,
    warnings_of,
)
from pyro_textvae.units import bits, perplexity

SMALLEST_SETTLED_SHARE = 0.5
"""With fewer settled sentences there is no interval."""
LARGEST_WEIGHT = 0.2


@dataclass(frozen=True, repr=False)
class LogLikelihood(Displayed):
    """Estimates for each sentence, in corpus order; float64, nats, shapes ``(num_sentences,)``.

    log_px
        log (1/K) sum_k p(x, z_k) / r(z_k | x), z_k drawn from the proposal r (the guide, unless
        another was asked for): in expectation a lower bound of log p(x).
    smoothed
        The same with the tail of the weights Pareto-smoothed: of less variance, and no bound. That
        of annealed populations, whose weights are even, is ``log_px``. NaN where K is below 100, or
        where a half of the draws that ``auto`` takes by itself has fewer.
    jackknife
        ``log_px`` less its bias of order 1 / K, by leaving out equal parts of the draws in turn: no
        bound either, and of more variance. NaN for a single draw.
    standard_error
        Monte Carlo standard error of ``log_px`` (delta method). NaN, like ``ess`` and ``khat``,
        where the draws cannot be told apart: see :attr:`unresolved`.
    error_freedom
        Degrees of freedom of ``standard_error``: few where it is that between blocks of draws.
    ess
        Effective sample size of the K weights.
    khat
        Pareto shape of the weights' tail; NaN where K is below 100, -inf for weights that are
        constant to the precision of the model.
    largest_weight
        The largest weight's share of all.
    doubling
        What the last doubling of K added to ``log_px``, never negative: the estimate by all draws
        minus the mean of those by their two halves. NaN for a single draw.
    half_doubling
        What the doubling before added. NaN below four draws.
    half_difference
        The estimate by the first half of the draws minus that by the second. NaN for a single draw.
    curve, curve_error
        ``(num_sentences, L)``: the mean estimate by parts of K / 2^j draws, and its error, from
        the smallest parts to all K; :attr:`growth` names their sizes.
    elbo
        The evidence lower bound of the guide: ``reconstruction - kl``.
    reconstruction
        E_q log p(x | z) under the guide, by the same draws; those of another proposal weigh as
        much as the guide makes them, which for a few draws is biased upwards.
    kl
        KL(q(z | x), p(z)) of the guide, in closed form where one is registered.
    num_tokens_per_sentence
        Number of tokens of each sentence, ``<eos>`` counted.
    num_draws
        Number of draws behind each estimate.
    decoder_evaluations
        How often the decoder scored the sentence, for any purpose; a gradient counts as three.
    keys
        A number made of the sentence: equal sentences have equal draws, so equal errors.
    exact
        Whether nothing is drawn, for there is no latent or all are summed out: then ``log_px`` is
        no estimate, and K plays no part.

    ``notes`` say what a reader has to know of how the numbers were made. ``points`` are the latent
    sites whose posteriors have no density, so that there is no likelihood. ``beside_text`` are the
    observed sites that are not the text: ``log_px`` and the bound are of all of them together then,
    ``nll_joint`` has the mean, and ``nll`` and what is made of it are NaN. ``identity`` is the hash
    by which finished sentences were kept in a file; None where none was asked for.
    ``global_draws`` are the estimates given each draw of global latents, of which ``log_px`` is the
    log of the mean; None without such a latent. ``summed_out`` has the estimates for each value of
    the discrete sites that ``log_px`` is a sum over, and what is of the labels that were given;
    ``elbo``, ``reconstruction`` and ``kl`` are then of the text, NaN where the guide has no
    q(y | x). K are the draws for each value. None without such a site.
    """

    log_px: Tensor
    smoothed: Tensor
    jackknife: Tensor
    standard_error: Tensor
    error_freedom: Tensor
    ess: Tensor
    khat: Tensor
    largest_weight: Tensor
    doubling: Tensor
    half_doubling: Tensor
    half_difference: Tensor
    curve: Tensor
    curve_error: Tensor
    reconstruction: Tensor
    kl: Tensor
    num_tokens_per_sentence: Tensor
    num_draws: Tensor
    decoder_evaluations: Tensor
    keys: Tensor
    num_samples: int
    seed: int = 0
    proposal: Mapping[str, Any] = field(default_factory=lambda: {"name": "guide"})
    exact: bool = False
    notes: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    beside_text: tuple[str, ...] = ()
    identity: str | None = None
    global_draws: GlobalDraws | None = None
    summed_out: SummedOut | None = None

    @cached_property
    def elbo(self) -> Tensor:
        """Evidence lower bound of each sentence."""
        if self.summed_out is not None:
            return self.summed_out.elbo
        return self.reconstruction - self.kl

    @cached_property
    def elbo_joint(self) -> Tensor:
        """The same of all that is observed of each sentence."""
        return self.elbo if self.summed_out is None else self.summed_out.elbo_joint

    @cached_property
    def num_sentences(self) -> int:
        """Number of sentences."""
        return len(self.log_px)

    @cached_property
    def num_tokens(self) -> int:
        """Number of tokens, one ``<eos>`` a sentence counted."""
        return int(self.num_tokens_per_sentence.sum())

    @cached_property
    def nll(self) -> float:
        """Negative log-likelihood of the text, nats per sentence; NaN where it is not known."""
        return math.nan if self.beside_text else -self.log_px.mean().item()

    @cached_property
    def nll_joint(self) -> float:
        """Negative log-likelihood of all that is observed, nats per sentence.

        Of text and label where one is given, of the text alone where none is.
        """
        log_p = self.log_px if self.summed_out is None else self.summed_out.log_given
        return -log_p.mean().item()

    @cached_property
    def nll_joint_standard_error(self) -> float:
        """Monte Carlo standard error of ``nll_joint``."""
        if self.summed_out is None:
            return self.nll_standard_error
        return max(self._error_of_mean(self.summed_out.log_given_error), self.shared_error)

    @cached_property
    def label_nll(self) -> float:
        """-log p(y | x) of the labels by Bayes' rule, nats a label; NaN without any."""
        if self.summed_out is None:
            return math.nan
        return -self.summed_out.label_log_prob.nanmean().item()

    @cached_property
    def label_nll_standard_error(self) -> float:
        """Monte Carlo standard error of ``label_nll``."""
        if self.summed_out is None or not self.summed_out.num_labelled:
            return math.nan
        labelled = self.summed_out.labelled
        return error_of_mean(self.summed_out.label_error[labelled], self.keys[labelled])

    @cached_property
    def label_nll_by_guide(self) -> float:
        """-log q(y | x) of the labels by the guide, nats a label; NaN where it has no q(y | x)."""
        by_guide = None if self.summed_out is None else self.summed_out.label_log_prob_by_guide
        return math.nan if by_guide is None else -by_guide.nanmean().item()

    @cached_property
    def nll_smoothed(self) -> float:
        """The nll by Pareto-smoothed weights; NaN where any sentence has too few draws."""
        return math.nan if self.beside_text else -self.smoothed.mean().item()

    @cached_property
    def nll_jackknife(self) -> float:
        """The nll less its bias of order 1 / K, by the jackknife."""
        return math.nan if self.beside_text else -self.jackknife.mean().item()

    @cached_property
    def nll_standard_error(self) -> float:
        """Monte Carlo standard error of ``nll``: the noise of the draws on these sentences."""
        if self.global_draws is None:
            return self._error_of_mean(self.standard_error)
        return max(self.global_draws.error_of_mean, self.nll_local_error)

    @cached_property
    def nll_local_error(self) -> float:
        """The part of ``nll_standard_error`` that is of the draws of the sentences' own latents."""
        if self.global_draws is None:
            return self.nll_standard_error
        return self._error_of_mean(self.global_draws.local_error)

    @cached_property
    def nll_global_error(self) -> float:
        """The part that is of the draws of global latents, which all sentences share."""
        return part_beyond(self.nll_standard_error, self.nll_local_error)

    @property
    def shared_error(self) -> float:
        """Standard error of the mean of ``log_px`` by draws that all sentences share."""
        return 0.0 if self.global_draws is None else self.nll_global_error

    @property
    def identities(self) -> tuple[str, ...]:
        """The hashes by which finished sentences were kept in files."""
        own = () if self.identity is None else (self.identity,)
        return own if self.global_draws is None else (*own, *self.global_draws.identities)

    @cached_property
    def nll_sampling_error(self) -> float:
        """Standard error of ``nll`` over sentences: what another test set of this size would do."""
        if self.num_sentences < 2:
            return math.nan
        return self.log_px.std().item() / math.sqrt(self.num_sentences)

    @cached_property
    def ppl(self) -> float:
        """Perplexity: exp(total nll / total tokens)."""
        return perplexity(self._total(self.log_px), self.num_tokens)

    @cached_property
    def ppl_elbo(self) -> float:
        """The same from the evidence lower bound: an upper bound of the perplexity."""
        return perplexity(self._total(self.elbo), self.num_tokens)

    @cached_property
    def bits_per_word(self) -> float:
        """Bits per token; with a word tokenizer a token is a word or an ``<eos>``."""
        return bits(self._total(self.log_px), self.num_tokens)

    @cached_property
    def heavy_tail_share(self) -> float | None:
        """Share of sentences with a k-hat above ``HEAVY_TAIL``; None where K is below 100.

        Sentences without a k-hat, for their few draws, do not count.
        """
        if self.khat.isnan().all():
            return None
        defined = self.khat[~self.khat.isnan()]
        return (defined > HEAVY_TAIL).double().mean().item()

    @cached_property
    def median_ess(self) -> float:
        """Median of ``ess`` over the sentences that have one."""
        return self.ess.nanmedian().item()

    @cached_property
    def unresolved(self) -> Tensor:
        """Sentences whose draws cannot be told apart in the precision of the guide.

        They have a ``log_px``, and no error that could be known.
        """
        return self.log_px.isfinite() & self.ess.isnan()

    @cached_property
    def flagged(self) -> Tensor:
        """Sentences whose own estimate rests on few of its draws.

        The effective sample size is below 50, or below half of the draws where they are fewer than
        100: of 50 none has more than 50. Or the largest weight is above 0.2, which half of fewer
        than 50 draws allows.
        """
        if self.exact:
            return torch.zeros_like(self.ess, dtype=torch.bool)
        draws = self.num_draws.double()
        largest = (2 / draws).sqrt().clamp(min=LARGEST_WEIGHT)
        enough = self.ess >= (draws / 2).clamp(max=SMALLEST_ESS)
        return ~enough | (self.largest_weight > largest)

    @cached_property
    def settled(self) -> Tensor:
        """Sentences whose draws say that they are enough, ``(num_sentences,)`` of bool.

        k-hat is at most 0.7, or not known for few draws; the standard error is at most 0.2 nats;
        and the two halves of the draws agree within four of their errors.
        """
        if self.exact:
            return torch.ones_like(self.ess, dtype=torch.bool)
        agree = self.half_difference.abs() <= MOST_ERRORS * 2 * self.standard_error
        return is_enough(self.khat, self.standard_error) & agree & self.log_px.isfinite()

    @cached_property
    def bias(self) -> Tensor:
        r"""By how much ``log_px`` is still expected to be too low, ``(num_sentences,)``.

        .. math:: \log p(x) - E \log \hat p \approx \tfrac12 \operatorname{Var} \hat p / p(x)^2

        Half the squared standard error, for a sentence that is settled. For one that is not, whose
        error is not known either, the largest of that, its standard error, and what the estimate
        grew by with the last doubling of K, twice.
        """
        if self.exact:
            return torch.zeros_like(self.log_px)
        by_variance = 0.5 * self.standard_error.square()
        by_growth = torch.fmax(2 * self.doubling, self.standard_error)
        return torch.where(self.settled, by_variance, torch.fmax(by_variance, by_growth))

    @cached_property
    def settled_share(self) -> float:
        """Share of the sentences that are settled."""
        return self.settled.double().mean().item()

    @cached_property
    def nll_interval(self) -> tuple[float, float] | None:
        """A 95 % interval for the nll that exact sums would give on these sentences.

        To both sides the noise of the draws: the delta method's error, or that between the two
        halves of every sentence where it is larger, times the quantile of Student's t for its
        degrees of freedom. Further down what the estimates are expected to be too high by,
        :attr:`bias`, which is large for sentences that are not settled; half a variance that is
        itself estimated, so it is taken as high as that may be with as many degrees of freedom.
        None where :attr:`no_interval` says why.
        """
        if self.no_interval is not None:
            return None
        if self.exact:
            return self.nll, self.nll
        between = self._error_of_mean(0.5 * self.half_difference.abs())
        reach = student_deviate(self._freedom) * max(self.nll_standard_error, between)
        bias = variance_ceiling(self._freedom) * self.bias.mean().item()
        return self.nll - reach - bias, self.nll + reach

    @cached_property
    def no_interval(self) -> str | None:
        """Why there is no interval; None where there is one."""
        if self.exact:
            return None
        if self.num_samples < FEWEST_DRAWS:
            return f"K is below {FEWEST_DRAWS}"
        if not self.settled_share >= SMALLEST_SETTLED_SHARE:
            return "less than half of the sentences are settled"
        return None if math.isfinite(self.nll_standard_error) else "the error is not known"

    @cached_property
    def _freedom(self) -> float:
        """Degrees of freedom of the error of the mean."""
        _, group = self.keys.unique(return_inverse=True)
        errors = torch.zeros(int(group.max()) + 1, dtype=torch.float64)
        freedom = torch.empty_like(errors)
        # Equal sentences have equal draws, and an error of the same degrees of freedom.
        freedom[group] = self.error_freedom
        errors.index_add_(0, group, self.standard_error)
        return freedom_of_sum(errors, freedom).item()

    @cached_property
    def doubling_increment(self) -> float:
        """By how much the mean of ``log_px`` grew with the last doubling of K."""
        return self.doubling.mean().item()

    @cached_property
    def doubling_ratio(self) -> float:
        """That growth over the growth with the doubling before: 1/2 where the bias falls as 1/K."""
        before = self.half_doubling.mean().item()
        return self.doubling_increment / before if before > 0 else math.nan

    @cached_property
    def remaining_bias(self) -> float:
        """How much more further doublings would add, if each adds the same share of the last.

        Right within a factor of about two on a few hundred sentences; infinite where the growth
        does not slow down.
        """
        ratio = self.doubling_ratio
        if math.isnan(ratio):
            return math.nan
        return self.doubling_increment * ratio / (1 - ratio) if ratio < 1 else math.inf

    @cached_property
    def growth(self) -> list[dict[str, float]]:
        """The nll by fewer draws, from the same ones: ``num_samples, nll, standard_error``."""
        sizes = curve_sizes(self.num_samples) if self.curve.shape[1] else []
        return [
            {
                "num_samples": size,
                "nll": -self.curve[:, point].mean().item(),
                "standard_error": self._error_of_mean(self.curve_error[:, point]),
            }
            for point, size in enumerate(sizes)
        ]

    @cached_property
    def warnings(self) -> list[str]:
        """What should keep a reader from trusting ``nll``, in words; empty if nothing does.

        The limits are those that told good guides from bad ones on models of known likelihood.
        """
        return warnings_of(self)

    def sentence_columns(self) -> dict[str, Tensor]:
        """What is written down of every sentence, by name."""
        return {
            "num_tokens": self.num_tokens_per_sentence,
            "log_px": self.log_px,
            "standard_error": self.standard_error,
            "ess": self.ess,
            "khat": self.khat,
            "reconstruction": self.reconstruction,
            "kl": self.kl,
            "num_samples": self.num_draws,
            "settled": self.settled.long(),
            "bias": self.bias,
        }

    def _shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"nll": f"{self.nll:.3f} +- {self.nll_standard_error:.3f}"}
        shown["nll"] += " (Monte Carlo) nats per sentence"
        if self.beside_text:
            shown = {"nll_joint": f"{self.nll_joint:.3f} nats, with {', '.join(self.beside_text)}"}
        if self.nll_interval is not None:
            shown["95 % interval"] = "{:.3f} to {:.3f}".format(*self.nll_interval)
        shown |= {
            "ppl": self.ppl,
            "-elbo": -float(self.elbo.mean()),
            "sentences": len(self.log_px),
            "draws": "none: it is exact" if self.exact else self.num_samples,
            "settled": f"{100 * self.settled_share:.1f} % of sentences",
            "log_px": self.log_px,
        }
        remarks = [*self.warnings, *self.notes]
        return shown | {f"remark {n}": remark for n, remark in enumerate(remarks[:3], 1)}

    def _columns(self) -> dict[str, Any]:
        return dict(self.sentence_columns())

    def to_dict(self) -> dict[str, Any]:
        """The numbers of the mean, and under ``sentences`` those of every sentence."""
        numbers = ("nll", "nll_standard_error", "ppl", "num_samples", "settled_share", "warnings")
        return {
            **{name: as_plain(getattr(self, name)) for name in numbers},
            "nll_interval": as_plain(self.nll_interval),
            "notes": as_plain(self.notes),
            "sentences": {name: as_plain(value) for name, value in self._columns().items()},
        }

    def _total(self, column: Tensor) -> float:
        """Nats of the text in all; NaN where they are not known."""
        return math.nan if self.beside_text else -column.sum().item()

    def _error_of_mean(self, errors: Tensor) -> float:
        return error_of_mean(errors, self.keys)
