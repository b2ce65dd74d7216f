# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Each of two texts given the other, in a model that draws both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pyro_textvae.contract import SOURCE, SOURCE_ALONE, TEXT_ALONE, TEXT_PROPOSAL, TOKENS
from pyro_textvae.data import Batch
from pyro_textvae.displayed import Displayed
from pyro_textvae.evaluation.importance.result import LogLikelihood
from pyro_textvae.evaluation.likelihood import log_likelihood
from pyro_textvae.evaluation.proposals import GuideProposal

Batches = Iterable[Mapping[str, Tensor]]


@dataclass(frozen=True, repr=False)
class PairLikelihood(Displayed):
    r"""log p(x, s), log p(s) and log p(x) of pairs, and what follows of each given the other.

    .. math::
        \log p(x \mid s) = \log p(x, s) - \log p(s), \qquad
        \log p(s \mid x) = \log p(x, s) - \log p(x)

    Each of the three is estimated by draws of its own. An estimate of a log-likelihood is below it
    in expectation, so a difference of two is on **neither** side of the truth for sure: raise the
    draws until all three are settled. Its Monte Carlo error is that of both.

    :param joint: of text and source together.
    :param source: of the source alone.
    :param text: of the text alone; None where the model does not say how it is drawn alone.
    """

    joint: LogLikelihood
    source: LogLikelihood
    text: LogLikelihood | None

    @classmethod
    def of(
        cls,
        joint: LogLikelihood,
        model: nn.Module,
        guide: nn.Module,
        batches: Callable[[], Batches],
        **settings: Any,
    ) -> PairLikelihood | None:
        """None where model and guide do not say how the source alone is drawn.

        :param joint: the likelihood of the same batches.
        :param settings: of :func:`~pyro_textvae.evaluation.log_likelihood`. Of a source that is
            made of its text, a latent of which no proposal but the guide knows anything, the draws
            are the guide's.
        """

        def alone(method: str, field: str, **others: Any) -> LogLikelihood | None:
            if not (hasattr(model, method) and hasattr(guide, method)):
                return None
            model_alone, guide_alone = (getattr(each, method)() for each in (model, guide))
            rows = _OneField(batches, field)
            return log_likelihood(model_alone, guide_alone, rows, **settings | others)

        of_source = {"proposal": GuideProposal()} if hasattr(model, TEXT_PROPOSAL) else {}
        source = alone(SOURCE_ALONE, SOURCE, **of_source)
        return None if source is None else cls(joint, source, alone(TEXT_ALONE, TOKENS))

    @property
    def log_px_given_source(self) -> Tensor:
        """log p(x | s) of each pair ``(N,)``, in the order of the corpus."""
        return self.joint.log_px - self.source.log_px

    def to_dict(self) -> dict[str, Any]:
        """Nats per pair, with Monte Carlo errors, for ``evaluation.json``."""
        values = {
            "nll_source": self.source.nll,
            "nll_source_standard_error": self.source.nll_standard_error,
            "nll_given_source": self.joint.nll_joint - self.source.nll,
            "nll_given_source_standard_error": _together(self.joint, self.source),
        }
        if self.text is not None:
            values |= {
                "nll_text": self.text.nll,
                "nll_text_standard_error": self.text.nll_standard_error,
                "nll_source_given_text": self.joint.nll_joint - self.text.nll,
                "nll_source_given_text_standard_error": _together(self.joint, self.text),
            }
        return values


@dataclass(frozen=True)
class _OneField:
    """Batches of one field as the text, in their place in the corpus."""

    batches: Callable[[], Batches]
    field: str

    def __iter__(self) -> Iterator[Mapping[str, Tensor]]:
        for batch in self.batches():
            fields = {TOKENS: batch[self.field]}
            indices = getattr(batch, "indices", None)
            yield fields if indices is None else Batch(fields, indices)


def _together(first: LogLikelihood, second: LogLikelihood) -> float:
    error: float = (first.nll_standard_error**2 + second.nll_standard_error**2) ** 0.5
    return error
