# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every sentence under every value of what is summed out, as a sentence of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields

import torch
from torch import Tensor, nn

from pyro_textvae.contract import TOKENS
from pyro_textvae.evaluation.enumeration.given_values import GivenValues
from pyro_textvae.evaluation.enumeration.integrated_model import IntegratedModel
from pyro_textvae.evaluation.enumeration.row_facts import FactsOfRows, RowFacts
from pyro_textvae.evaluation.enumeration.summed_sites import SummedSites
from pyro_textvae.evaluation.sentences import in_corpus_order, sentence_key, single_sentences
from pyro_textvae.infer.batches import Fields, check_text, text_fields_of

_MOST_DRAWS = 64


class _Rows(Fields):
    """A batch of rows; ``indices`` are their places among those of the split."""

    indices: Tensor


class ValueRows:
    """Batches of rows, one for each sentence and value, and what is known of them besides.

    >>> import pyro.distributions as dist
    >>> from pyro_textvae.evaluation.enumeration.summed_sites import SummedSite
    >>> site = SummedSite("y", ("y",), dist.Bernoulli(0.5).enumerate_support())
    >>> found = SummedSites((site,), frozenset(), ())
    >>> rows = ValueRows(nn.Module(), nn.Module(), found, num_samples=1, seed=0)
    >>> rows.choices.tolist()
    [[0], [1]]

    :param found: what is summed over.
    :param num_samples, seed: of draws of other latents, where :class:`RowFacts` need some.
    """

    def __init__(
        self,
        model: nn.Module,
        guide: nn.Module,
        found: SummedSites,
        num_samples: int,
        seed: int,
    ) -> None:
        self.sites = found.sites
        given = GivenValues(model, self.sites)
        self.model = IntegratedModel(given, found.integrated) if found.integrated else given
        self.guide = GivenValues(guide, self.sites, is_guide=True)
        places = [torch.arange(len(site.values)) for site in self.sites]
        self.choices = torch.cartesian_prod(*places).reshape(-1, len(places))
        """The number of each site's value, ``(C, S)``."""
        count = min(num_samples, _MOST_DRAWS)
        self._facts_of = FactsOfRows(self.model, given, self.guide, count, seed)
        self._columns: list[dict[str, Tensor]] = []
        self._indices: list[Tensor | None] = []

    @property
    def names(self) -> str:
        """Of the sites, to be read."""
        return ", ".join(repr(site.name) for site in self.sites)

    def batches(self, batches: Iterable[Mapping[str, Tensor]]) -> Iterator[Mapping[str, Tensor]]:
        """The rows of each batch; those of a sentence are together."""
        for batch in batches:
            check_text(batch)
            rows = self._rows_of(batch)
            facts = vars(self._facts_of.of(rows))
            sentences = {"keys": self._keys(batch), "given": self._given(batch)}
            apart = {n: v.reshape(-1, len(self.choices), *v.shape[1:]) for n, v in facts.items()}
            self._columns.append(apart | sentences)
            self._indices.append(getattr(batch, "indices", None))
            yield rows

    def facts(self) -> tuple[RowFacts, Tensor, Tensor]:
        """Of all batches that were gone through, in corpus order.

        :returns: of the rows, ``(N, C)`` and ``(N, C, S)``; a number made of each sentence without
            what is given, ``(N,)``; and the number of each site's value that is given ``(N, S)``,
            -1 where none is.
        """
        names = self._columns[0]
        joined = {name: torch.cat([columns[name] for columns in self._columns]) for name in names}
        columns = in_corpus_order(joined, self._indices)
        facts = RowFacts(**{each.name: columns[each.name] for each in fields(RowFacts)})
        return facts, columns["keys"], columns["given"]

    def _rows_of(self, batch: Mapping[str, Tensor]) -> _Rows:
        count, size = len(self.choices), len(batch[TOKENS])
        columns = {name: value.repeat_interleave(count, 0) for name, value in batch.items()}
        for place, site in enumerate(self.sites):
            value = site.values.cpu()[self.choices[:, place]]
            columns[site.row_field] = value.repeat(size, *[1] * (value.dim() - 1))
            if site.field is not None:
                columns[site.field] = columns[site.row_field].to(batch[site.field])
        rows = _Rows(columns, text_fields_of(batch))
        indices = getattr(batch, "indices", None)
        if indices is not None:
            rows.indices = (indices.unsqueeze(1) * count + torch.arange(count)).flatten()
        return rows

    def _keys(self, batch: Mapping[str, Tensor]) -> Tensor:
        labels = {site.field for site in self.sites}
        return torch.tensor(
            [
                sentence_key({name: v for name, v in sentence.items() if name not in labels})
                for sentence in single_sentences(batch)
            ]
        )

    def _given(self, batch: Mapping[str, Tensor]) -> Tensor:
        columns = [torch.full((len(batch[TOKENS]),), -1) for _ in self.sites]
        for place, site in enumerate(self.sites):
            if site.field is not None:
                given = batch[site.field].cpu()
                values = site.values.cpu().to(given).reshape(len(site.values), -1)
                same = (given.reshape(len(given), 1, -1) == values).all(-1)
                columns[place] = torch.where(same.any(1), same.long().argmax(1), -1)
        return torch.stack(columns, 1)
