# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Annealing paths for sentences of any lengths, some at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pyro_textvae.contract import TOKENS
from pyro_textvae.evaluation.annealing.path import (
    AnnealedEstimate,
    AnnealingPath,
    AnnealingSettings,
)
from pyro_textvae.evaluation.importance.posteriors import Posteriors
from pyro_textvae.evaluation.importance.target import Target
from pyro_textvae.evaluation.proposals import AnnealedProposal
from pyro_textvae.evaluation.sentences import batch_of, seed_of
from pyro_textvae.infer.running import evaluation_mode
from pyro_textvae.progress_bar import progress_bar

if TYPE_CHECKING:
    from tqdm import tqdm

_SENTENCES_AT_ONCE = 16
# Chains that come back from the posterior hardly ever cross to where the guide or the prior alone
# has its mass: a share of theirs in the start is a gap of as much between the bounds.
_START: dict[str, Any] = {"pilot_particles": 64, "guide_share": 0.01, "prior_share": 0.01}


class AnnealedSentences:
    """Runs the guide on sentences of similar length together, and makes their annealing paths.

    :param sentences: the keywords of a call of the model for each, the first dimension being 1.
    :param max_tokens: see :class:`~pyro_textvae.evaluation.importance.target.Target`.
    """

    def __init__(
        self,
        model: nn.Module,
        guide: nn.Module,
        sentences: Sequence[Mapping[str, Tensor]],
        settings: AnnealingSettings,
        *,
        seed: int,
        max_tokens: int,
    ) -> None:
        self.settings = settings
        self.evaluations = 0
        """Decoder evaluations of all finished paths, a gradient counted as three."""
        self._model = model
        self._guide = guide
        self._sentences = sentences
        self._seed = seed
        self._max_tokens = max_tokens

    def progress_bar(self, title: str, *, shown: bool) -> tqdm[Any]:
        """A bar over the transitions of all sentences, in both directions."""
        return progress_bar(
            total=len(self._sentences) * 2 * self.settings.transitions,
            shown=shown,
            desc=title,
        )

    def paths(self, bar: tqdm[Any]) -> Iterator[tuple[Tensor, AnnealingPath]]:
        """Places of some sentences ``(N,)``, and their path; all sentences in turn.

        :raises ValueError: for a model without a latent, or a pair that annealing cannot start for.
        """
        proposal = AnnealedProposal(leapfrog_steps=self.settings.leapfrog_steps, **_START)
        lengths = torch.tensor([sentence[TOKENS].numel() for sentence in self._sentences])
        for part, rows in enumerate(lengths.argsort(stable=True).split(_SENTENCES_AT_ONCE)):
            batch = batch_of([self._sentences[row] for row in rows.tolist()])
            seed = seed_of(self._seed, part) % 2**31
            with evaluation_mode(self._model, self._guide, seed):
                posteriors = Posteriors(self._model, self._guide, batch, seed)
                if not posteriors.names:
                    raise ValueError(
                        "annealing needs a latent, and the model has none: its likelihood is "
                        "exact; leave this check out"
                    )
                target = Target(
                    self._model, batch, max_tokens=self._max_tokens, plates=posteriors.plates
                )
                sampler = proposal.start(target, posteriors, self.settings.num_chains)
            # Two sentences that are equal have chains of their own.
            seeds = [seed_of(self._seed, "chains", place) for place in rows.tolist()]
            yield rows, AnnealingPath(sampler, self.settings, seeds=seeds, advance=bar.update)
            self.evaluations += target.evaluations


def in_order(parts: Sequence[tuple[Tensor, AnnealedEstimate]]) -> AnnealedEstimate:
    """The estimates of all sentences, by place, without the latents where their chains ended."""
    order = torch.cat([rows for rows, _ in parts]).argsort()
    return AnnealedEstimate(
        log_weights=torch.cat([estimate.log_weights for _, estimate in parts], 1)[:, order],
        acceptance=torch.cat([estimate.acceptance for _, estimate in parts])[order],
        is_upper_bound=parts[0][1].is_upper_bound,
    )
