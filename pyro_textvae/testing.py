# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The contract of a model and a guide, as checks for any program."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.distributions.util import sum_rightmost
from pyro.infer import ELBO
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from pyro_textvae.contract import DATA_PLATE, TEXT_FIELDS, TEXT_SITE, TOKENS
from pyro_textvae.distributions.point_mass import is_point_mass
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.infer import PerDatumELBO
from pyro_textvae.infer.batches import Fields, text_fields_of
from pyro_textvae.infer.forgotten_plate import check_are_global
from pyro_textvae.infer.given_globals import given_globals
from pyro_textvae.infer.global_latents import global_sites, global_sum, is_global
from pyro_textvae.infer.isolation import isolated
from pyro_textvae.infer.loss_module import loss_module
from pyro_textvae.infer.plates import Plates, SitePlates
from pyro_textvae.infer.running import require_gradients, to_device
from pyro_textvae.infer.simulate import Condition, fields_of, simulate, size_of
from pyro_textvae.infer.sites import check_same_latents, latent_sites, random_sites
from pyro_textvae.infer.supports import share_support, support_of
from pyro_textvae.infer.terms import by_datum
from pyro_textvae.infer.unread_samples import check_samples_are_sites
from pyro_textvae.special_tokens import EOS, PAD

_SIZE = 5
_MOST_ROOM = 2
# float64 sums over a few dozen terms: anything above this is another number, not rounding.
_TOLERANCE = 1e-8


class ContractError(UserError):
    """A program breaks the contract of a model or guide; says which clause, and where."""


def check_model(model: nn.Module, *, condition: Condition = _SIZE, seed: int = 0) -> None:
    """Check a model against the contract.

    It generates text of its own on ``condition`` and scores it again: every site in the plate
    ``"data"``, other plates inside it, but for global latents, whose shape is the same for any
    number of sentences; every ``PyroSample`` is a site; the text at ``"x"``; a batch equals its
    sentences one by one, given the global latents; padding changes no score; vectorised particles
    equal a loop; every parameter has a gradient; float32 and float64 agree; weights survive saving
    and loading.

    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> decoder = LSTMDecoder(
    ...     vocab_size=9, embedding_dim=4, hidden_dim=5, latent_dim=2, max_length=8
    ... )
    >>> check_model(SentenceVAE(prior=StandardNormal(2), decoder=decoder))

    :param condition: how many sentences to generate, or, for a model that is conditioned on
        something, the batch without ``tokens`` that it generates on.
    :raises ContractError: at the first clause that does not hold.
    """
    with isolated(model), pyro.validation_enabled(True):
        pyro.set_rng_seed(seed)
        double = copy.deepcopy(model).double().eval()
        text = _generate(double, condition)
        _check_samples(double, _run(double, text.fields))
        _check_globals(double, double, list(text.shared), text.fields)
        _check_scores(double, text)
        _check_particles(double, text)
        _check_gradients(double, lambda m: _joint(m, text).sum() + _of_globals(m, text), "model")
        single = _joint(copy.deepcopy(double).float(), text.cast(torch.float32))
        _demand_close(
            _joint(double, text).float(), single, "float32 and float64 scores differ", 1e-4
        )
        _check_saving(double, lambda m: _joint(m, text), "model")


def check_guide(
    guide: nn.Module, model: nn.Module, *, condition: Condition = _SIZE, seed: int = 0
) -> None:
    """Check a guide against the contract, with a model that keeps it.

    Same latent sites as the model, with the same event shapes and supports; every site in the
    plate ``"data"`` that is there in the model; the posterior of a sentence is the same alone, in a
    batch and padded; that of a global latent is the same for all sentences; every parameter has a
    gradient; float32 and float64 agree; weights survive saving and loading.

    >>> from pyro_textvae.guides import GaussianGuide
    >>> from pyro_textvae.models import SentenceVAE
    >>> from pyro_textvae.nn import LSTMDecoder, LSTMEncoder
    >>> from pyro_textvae.priors import StandardNormal
    >>> sizes = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 5}
    >>> decoder = LSTMDecoder(**sizes, latent_dim=2, max_length=8)
    >>> guide = GaussianGuide(encoder=LSTMEncoder(**sizes), latent_dim=2)
    >>> check_guide(guide, SentenceVAE(prior=StandardNormal(2), decoder=decoder))

    :param condition: as in :func:`check_model`.
    :raises ContractError: at the first clause that does not hold.
    """
    with isolated(model, guide), pyro.validation_enabled(True):
        pyro.set_rng_seed(seed)
        program = copy.deepcopy(model).double().eval()
        double = copy.deepcopy(guide).double().eval()
        text = _generate(program, condition)
        trace = _run(double, text.fields)
        _check_sites(trace, "guide", text.size)
        _check_same_latents(_run(program, text.fields), trace)
        text = replace(text, plates=Plates.of(trace), latents={}).with_latents_of(trace)
        if not (text.latents or text.shared):
            return
        _check_globals(program, double, list(text.shared), text.fields)
        of_globals = _of_globals(double, text)
        for i in range(text.size) if text.shared else ():
            _demand_close(
                of_globals.reshape(1),
                _of_globals(double, text.row(i)).reshape(1),
                "the posterior of global latents is another for other sentences in the guide, "
                f"as of the batch against sentence {i} alone",
            )
        scores = _posterior(double, text)
        alone = torch.cat([_posterior(double, text.row(i)) for i in range(text.size)])
        _demand_close(scores, alone, "a batch is not its sentences one by one in the guide")
        padded = _posterior(double, _padded(double, replace(text, room=_MOST_ROOM)))
        _demand_close(scores, padded, "padding changes the posterior of the guide")
        _check_gradients(
            double, lambda g: _posterior(g, text).sum() + _of_globals(g, text), "guide"
        )
        single = _posterior(copy.deepcopy(double).float(), text.cast(torch.float32))
        _demand_close(scores.float(), single, "float32 and float64 posteriors differ", 1e-4)
        _check_saving(double, lambda g: _posterior(g, text), "guide")


def check_pair(
    model: nn.Module,
    guide: nn.Module,
    objective: ELBO,
    batch: Mapping[str, Tensor],
    *,
    corpus_size: int | None = None,
) -> None:
    """Run an objective once over a pair, and check that it can train: quick, before a long run.

    :param corpus_size: the sentences that all batches are from, which global latents need; by
        default what the objective was told.
    :raises ContractError: for latent sites that differ between model and guide in name, event shape
        or support, sites outside the plate ``"data"``, an objective that refuses the pair, or a
        loss without a gradient.
    """
    batch = to_device(batch, nn.ModuleList([model, guide]))
    try:
        with isolated(model, guide), torch.random.fork_rng(), pyro.validation_enabled(True):
            guide_trace = _run(guide, batch)
            with poutine.replay(trace=guide_trace):
                model_trace = _run(model, batch)
            _check_sites(model_trace, "model", len(batch[TOKENS]))
            _check_sites(guide_trace, "guide", len(batch[TOKENS]))
            _check_same_latents(model_trace, guide_trace)
            _check_globals(model, guide, [name for name, _ in global_sites(guide_trace)], batch)
            _check_samples(model, model_trace)
            _check_samples(guide, guide_trace)
            loss = loss_module(objective, model, guide, corpus_size)(**batch)
    except UserError:
        raise
    except Exception as error:
        raise ContractError(
            f"model and guide do not run on the first batch: {in_one_line(error)}"
        ) from error
    require_gradients()
    if not (isinstance(loss, Tensor) and loss.requires_grad):
        raise ContractError("the loss has no gradient: model and guide have no parameter in it")
    if TEXT_SITE not in model_trace.nodes:
        raise ContractError("the model has no sample site 'x' for the text")


@dataclass(frozen=True)
class _Text:
    """Text of a model's own, with the latents that it came from.

    fields
        The batch of it, with the condition that it was generated on.
    latents
        Their values, ``(N, *inner, *event)``.
    plates
        Those of the program that drew them.
    room
        By how much the text may be padded.
    shared
        The values of global latents, as the program has them.
    """

    fields: Fields
    latents: dict[str, Tensor]
    plates: Plates
    room: int
    shared: dict[str, Tensor]

    @property
    def tokens(self) -> Tensor:
        return self.fields[TOKENS]

    @property
    def size(self) -> int:
        return len(self.tokens)

    def with_latents_of(self, trace: poutine.Trace) -> _Text:
        """The same with other draws of the latents."""
        latents = {
            name: self.plates.sites[name].datum_first(site["value"].detach(), particles=False)
            for name, site in latent_sites(trace)
            if name != TEXT_SITE and not is_global(site)
        }
        shared = {name: site["value"].detach() for name, site in global_sites(trace)}
        return replace(self, latents=latents, shared=shared)

    def in_program(self) -> dict[str, Tensor]:
        """The latents as the program has them."""
        return {
            name: self.plates.sites[name].as_in_program(z, self.plates.nesting, particles=False)
            for name, z in self.latents.items()
        }

    def with_fields(self, **fields: Tensor) -> _Text:
        return replace(self, fields=Fields(self.fields | fields, self.fields.text_fields))

    def row(self, i: int) -> _Text:
        """One of the sentences."""
        latents = {name: z[i : i + 1] for name, z in self.latents.items()}
        text = self.with_fields(**{name: v[i : i + 1] for name, v in self.fields.items()})
        return replace(text, latents=latents)

    def cast(self, dtype: torch.dtype) -> _Text:
        """With latents and other floating-point numbers in another precision."""
        text = self.with_fields(**_cast(self.fields, dtype))
        return replace(text, latents=_cast(self.latents, dtype), shared=_cast(self.shared, dtype))


def _run(program: nn.Module, fields: Mapping[str, Tensor]) -> poutine.Trace:
    return poutine.trace(program).get_trace(**fields_of(program, fields))


def _generate(model: nn.Module, condition: Condition) -> _Text:
    """Sentences of the model's own, with room for padding, and the latents they came from."""
    given: dict[str, Tensor] = {}
    text_fields: tuple[str, ...] = TEXT_FIELDS
    if not isinstance(condition, int):
        text_fields = text_fields_of(condition)
        given = {n: value for n, value in condition.items() if n != TOKENS}
        given = _cast(to_device(given, model), torch.float64)
        condition = given
    size = size_of(condition)
    with torch.no_grad():
        trace = simulate(model, condition)
    nodes: Any = trace.nodes
    if TEXT_SITE not in nodes:
        raise ContractError("the model has no sample site 'x' for the text")
    _check_sites(trace, "model", size)
    plates = Plates.of(trace)
    x = plates.sites[TEXT_SITE].datum_first(nodes[TEXT_SITE]["value"], particles=False)
    if x.dtype != torch.long or x.dim() < 2 or len(x) != size:
        raise ContractError(f"site 'x' must be int64 (N, T), got {x.dtype} {tuple(x.shape)}")
    tokens = x[..., : max(1, x.shape[-1] - _MOST_ROOM)].clone()
    unended = ~(tokens == EOS).any(-1)
    tokens[unended, -1] = EOS
    fields = Fields({TOKENS: tokens, **given}, text_fields)
    return _Text(fields, {}, plates, x.shape[-1] - tokens.shape[-1], {}).with_latents_of(trace)


def _joint(model: nn.Module, text: _Text) -> Tensor:
    """log p(x, z) of each sentence at given latents, ``(N,)``."""
    with given_globals([model], text.shared), poutine.condition(data=text.in_program()):
        return _sum_sites(_run(model, text.fields), text.size)


def _of_globals(program: nn.Module, text: _Text) -> Tensor:
    """log p or log q of the global latents at given values, no dimension."""
    if not text.shared:
        return torch.zeros(())
    with poutine.condition(data=text.shared):
        trace = _run(program, text.fields)
    sites: list[Any] = [trace.nodes[name] for name in text.shared]
    return torch.stack(
        [
            # A point has no density, but it has a place.
            s["fn"].mean.sum()
            if is_point_mass(s["fn"])
            else global_sum(s, s["fn"].log_prob(s["value"]))
            for s in sites
        ]
    ).sum()


def _posterior(guide: nn.Module, text: _Text) -> Tensor:
    """log q(z | x) of each sentence at given latents, ``(N,)``; of a point, its coordinates' sum.

    A point has no density, but it has a place.
    """
    with given_globals([guide], text.shared), poutine.condition(data=text.in_program()):
        trace = _run(guide, text.fields)
    points = [(name, site) for name, site in random_sites(trace) if is_point_mass(site["fn"])]
    for name, _ in points:
        trace.remove_node(name)
    places = [
        by_datum(name, site, sum_rightmost(site["fn"].mean, site["fn"].event_dim)).squeeze(0)
        for name, site in points
    ]
    return _sum_sites(trace, text.size, places)


def _sum_sites(trace: poutine.Trace, size: int, others: Sequence[Tensor] = ()) -> Tensor:
    trace.compute_log_prob()
    parts = [by_datum(name, s, s["log_prob"]).squeeze(0) for name, s in random_sites(trace)]
    if not (parts or others):
        return torch.zeros(size)
    return torch.stack([*(part.expand(size) for part in parts), *others]).sum(0)


def _check_sites(trace: poutine.Trace, what: str, size: int) -> None:
    sites = random_sites(trace)
    outside = [
        (name, site)
        for name, site in sites
        if not any(f.name == DATA_PLATE and f.vectorized for f in site["cond_indep_stack"])
    ]
    if not all(is_global(site) for _, site in outside):
        # Where the text is outside too, the plate was forgotten.
        raise ContractError(
            f"{what} site {outside[0][0]!r} is outside the plate 'data': open it with "
            'pyro.plate("data", n) around every sample statement'
        )
    for name, site in sites:
        frames = {frame.name: frame for frame in site["cond_indep_stack"]}
        if DATA_PLATE in frames and frames[DATA_PLATE].size != size:
            raise ContractError(
                f"the plate 'data' of {what} site {name!r} has size {frames[DATA_PLATE].size} for "
                f"{size} sentences"
            )


def _check_same_latents(model_trace: poutine.Trace, guide_trace: poutine.Trace) -> None:
    try:
        check_same_latents(model_trace, guide_trace)
    except ValueError as error:
        raise ContractError(str(error)) from error
    in_model, in_guide = dict(latent_sites(model_trace)), dict(latent_sites(guide_trace))
    for name, site in in_model.items():
        prior, posterior = site["fn"], in_guide[name]["fn"]
        if prior.event_shape != posterior.event_shape:
            raise ContractError(
                f"latent site {name!r} has event shape {tuple(prior.event_shape)} in the model and "
                f"{tuple(posterior.event_shape)} in the guide"
            )
        if is_global(site) or is_global(in_guide[name]):
            alike = is_global(site) and is_global(in_guide[name])
            alike &= prior.batch_shape == posterior.batch_shape
        else:
            alike = SitePlates.of(name, site) == SitePlates.of(name, in_guide[name])
        if not alike:
            raise ContractError(
                f"latent site {name!r} is in other plates, or at other dimensions of them, in the "
                "model than in the guide: open the same plates around it in both"
            )
        if not share_support(prior, posterior):
            raise ContractError(
                f"latent site {name!r} has support {support_of(prior)} in the model and "
                f"{support_of(posterior)} in the guide, so one draws where the other has no "
                "density: pair a prior and a guide of one support, such as --prior uniform_sphere "
                "with --guide power_spherical, or --prior standard_normal with --guide gaussian"
            )


def _check_globals(
    model: nn.Module, guide: nn.Module, names: Sequence[str], fields: Mapping[str, Tensor]
) -> None:
    if not names:
        return
    try:
        check_are_global(model, guide, names, (), fields)
    except ValueError as error:
        raise ContractError(str(error)) from error


def _check_samples(program: nn.Module, trace: poutine.Trace) -> None:
    try:
        check_samples_are_sites(program, trace)
    except ValueError as error:
        raise ContractError(str(error)) from error


def _check_scores(model: nn.Module, text: _Text) -> None:
    scores = _joint(model, text)
    if not scores.isfinite().all():
        raise ContractError(f"the score of a sentence of the model's own is {scores.tolist()}")
    alone = torch.cat([_joint(model, text.row(i)) for i in range(text.size)])
    _demand_close(scores, alone, "a batch is not its sentences one by one in the model")
    padded = _joint(model, _padded(model, text))
    _demand_close(scores, padded, "padding changes scores of the model")


def _check_particles(model: nn.Module, text: _Text) -> None:
    with given_globals([model], text.shared):
        _compare_particles(model, text)


def _compare_particles(model: nn.Module, text: _Text) -> None:
    names = [name for name, _ in latent_sites(_run(model, text.fields))]
    drawn: list[dict[str, Tensor]] = []

    def guide(**batch: Tensor) -> None:
        with poutine.trace() as recorded, poutine.block(expose=names):
            model(**fields_of(model, batch))
        drawn.append({name: site["value"] for name, site in latent_sites(recorded.trace)})

    terms = PerDatumELBO(3).terms(model, guide, **text.fields)  # type: ignore[arg-type]
    if terms.log_likelihood.shape != (3, text.size):
        raise ContractError(
            f"with 3 vectorised particles site 'x' has log-probabilities of shape "
            f"{tuple(terms.log_likelihood.shape)}, not (3, {text.size}): keep shapes agnostic to "
            "dimensions on the left"
        )
    for particle in range(3):
        latents = {
            name: text.plates.datum_first(name, value)[particle]
            for name, value in drawn[-1].items()
        }
        with poutine.condition(data=replace(text, latents=latents).in_program()):
            trace = _run(model, text.fields)
        for name in names:
            trace.remove_node(name)
        observed = _sum_sites(trace, text.size)
        _demand_close(terms.log_likelihood[particle], observed, "particles differ from a loop")


def _check_gradients(module: nn.Module, total: Callable[[nn.Module], Tensor], what: str) -> None:
    module.zero_grad()
    if any(parameter.requires_grad for parameter in module.parameters()):
        total(module).backward()
    for name, parameter in module.named_parameters():
        if parameter.grad is None or not parameter.grad.abs().sum() > 0:
            raise ContractError(f"parameter {name!r} of the {what} gets no gradient")
    module.zero_grad()


def _check_saving(module: nn.Module, score: Callable[[nn.Module], Tensor], what: str) -> None:
    loaded = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.add_(0.1)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.safetensors")
        save_model(module, path)
        load_model(loaded, path)
    _demand_close(score(module), score(loaded), f"saving and loading changes the {what}", 0.0)


def _padded(program: nn.Module, text: _Text) -> _Text:
    """The same with more padding in all fields of text: of rows, and of the rows of a datum."""
    wider = {
        name: _with_padding(value, text.room if name == TOKENS else _MOST_ROOM)
        for name, value in text.fields.items()
        if name in text.fields.text_fields
    }
    padded = text.with_fields(**wider)
    if text.tokens.dim() == 2:
        return padded
    with torch.no_grad(), given_globals([program], text.shared):
        drawn = padded.with_latents_of(_run(program, padded.fields)).latents
    latents = {name: _with_last_repeated(z, drawn[name].shape) for name, z in text.latents.items()}
    return replace(padded, latents=latents)


def _with_padding(ids: Tensor, room: int) -> Tensor:
    between = [0, 1] * (ids.dim() - 2)
    return torch.nn.functional.pad(ids, (0, room, *between), value=PAD)


def _with_last_repeated(z: Tensor, shape: torch.Size) -> Tensor:
    """Whatever a program has for a row of padding, it is in the support of the latent."""
    for dim, size in enumerate(shape):
        z = z.index_select(dim, torch.arange(size).clamp(max=z.shape[dim] - 1))
    return z


def _cast(values: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: z.to(dtype) if z.is_floating_point() else z for name, z in values.items()}


def _demand_close(
    expected: Tensor, actual: Tensor, what: str, relative: float = _TOLERANCE
) -> None:
    expected, actual = expected.detach(), actual.detach()
    error = (expected - actual).abs()
    worst = int((error - relative * expected.abs().clamp(min=1.0)).argmax())
    if error[worst] > relative * max(1.0, float(expected[worst].abs())):
        raise ContractError(
            f"{what}: {float(expected[worst]):.10g} against {float(actual[worst]):.10g} for "
            f"sentence {worst}"
        )
