# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""How much the latents know of the sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn

from pyro_textvae.config.checks import at_least, check_argument
from pyro_textvae.displayed import Displayed
from pyro_textvae.evaluation.enumeration.summed_sites import integrated
from pyro_textvae.evaluation.latents.aggregate_posterior import AggregateLogProb
from pyro_textvae.evaluation.latents.elbo_surgery import (
    ElboSurgery,
    elbo_surgery,
    surgery_of_pairs,
)
from pyro_textvae.evaluation.latents.given_source import InformationGivenSource
from pyro_textvae.evaluation.latents.guide_density import NoDensityError
from pyro_textvae.evaluation.latents.joint_latents import SiteInformation
from pyro_textvae.evaluation.latents.split_latents import SplitLatents, SplitSite
from pyro_textvae.evaluation.over_globals import given_one_draw, with_first
from pyro_textvae.infer.function_program import as_program
from pyro_textvae.infer.running import evaluation_mode

ACTIVE_VARIANCE = 0.01
"""A unit is active when its posterior mean varies by more than this over the sentences."""

BORDERLINE_VARIANCE = (0.007, 0.014)
"""Within these the count of active units hangs on the choice of the line."""

_PAIRS = 2**26
# Of a flow, for splits so small that no draw need be left out.
_COSTLY_PAIRS = 2**14
_MOST_DRAWS = 16


@dataclass(frozen=True, repr=False)
class Information(Displayed):
    """What the latents carry, over all N sentences of a split; nats per sentence.

    z is all latents together. The KL has three parts that add up, the last two where there is one
    latent site::

        sampled_kl   = mutual_information + aggregate_kl
        aggregate_kl = total_correlation + dimensionwise_kl

    to rounding error, whatever the number of draws. Their standard errors are those of the draws,
    the sentences being given: the draws are independent, and q_N does not depend on them. A part
    that differs between sentences counts as noise, which makes the errors somewhat too large.

    kl
        Mean KL(q(z | x), p(z)), summed over latent sites; in closed form where one is registered
        with PyTorch, else from the draws. 0 without a latent.
    kl_per_dimension
        Its terms ``(D,)``, sites one after the other. None unless posterior and prior of every
        site are products over the dimensions with a closed form: otherwise no such terms exist
        (the prior of one dimension depends on the others), or only noisy ones.
    sampled_kl
        Mean of log q(z | x) - log p(z) over the draws, with the control variates of
        :func:`elbo_surgery`: equal to ``kl`` where that is in
        closed form, to the precision of the guide. This and its parts are None without a latent,
        and where a sentence has several posteriors, or none that scores the draws of others.
    mutual_information
        I_N = E log q(z | x) - log q_N(z) with q_N(z) = (1/N) sum_n q(z | x_n): the mutual
        information of z and the number of the sentence. A lower bound of that under the population
        that the sentences are from; never above the KL, but for noise. None, with its other bound
        and the total correlation, when the prior differs between sentences: beside what z says of
        the text it would count what the source says of z. See ``given_source`` then.
    mutual_information_upper
        The same with each draw's own sentence left out of the mean: an upper bound. None with one
        sentence.
    mutual_information_ceiling
        ln N: ``mutual_information`` cannot exceed it, whatever the truth.
    aggregate_kl
        KL(q_N, p) of the aggregate posterior to the prior. None when the prior differs between
        sentences.
    total_correlation
        KL(q_N(z), prod_j q_N(z_j)). None when left out, or when the posteriors are no products
        over the dimensions.
    dimensionwise_kl
        sum_j KL(q_N(z_j), p(z_j)). None likewise, and when the prior is no product.
    active_units
        Number of latent dimensions whose posterior mean has a variance above 0.01. None where no
        dimension has a variance below.
    borderline_units
        The dimensions with a variance from 0.007 to 0.014, whether counted or not.
    unit_variance
        That variance for every dimension, sites one after the other; where the posterior depends
        on the draws of other latents, of its mean over 1000 of them. NaN where there is none: of a
        label, of a site in a plate inside ``"data"``, and under a prior that differs between
        sentences, which alone would move the means.
    num_draws
        Draws of z for each sentence; 0 without a latent.
    left_out
        Why something is missing that other programs have.
    sites
        What each of several latent sites knows, alone and beside those before it. Empty where
        ``mutual_information`` is None, and for a single site.
    given_source
        I(x; z | source) where the prior differs between sentences for what the model is
        conditioned on, of texts that the model makes of a source. None otherwise.
    """

    kl: float
    kl_per_dimension: Tensor | None
    sampled_kl: float | None
    mutual_information: float | None
    mutual_information_standard_error: float | None
    mutual_information_upper: float | None
    mutual_information_ceiling: float
    aggregate_kl: float | None
    aggregate_kl_standard_error: float | None
    total_correlation: float | None
    total_correlation_standard_error: float | None
    dimensionwise_kl: float | None
    dimensionwise_kl_standard_error: float | None
    active_units: int | None
    borderline_units: list[int]
    unit_variance: Tensor
    num_sentences: int
    num_draws: int
    left_out: tuple[str, ...] = ()
    sites: Mapping[str, SiteInformation] = field(default_factory=dict)
    given_source: InformationGivenSource | None = None

    @property
    def aggregate_kl_lower(self) -> float | None:
        """What ``mutual_information_upper`` leaves of the KL: a lower bound of the mismatch.

        None where either part is not known, or not finite.
        """
        if self.sampled_kl is None or self.mutual_information_upper is None:
            return None
        least = self.sampled_kl - self.mutual_information_upper
        return least if math.isfinite(least) else None

    @property
    def not_finite(self) -> list[str]:
        """Names of the numbers that are there and not finite; of errors, those of one draw are."""
        present = {f.name: getattr(self, f.name) for f in fields(self)}
        return [
            name
            for name, value in present.items()
            if isinstance(value, float)
            and not math.isfinite(value)
            and not name.endswith("_standard_error")
        ]

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain numbers and lists; None for what is missing or not finite.

        ``left_out``, ``sites`` and ``given_source`` only where there is something.
        """
        values = {each.name: _plain(getattr(self, each.name)) for each in fields(self)}
        for name in ("left_out", "sites", "given_source"):
            value = values.pop(name)
            if value:
                values[name] = list(value) if name == "left_out" else value
        return values


def information(
    model: nn.Module,
    guide: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    seed: int = 0,
    *,
    num_draws: int | None = None,
    costly_pairs: int = 2**17,
    total_correlation: bool = True,
) -> Information:
    r"""Mutual information on the whole split, the other parts of the KL, and active units.

    Latents that the model alone has, and marks, are summed out of the prior; those that the guide
    marks are drawn, and known about as others are. The decoder is run only where the prior depends
    on a source, to make texts of it. Time grows as N^2 ``num_draws``. Where there are global
    latents, all of it is of the sentences' own latents, given one draw of the global ones from the
    guide.

    .. math::
        I_N = \frac{1}{N} \sum_n E_{q(z \mid x_n)} [\log q(z \mid x_n) - \log q_N(z)], \qquad
        q_N(z) = \frac{1}{N} \sum_n q(z \mid x_n)

    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    >>> decoder = LSTMDecoder(**sizes, latent_dim=2, max_length=8)
    >>> model = SentenceVAE(prior=StandardNormal(2), decoder=decoder)
    >>> guide = GaussianGuide(encoder=LSTMEncoder(**sizes), latent_dim=2)
    >>> r = information(model, guide, [{"tokens": torch.tensor([[4, 5, 2], [6, 2, 0]])}])
    >>> abs(r.sampled_kl - r.mutual_information - r.aggregate_kl) < 1e-6
    True
    >>> r.mutual_information_ceiling  # ln 2
    0.6931471805599453

    Source: Hoffman and Johnson (2016), ELBO surgery,
    http://approximateinference.org/2016/accepted/HoffmanJohnson2016.pdf, for the aggregate over the
    full data set (a mini-batch of B sentences could not show more than ln B); Burda et al. (2016),
    Importance Weighted Autoencoders, https://arxiv.org/abs/1509.00519, for active units.

    :param num_draws: draws of z for each sentence. By default as many as make 2^26 pairs of a draw
        and a sentence, a second or two: from 16 for small splits to one for N above 5,800. A flow
        has to be inverted for every pair, and with several latents the guide run: see
        ``costly_pairs``.
    :param costly_pairs: pairs for a flow, some tenths of a millisecond each, or some milliseconds,
        and for several latents. Where one draw of each sentence makes more, the parts of the KL are
        on fewer draws; with 0 they are left out there, and always for several latents and given a
        source. No more is taken where ``num_draws`` is given.
    :param total_correlation: whether to find total correlation and dimension-wise KL too.
    :raises ValueError: without a batch, for ``num_draws`` below 1, or when model and guide do not
        have the same latent sites.
    """
    model, guide = as_program(model), as_program(guide)
    num_draws = check_argument("num_draws", num_draws, int | None, at_least(1))
    costly_pairs = check_argument("costly_pairs", costly_pairs, int, at_least(0))
    with (
        given_one_draw(model, guide, batches, seed) as batches,
        evaluation_mode(model, guide, seed),
    ):
        batches, first = with_first(batches)
        model = integrated(model, guide, first, seed)
        latents = SplitLatents(model, guide, batches)
        count = latents.num_sentences
        if not count:
            raise ValueError("there is no batch to take the information of")
        only = latents.only
        if only is None:
            return _of_several(model, guide, latents, num_draws, costly_pairs)
        pairs = max(costly_pairs, _COSTLY_PAIRS) if only.is_costly else _PAIRS
        draws = num_draws or max(1, min(_MOST_DRAWS, pairs // count**2))
        drawn = only.draw(draws)
        if only.is_costly and num_draws is None and count**2 > pairs:
            if costly_pairs == 0:
                return _information(latents, None, 1)
            drawn = drawn.some(max(2, costly_pairs // count))
        surgery = elbo_surgery(only.posteriors, drawn, total_correlation=total_correlation)
        given = latents.given_source(model, guide) if costly_pairs else None
        return _information(latents, surgery, draws, of_all=len(drawn.z) >= count, given=given)


def _of_several(
    model: nn.Module,
    guide: nn.Module,
    latents: SplitLatents,
    num_draws: int | None,
    costly_pairs: int,
) -> Information:
    """Of several latents together and each, or of what has more than one posterior a sentence."""
    joint = latents.joint(model, guide) if costly_pairs else None
    if joint is None:
        several = len(latents.sites) > 1
        reason = (
            "some are masked, or in a plate inside 'data'" if costly_pairs else "costly_pairs is 0"
        )
        return _information(
            latents, None, 1 if latents.sites else 0, reason=reason if several else None
        )
    count = latents.num_sentences
    draws = num_draws or max(1, min(_MOST_DRAWS, costly_pairs // count**2))
    try:
        drawn = latents.draw_jointly(joint, draws)
        if num_draws is None and count**2 > costly_pairs:
            drawn = drawn.some(max(2, costly_pairs // count))
        pairs = joint.pairs(drawn.z)
        log_q = AggregateLogProb.of_pairs(pairs.sum(0), drawn.sentence)
        surgery = surgery_of_pairs(log_q, drawn, count)
        sites = joint.by_site(drawn.z, drawn.sentence, pairs) if drawn.shared_prior else {}
        given = latents.given_source(model, guide)
    except NoDensityError as error:
        return _information(latents, None, 1, reason=str(error))
    return _information(latents, surgery, draws, of_all=False, given=given, sites=sites)


def _information(
    latents: SplitLatents,
    surgery: ElboSurgery | None,
    num_draws: int,
    *,
    of_all: bool = True,
    given: InformationGivenSource | None = None,
    sites: Mapping[str, SiteInformation] | None = None,
    reason: str | None = None,
) -> Information:
    of_split = list(latents.sites.values())
    kl = sum(site.kl.mean().item() for site in of_split)
    if of_all and surgery is not None and not all(site.has_closed_form for site in of_split):
        kl = surgery.sampled_kl
    per_dimension = [site.kl_per_dimension for site in of_split]
    means = [part.mean(0).cpu() for part in per_dimension if part is not None]
    variance, left_out = _units(of_split, reason)
    low, high = BORDERLINE_VARIANCE
    borderline = ((variance >= low) & (variance <= high)).nonzero().squeeze(1)
    parts = [each.name for each in fields(ElboSurgery)]
    return Information(
        kl=float(kl),
        kl_per_dimension=torch.cat(means) if means and len(means) == len(of_split) else None,
        mutual_information_ceiling=math.log(latents.num_sentences),
        active_units=(
            None
            if len(variance) and variance.isnan().all()
            else int((variance > ACTIVE_VARIANCE).sum())
        ),
        borderline_units=borderline.tolist(),
        unit_variance=variance,
        num_sentences=latents.num_sentences,
        num_draws=num_draws,
        left_out=left_out,
        sites=sites or {},
        given_source=given,
        **{name: None if surgery is None else getattr(surgery, name) for name in parts},
    )


def _units(sites: list[SplitSite], reason: str | None) -> tuple[Tensor, tuple[str, ...]]:
    """The variance of each dimension, NaN where there is none, and why something is missing."""
    variances, reasons = [torch.zeros(0)], []
    if reason is not None:
        names = ", ".join(repr(site.name) for site in sites)
        reasons.append(
            f"the latents are {len(sites)} sites ({names}), and their mutual information and the "
            f"parts of the KL are left out: {reason}"
        )
    for site in sites:
        variance = site.unit_variance()
        if site.is_made_of_others and len(sites) == 1:
            reasons.append(
                f"the guide makes latent site {site.name!r} of an auxiliary site, and its density "
                "at other draws is not known: the mutual information and the parts of the KL are "
                "absent"
            )
        if site.inner_plates:
            reasons.append(
                f"latent site {site.name!r} has several posteriors for a sentence, in the plate "
                f"{', '.join(map(repr, site.inner_plates))}: its KL alone is told"
            )
        elif not site.shared_prior:
            variance = torch.full_like(variance, torch.nan)
            reasons.append(
                f"the prior of latent site {site.name!r} differs between sentences: mutual "
                "information and active units would count what it is conditioned on; the KL bounds "
                "what the text adds"
            )
        elif variance.isnan().all():
            reasons.append(
                f"the posteriors of latent site {site.name!r} have no mean: it has no active units"
            )
        variances.append(variance)
    return torch.cat(variances), tuple(reasons)


def _plain(value: Any) -> Any:
    if isinstance(value, SiteInformation | InformationGivenSource):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {name: _plain(number) for name, number in value.items()}
    if isinstance(value, Tensor):
        return [_plain(number) for number in value.tolist()]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
