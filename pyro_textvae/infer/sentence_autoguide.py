# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Pyro's autoguides for latents of sentences: one posterior for each sentence of a fixed set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.infer import autoguide as autoguides
from pyro.infer.autoguide import (
    AutoDelta,
    AutoDiagonalNormal,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
)
from pyro.infer.autoguide.effect import AutoMessenger
from pyro.nn import PyroModule
from pyro.poutine.indep_messenger import CondIndepStackFrame
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.distributions import transform_to
from torch.func import functional_call

from pyro_textvae.contract import DATA_PLATE
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.infer.batches import check_batches, check_text
from pyro_textvae.infer.isolation import isolated
from pyro_textvae.infer.per_datum import PerDatumELBO
from pyro_textvae.infer.plates import SitePlates
from pyro_textvae.infer.running import same_random_state, to_device
from pyro_textvae.infer.sentence_hash import sentence_hashes
from pyro_textvae.infer.simulate import fields_of
from pyro_textvae.infer.sites import latent_sites

_BY_SITE = (AutoNormal, AutoDelta)
_BY_VECTOR = (
    AutoMultivariateNormal,
    AutoDiagonalNormal,
    AutoLowRankMultivariateNormal,
    AutoLaplaceApproximation,
)


class SentenceAutoGuide(PyroModule):
    """One of Pyro's autoguides, with a posterior of its own for each sentence of a fixed set.

    Parameters have a row for each sentence, found by what the sentence says, wherever it stands in
    a batch; equal sentences share a row. Nothing is read from the text: a sentence that is not in
    the set is refused, so the set is all that is trained on and scored. Rows are saved with the
    weights of a run.

    ``AutoNormal`` and ``AutoDelta`` have a posterior for each latent site;
    ``AutoMultivariateNormal``, ``AutoDiagonalNormal``, ``AutoLowRankMultivariateNormal`` and
    ``AutoLaplaceApproximation`` one vector for all latents of a sentence, so that these depend on
    each other.

    >>> from pyro_textvae.infer import BetaELBO
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> decoder = LSTMDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=5, latent_dim=2, max_length=8
    ... )
    >>> model = SentenceVAE(prior=StandardNormal(2), decoder=decoder)
    >>> batch = {"tokens": torch.tensor([[4, 5, 2], [6, 2, 0], [7, 2, 0]])}
    >>> guide = SentenceAutoGuide(model, "AutoNormal", [batch])
    >>> bool(BetaELBO()(model, guide)(tokens=batch["tokens"][1:]) > 0)
    True
    >>> guide.num_sentences, [tuple(p.shape) for p in guide.parameters()]
    (3, [(3, 2), (3, 2)])

    :param model: what the latents are of.
    :param autoguide: the name of a class of ``pyro.infer.autoguide``, the class, or a function from
        a model to an autoguide: ``lambda model: AutoNormal(model, init_scale=0.5)``.
    :param sentences: batches of all sentences of the set. None at all where rows are to be loaded.
    :raises UserError: for another autoguide, a plate inside ``"data"``, and latents that no
        autoguide has.
    """

    def __init__(
        self,
        model: nn.Module,
        autoguide: str | Callable[[Any], nn.Module] = "AutoNormal",
        sentences: Iterable[Mapping[str, Tensor]] = (),
    ) -> None:
        super().__init__("guide")
        # Neither is a submodule: the model's parameters are not the guide's, and those of the
        # autoguide are in rows.
        self._model = (model,)
        self._autoguide: tuple[Any, ...] = ()
        self._names: dict[str, str] = {}
        self._data_dim = -1
        if isinstance(autoguide, str):
            self.autoguide = autoguide
        self._make = _maker(autoguide)
        self.register_buffer("keys", torch.zeros(0, dtype=torch.int64))
        self.example = nn.Module()
        self.posteriors = PyroModule()
        hashes: list[Tensor] = []
        check_batches(sentences)
        for batch in sentences:
            check_text(batch)
            if isinstance(model, nn.Module):
                batch = to_device(batch, model)
            fields = fields_of(model, batch)
            if not hashes:
                self._build({name: value[:1] for name, value in fields.items()})
            hashes.append(sentence_hashes(fields))
        if hashes:
            self._resize(torch.cat(hashes).unique())

    @property
    def num_sentences(self) -> int:
        """How many different sentences have a row."""
        return len(self.keys)

    @property
    def model(self) -> Any:
        """What the latents are of; its fields are the guide's."""
        return self._model[0]

    @property
    def autoguide_of_one(self) -> Any:
        """The autoguide that is given the rows of a batch.

        :raises UserError: before there are any.
        """
        if not self._autoguide:
            raise UserError(f"{type(self).__name__} has no sentences yet: give it those of the set")
        return self._autoguide[0]

    def forward(self, **fields: Tensor) -> None:
        """Draw the latents of a batch.

        :raises UserError: for a sentence that is not in the set.
        """
        fields = fields_of(self.model, fields)
        rows = self._rows(fields)
        one = self.autoguide_of_one
        one.create_plates = lambda **_: pyro.plate(DATA_PLATE, len(rows), dim=self._data_dim)
        chosen = {
            name: getattr(self.posteriors, attribute).index_select(0, rows)
            for attribute, name in self._names.items()
        }
        with _VectorsInData(len(rows)):
            functional_call(_OfOne(one), chosen, (), fields)

    def laplace_approximation(self, batches: Iterable[Mapping[str, Tensor]]) -> SentenceAutoGuide:
        """Gaussians at the points of an ``AutoLaplaceApproximation``, by the curvature there.

        :param batches: of all sentences of the set.
        :returns: the same set under ``AutoMultivariateNormal``.
        :raises ValueError: for another autoguide, and where log p(x, z) does not curve downwards.
        """
        if not isinstance(self.autoguide_of_one, AutoLaplaceApproximation):
            raise ValueError(
                f"{type(self.autoguide_of_one).__name__} has no Laplace approximation: build the "
                "guide with AutoLaplaceApproximation, and train it first"
            )
        loc = self.posteriors.loc
        precision = torch.zeros(*loc.shape, loc.shape[1], dtype=loc.dtype, device=loc.device)
        with isolated(self, self.model), torch.enable_grad():
            for batch in batches:
                bound = PerDatumELBO().terms(self.model, self, **batch).log_weights.sum()
                (slope,) = torch.autograd.grad(bound, loc, create_graph=True)
                curved = [
                    torch.autograd.grad(slope[:, j].sum(), loc, retain_graph=True)[0]
                    for j in range(loc.shape[1])
                ]
                rows, counts = self._rows(fields_of(self.model, batch)).unique(return_counts=True)
                precision[rows] = -torch.stack(curved, 1)[rows] / counts[:, None, None]
        try:
            scale_tril = torch.linalg.cholesky(precision.inverse())
        except torch.linalg.LinAlgError as error:
            raise ValueError(
                "log p(x, z) does not curve downwards at the point of a sentence: train the guide "
                "for longer, and give batches of all its sentences"
            ) from error
        scale = scale_tril.diagonal(dim1=-2, dim2=-1)
        gaussian = SentenceAutoGuide(self.model, AutoMultivariateNormal.__name__)
        gaussian._build(dict(self.example.named_buffers()))
        gaussian._resize(self.keys)
        values = {"loc": loc.detach(), "scale": scale, "scale_tril": scale_tril / scale[..., None]}
        with torch.no_grad():
            for name, value in values.items():
                constraint = getattr(AutoMultivariateNormal, f"{name}_constraint", None)
                rows = value if constraint is None else transform_to(constraint).inv(value)
                gaussian.posteriors._parameters[name].copy_(rows)  # type: ignore[union-attr]
        return gaussian

    def _rows(self, fields: Mapping[str, Tensor]) -> Tensor:
        """The place of each sentence among those of the set."""
        hashes = sentence_hashes(fields).to(self.keys.device)
        rows = torch.searchsorted(self.keys, hashes).clamp(max=max(self.num_sentences - 1, 0))
        strange = self.keys[rows] != hashes if self.num_sentences else torch.ones_like(hashes) > 0
        if strange.any():
            raise UserError(
                f"{int(strange.sum())} of the {len(rows)} sentences of a batch have no posterior: "
                f"{type(self).__name__} has those of {self.num_sentences} sentences, and reads no "
                "text; give it all sentences that are trained on or scored, or take a guide that "
                "reads them"
            )
        return rows

    def _build(self, example: Mapping[str, Tensor]) -> None:
        """Make the autoguide for one sentence, and a row of its parameters."""
        for name, value in example.items():
            self.example.register_buffer(name, value.clone())
        model = self.model
        with (
            isolated(model),
            same_random_state(),
            torch.no_grad(),
            poutine.block(),
        ):
            sites = latent_sites(poutine.trace(model).get_trace(**example))
            for name, site in sites:
                plates = SitePlates.of(name, site)
                self._data_dim = plates.data
                if plates.inner:
                    raise UserError(
                        f"latent site {name!r} is in a plate inside 'data', and an autoguide has "
                        "rows of sentences alone: write a guide of your own for it"
                    )
            one: Any = self._make(model)
            if isinstance(one, AutoMessenger):
                raise UserError(
                    f"{type(one).__name__} has rows of places in a batch: take AutoNormal, which "
                    "has the posteriors of AutoNormalMessenger, or give it to objectives as it is, "
                    f'with amortized_plates=("{DATA_PLATE}",), for one posterior of all sentences'
                )
            if not isinstance(one, _BY_SITE + _BY_VECTOR):
                raise UserError(
                    f"{type(one).__name__} has no posterior for each sentence: take one of "
                    f"{_names()}, or a guide that reads the sentence, such as "
                    "InverseAutoregressiveFlowGuide"
                )
            try:
                one._setup_prototype(**example)
            except (ValueError, NotImplementedError, RuntimeError) as error:
                reason = in_one_line(error)
                raise UserError(
                    f"{type(one).__name__} has no guide of this model: {reason}"
                ) from error
        self._autoguide = (one,)
        for name, parameter in one.named_parameters():
            row = parameter.detach()
            if isinstance(one, _BY_VECTOR):
                row = row.unsqueeze(0)
            attribute = name.removesuffix("_unconstrained").replace(".", "_")
            self._names[attribute] = f"one.{name}"
            setattr(self.posteriors, attribute, nn.Parameter(row.clone()))

    def _resize(self, keys: Tensor) -> None:
        """Give every parameter as many rows as there are keys, all like the first."""
        self.register_buffer("keys", keys)
        for attribute in self._names:
            row = self.posteriors._parameters[attribute].detach()[:1]  # type: ignore[union-attr]
            rows = row.expand(len(keys), *row.shape[1:]).clone()
            setattr(self.posteriors, attribute, nn.Parameter(rows))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        keys = state_dict.get(f"{prefix}keys")
        if keys is not None and len(keys):
            if not self._autoguide:
                of_example = f"{prefix}example."
                self._build(
                    {
                        name.removeprefix(of_example): value
                        for name, value in state_dict.items()
                        if name.startswith(of_example)
                    }
                )
            if len(keys) != self.num_sentences:
                self._resize(keys.to(self.keys.device))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class _OfOne(nn.Module):
    """Calls an autoguide whose parameters are given, past the parameter store."""

    def __init__(self, one: Any) -> None:
        super().__init__()
        self.one = one

    def forward(self, **fields: Tensor) -> None:
        """Draw the latents."""
        self.one.forward(**fields)


class _VectorsInData(Messenger):
    """Puts the vector that an autoguide draws for a sentence into the plate ``"data"``."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.frame = CondIndepStackFrame(
            name=DATA_PLATE, dim=-1, size=size, counter=0, full_size=size
        )

    def _pyro_sample(self, msg: Any) -> None:
        frames = msg["cond_indep_stack"]
        if msg["infer"].get("is_auxiliary") and DATA_PLATE not in [f.name for f in frames]:
            msg["cond_indep_stack"] = (self.frame, *frames)


def _maker(autoguide: str | Callable[[Any], nn.Module]) -> Callable[[Any], nn.Module]:
    if not isinstance(autoguide, str):
        return autoguide
    made = getattr(autoguides, autoguide, None)
    if not (isinstance(made, type) and issubclass(made, autoguides.AutoGuide | AutoMessenger)):
        raise UserError(f"pyro.infer.autoguide has no {autoguide!r}: take one of {_names()}")
    return made


def _names() -> str:
    return ", ".join(cls.__name__ for cls in _BY_SITE + _BY_VECTOR)
