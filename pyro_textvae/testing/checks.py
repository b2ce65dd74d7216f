# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The contract of a model and a guide, as checks for any program."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.distributions.util import sum_rightmost
from pyro.infer import ELBO
from pyro.poutine.infer_config_messenger import InferConfigMessenger
from torch import Tensor, nn

from pyro_textvae.contract import DATA_PLATE, TEXT_FIELDS, TEXT_SITE, TOKENS
from pyro_textvae.distributions.point_mass import is_point_mass
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.infer import PerDatumELBO
from pyro_textvae.infer.auxiliary_sites import at_latents, trace_guide
from pyro_textvae.infer.batches import Fields, text_fields_of
from pyro_textvae.infer.forgotten_plate import check_are_global
from pyro_textvae.infer.function_program import FunctionProgram, as_program
from pyro_textvae.infer.given_globals import given_globals
from pyro_textvae.infer.global_latents import global_sites, global_sum, is_global
from pyro_textvae.infer.isolation import isolated
from pyro_textvae.infer.loss_module import loss_module
from pyro_textvae.infer.masked_text import without_masked
from pyro_textvae.infer.param_statements import check_statements, check_traced_statements
from pyro_textvae.infer.plates import Plates, SitePlates
from pyro_textvae.infer.running import require_gradients, to_device
from pyro_textvae.infer.simulate import Condition, fields_of, simulate, size_of
from pyro_textvae.infer.sites import check_same_latents, latent_sites, random_sites
from pyro_textvae.infer.supports import share_support, support_of
from pyro_textvae.infer.terms import by_datum
from pyro_textvae.infer.unread_samples import check_samples_are_sites
from pyro_textvae.special_tokens import EOS, PAD
from pyro_textvae.testing.demands import ContractError, demand_close
from pyro_textvae.testing.precision import explained
from pyro_textvae.testing.text import MOST_ROOM, Text, cast, padded_text, run_program, with_padding
from pyro_textvae.testing.weights import check_gradients, check_saving
from pyro_textvae.testing.word_by_word import check_generation

_SIZE = 5


def check_model(model: nn.Module, *, condition: Condition = _SIZE, seed: int = 0) -> None:
    """Check a model against the contract.

    It generates text of its own on ``condition`` and scores it again: every site in the plate
    ``"data"``, other plates inside it, but for global latents, whose shape is the same for any
    number of sentences; every ``PyroSample`` is a site; the text at ``"x"``; a batch equals its
    sentences one by one, given the global latents, in its sites and in its scores; padding changes
    no score; what is generated word by word has the probability that it is scored by; vectorised
    particles equal a loop; every parameter has a gradient; float32 and float64 agree, with no
    constant of another precision; weights survive saving and loading.

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
    model = _to_be_copied(model)
    with isolated(model), pyro.validation_enabled(True):
        pyro.set_rng_seed(seed)
        double = copy.deepcopy(model).double().eval()
        text = _generate(double, condition)
        run = explained("the model", double, lambda: run_program(double, text.fields))
        _check_samples(double, run)
        _check_globals(double, double, list(text.shared), text.fields)
        trace = _at_latents(double, text, "the model")
        text = replace(text, sites=_names(trace))
        _check_scores(double, text)
        check_generation(trace)
        _check_particles(double, text)
        check_gradients(double, lambda m: _joint(m, text).sum() + _of_globals(m, text), "model")
        single = _joint(copy.deepcopy(double).float(), text.cast(torch.float32))
        demand_close(
            _joint(double, text).float(), single, "float32 and float64 scores differ", 1e-4
        )
        check_saving(double, lambda m: _joint(m, text), "model")


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
    model, guide = _to_be_copied(model), _to_be_copied(guide)
    with isolated(model, guide), pyro.validation_enabled(True):
        pyro.set_rng_seed(seed)
        program = copy.deepcopy(model).double().eval()
        double = copy.deepcopy(guide).double().eval()
        text = _generate(program, condition)
        trace = explained("the guide", double, lambda: _run_guide(double, text.fields))
        _check_sites(trace, "guide", text.size)
        _check_same_latents(run_program(program, text.fields), trace)
        text = replace(text, plates=Plates.of(trace), latents={}, sites=_names(trace))
        text = text.with_latents_of(trace)
        if not (text.latents or text.shared):
            return
        _check_globals(program, double, list(text.shared), text.fields)
        of_globals = _of_globals(double, text)
        for i in range(text.size) if text.shared else ():
            demand_close(
                of_globals.reshape(1),
                _of_globals(double, text.row(i)).reshape(1),
                "the posterior of global latents is another for other sentences in the guide, "
                f"as of the batch against sentence {i} alone",
            )
        scores = _posterior(double, text)
        alone = torch.cat([_posterior(double, text.row(i)) for i in range(text.size)])
        demand_close(scores, alone, "a batch is not its sentences one by one in the guide")
        padded = _posterior(double, padded_text(double, replace(text, room=MOST_ROOM)))
        demand_close(scores, padded, "padding changes the posterior of the guide")
        _check_without_padding(double, text, scores, _posterior, "the posterior of the guide")
        check_gradients(double, lambda g: _posterior(g, text).sum() + _of_globals(g, text), "guide")
        single = _posterior(copy.deepcopy(double).float(), text.cast(torch.float32))
        demand_close(scores.float(), single, "float32 and float64 posteriors differ", 1e-4)
        check_saving(double, lambda g: _posterior(g, text), "guide")


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
    model, guide = as_program(model), as_program(guide)
    batch = to_device(batch, nn.ModuleList([model, guide]))
    try:
        with isolated(model, guide), torch.random.fork_rng(), pyro.validation_enabled(True):
            guide_trace = _run_guide(guide, batch)
            with poutine.replay(trace=guide_trace):
                model_trace = run_program(model, batch)
            _check_sites(model_trace, "model", len(batch[TOKENS]))
            _check_sites(guide_trace, "guide", len(batch[TOKENS]))
            _check_same_latents(model_trace, guide_trace)
            check_traced_statements({guide: guide_trace, model: model_trace})
            _check_same_in_wider(guide, batch, guide_trace)
            _check_globals(model, guide, [name for name, _ in global_sites(guide_trace)], batch)
            _check_samples(model, model_trace)
            _check_samples(guide, guide_trace)
            loss = loss_module(objective, model, guide, corpus_size)(**batch)
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, NotImplementedError):
            # Pyro has no statements in modules whose parameters are their own.
            check_statements(model, guide, batch)
        raise ContractError(
            f"model and guide do not run on the first batch: {in_one_line(error)}"
        ) from error
    require_gradients()
    if not (isinstance(loss, Tensor) and loss.requires_grad):
        raise ContractError("the loss has no gradient: model and guide have no parameter in it")
    if TEXT_SITE not in model_trace.nodes:
        raise ContractError("the model has no sample site 'x' for the text")


def _to_be_copied(program: Any) -> nn.Module:
    """A program as a module, whose copies have networks of their own."""
    program = as_program(program)
    if isinstance(program, FunctionProgram) and len(program.networks):
        name, network = program.__name__, next(iter(program.networks))
        raise UserError(
            f"{name} refers to the network {network!r} by name, and copies of {name} are checked: "
            f"make it an argument, and give FunctionProgram({name}, {{{network!r}: {network}}}) of "
            "pyro_textvae.infer"
        )
    return program


def _run_guide(guide: nn.Module, fields: Mapping[str, Tensor]) -> poutine.Trace:
    return trace_guide(guide, **fields_of(guide, fields))


def _generate(model: nn.Module, condition: Condition) -> Text:
    """Sentences of the model's own, with room for padding, and the latents they came from."""
    given: dict[str, Tensor] = {}
    text_fields: tuple[str, ...] = TEXT_FIELDS
    if not isinstance(condition, int):
        text_fields = text_fields_of(condition)
        given = {n: value for n, value in condition.items() if n != TOKENS}
        given = cast(to_device(given, model), torch.float64)
        condition = given
    size = size_of(condition)
    with torch.no_grad():
        trace = explained("the model", model, lambda: simulate(model, condition))
    nodes: Any = trace.nodes
    if TEXT_SITE not in nodes:
        raise ContractError("the model has no sample site 'x' for the text")
    _check_sites(trace, "model", size)
    plates = Plates.of(trace)
    site = nodes[TEXT_SITE]
    x = SitePlates.of(TEXT_SITE, site).datum_first(without_masked(site), particles=False)
    if x.dtype != torch.long or x.dim() < 2 or len(x) != size:
        raise ContractError(f"site 'x' must be int64 (N, T), got {x.dtype} {tuple(x.shape)}")
    tokens = x[..., : max(1, x.shape[-1] - MOST_ROOM)].clone()
    unended = (tokens != PAD).any(-1) & ~(tokens == EOS).any(-1)
    tokens[unended, -1] = EOS
    fields = Fields({TOKENS: tokens, **given}, text_fields)
    return Text(fields, {}, plates, x.shape[-1] - tokens.shape[-1], {}).with_latents_of(trace)


def _at_latents(
    program: nn.Module, text: Text, what: str, *, is_guide: bool = False
) -> poutine.Trace:
    """The trace of a program on the text, scored at the text's latents.

    :raises ContractError: where it has other sites than on the whole batch.
    """

    def run() -> poutine.Trace:
        latents = text.in_program()
        if is_guide:
            latents = at_latents(_run_guide(program, text.fields), latents)
        with given_globals([program], text.shared), poutine.condition(data=latents):
            trace = (_run_guide if is_guide else run_program)(program, text.fields)
        trace.compute_log_prob()
        return trace

    trace = explained(what, program, run)
    names = _names(trace)
    for name in sorted(names ^ (text.sites or names)):
        places = ["the whole batch", f"tokens of shape {tuple(text.tokens.shape)} of its sentences"]
        if name in names:
            places.reverse()
        raise ContractError(
            f"{what} has the site {name!r} on {places[0]} and not on {places[1]}: let every batch "
            "have the same sites, and mask what a sentence does not have with poutine.mask or "
            "obs_mask"
        )
    return trace


def _names(trace: poutine.Trace) -> frozenset[str]:
    return frozenset(name for name, site in random_sites(trace) if not is_global(site))


def _joint(model: nn.Module, text: Text) -> Tensor:
    """log p(x, z) of each sentence at given latents, ``(N,)``."""
    return _sum_sites(_at_latents(model, text, "the model"), text.size)


def _of_globals(program: nn.Module, text: Text) -> Tensor:
    """log p or log q of the global latents at given values, no dimension."""
    if not text.shared:
        return torch.zeros(())
    with poutine.condition(data=text.shared):
        trace = run_program(program, text.fields)
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


def _posterior(guide: nn.Module, text: Text) -> Tensor:
    """log q(z | x) of each sentence at given latents, ``(N,)``; of a point, its coordinates' sum.

    A point has no density, but it has a place.
    """
    trace = _at_latents(guide, text, "the guide", is_guide=True)
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
        check_same_latents(model_trace, guide_trace, sums_out=True)
    except ValueError as error:
        raise ContractError(str(error)) from error
    in_model, in_guide = dict(latent_sites(model_trace)), dict(latent_sites(guide_trace))
    for name, site in in_model.items():
        if name not in in_guide:  # It is summed out.
            continue
        prior, posterior = site["fn"], in_guide[name]["fn"]
        if prior.event_shape != posterior.event_shape:
            raise ContractError(
                f"latent site {name!r} has event shape {tuple(prior.event_shape)} in the model and "
                f"{tuple(posterior.event_shape)} in the guide"
            )
        if is_global(site) or is_global(in_guide[name]):
            alike = is_global(site) == is_global(in_guide[name])
            alike = alike and prior.batch_shape == posterior.batch_shape
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


def _check_same_in_wider(
    guide: nn.Module, batch: Mapping[str, Tensor], trace: poutine.Trace
) -> None:
    """Check that the latents are the same where the text has one more place of padding."""
    wider = {
        name: with_padding(value, 1) if name == TOKENS and not value.is_floating_point() else value
        for name, value in batch.items()
    }
    try:
        trace_of_wider = _run_guide(guide, wider)
    except Exception:
        return  # Of more places than it has positions for, say: there are no latents to compare.
    names, in_wider = ([name for name, _ in latent_sites(each)] for each in (trace, trace_of_wider))
    if names != in_wider:
        raise ContractError(
            f"the latent sites are {', '.join(names) or 'none'} in a batch, and "
            f"{', '.join(in_wider) or 'none'} in one that is wider by one place of padding: their "
            "number must not depend on the width of a batch; draw them at one site, in a plate "
            'inside "data" with a mask, or as one latent for the whole sentence'
        )


def _check_scores(model: nn.Module, text: Text) -> None:
    scores = _joint(model, text)
    if not scores.isfinite().all():
        raise ContractError(f"the score of a sentence of the model's own is {scores.tolist()}")
    alone = torch.cat([_joint(model, text.row(i)) for i in range(text.size)])
    demand_close(scores, alone, "a batch is not its sentences one by one in the model")
    padded = _joint(model, padded_text(model, text))
    demand_close(scores, padded, "padding changes scores of the model")
    _check_without_padding(model, text, scores, _joint, "scores of the model")


def _check_without_padding(
    program: nn.Module,
    text: Text,
    scores: Tensor,
    score: Callable[[nn.Module, Text], Tensor],
    what: str,
) -> None:
    if text.tokens.dim() > 2:
        return
    rows = [text.row(i).without_padding() for i in range(text.size)]
    demand_close(
        scores, torch.cat([score(program, row) for row in rows]), f"padding changes {what}"
    )


def _check_particles(model: nn.Module, text: Text) -> None:
    with given_globals([model], text.shared):
        _compare_particles(model, text)


def _unmarked(site: Any) -> Any:
    """What ``infer`` of a site that is not to be summed over has."""
    return {"enumerate": None}


def _compare_particles(model: nn.Module, text: Text) -> None:
    names = [name for name, _ in latent_sites(run_program(model, text.fields))]
    drawn: list[dict[str, Tensor]] = []

    def guide(**batch: Tensor) -> None:
        # Particles are draws, of what would be summed over too.
        with (
            poutine.trace() as recorded,
            poutine.block(expose=names),
            InferConfigMessenger(_unmarked),
        ):
            model(**fields_of(model, batch))
        drawn.append({name: site["value"] for name, site in latent_sites(recorded.trace)})

    terms = explained(
        "the model with 3 vectorised particles",
        model,
        lambda: PerDatumELBO(3).terms(model, guide, **text.fields),  # type: ignore[arg-type]
        ": keep shapes agnostic to dimensions on the left",
    )
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
            trace = run_program(model, text.fields)
        for name in names:
            trace.remove_node(name)
        observed = _sum_sites(trace, text.size)
        demand_close(terms.log_likelihood[particle], observed, "particles differ from a loop")
