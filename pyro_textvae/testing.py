# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The contract of a model and a guide, as checks that any program can be put to."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.infer import ELBO
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from pyro_textvae.contract import DATA_PLATE, TEXT_SITE, TOKENS
from pyro_textvae.distributions.point_mass import is_point_mass
from pyro_textvae.errors import UserError, in_one_line
from pyro_textvae.infer import PerDatumELBO
from pyro_textvae.infer.simulate import simulate
from pyro_textvae.infer.sites import latent_sites, random_sites
from pyro_textvae.infer.supports import share_support, support_of
from pyro_textvae.special_tokens import EOS, PAD

_SIZE = 5
# float64 sums over a few dozen terms: anything above this is another number, not rounding.
_TOLERANCE = 1e-8


class ContractError(UserError):
    """A program breaks the contract of a model or guide; says which clause, and where."""


def check_model(model: nn.Module, *, seed: int = 0) -> None:
    """Put a model to the contract.

    It generates sentences of its own (``model(size=n)``) and scores them again: every site in the
    one plate ``"data"``; the text at ``"x"``; a batch equals its sentences one by one; padding
    changes no score; vectorised particles equal a loop; every parameter has a gradient; float32
    and float64 agree; weights survive saving and loading.

    :raises ContractError: at the first clause that does not hold.
    """
    with pyro.validation_enabled(True):
        pyro.set_rng_seed(seed)
        double = copy.deepcopy(model).double().eval()
        tokens, latents = _generate(double)
        generated: Any = simulate(double, _SIZE)
        _check_sites(generated, "model", len(tokens))
        width = generated.nodes[TEXT_SITE]["value"].shape[1]
        _check_scores(double, tokens, latents, width)
        _check_particles(double, tokens)
        _check_gradients(double, lambda m: _joint(m, tokens, latents).sum(), "model")
        scores = _joint(double, tokens, latents)
        single = _joint(copy.deepcopy(double).float(), tokens, _cast(latents, torch.float32))
        _demand_close(scores.float(), single, "float32 and float64 scores differ", 1e-4)
        _check_saving(double, lambda m: _joint(m, tokens, latents), "model")


def check_guide(guide: nn.Module, model: nn.Module, *, seed: int = 0) -> None:
    """Put a guide to the contract, beside a model that keeps it.

    Same latent sites as the model, with the same event shapes and supports; every site in the
    plate ``"data"``; the posterior of a sentence is the same alone, in a batch and padded; every
    parameter has a gradient; float32 and float64 agree; weights survive saving and loading.

    :raises ContractError: at the first clause that does not hold.
    """
    with pyro.validation_enabled(True):
        pyro.set_rng_seed(seed)
        program = copy.deepcopy(model).double().eval()
        double = copy.deepcopy(guide).double().eval()
        tokens, _ = _generate(program)
        trace = poutine.trace(double).get_trace(tokens=tokens)
        _check_sites(trace, "guide", len(tokens))
        _check_same_latents(poutine.trace(program).get_trace(tokens=tokens), trace)
        latents = {name: site["value"].detach() for name, site in latent_sites(trace)}
        if not latents:
            return
        scores = _posterior(double, tokens, latents)
        alone = torch.cat(
            [
                _posterior(double, tokens[i : i + 1], {n: z[i : i + 1] for n, z in latents.items()})
                for i in range(len(tokens))
            ]
        )
        _demand_close(scores, alone, "a batch is not its sentences one by one in the guide")
        padded = _posterior(double, _padded(tokens), latents)
        _demand_close(scores, padded, "padding changes the posterior of the guide")
        _check_gradients(double, lambda g: _posterior(g, tokens, latents).sum(), "guide")
        single = _posterior(copy.deepcopy(double).float(), tokens, _cast(latents, torch.float32))
        _demand_close(scores.float(), single, "float32 and float64 posteriors differ", 1e-4)
        _check_saving(double, lambda g: _posterior(g, tokens, latents), "guide")


def check_pair(
    model: nn.Module, guide: nn.Module, objective: ELBO, batch: Mapping[str, Tensor]
) -> None:
    """Run an objective once over a pair, and check that it can train: quick, before a long run.

    :raises ContractError: for latent sites that differ between model and guide in name, event shape
        or support, sites outside the plate ``"data"``, an objective that refuses the pair, or a
        loss without a gradient.
    """
    from pyro_textvae.infer.running import to_device

    batch = to_device(batch, nn.ModuleList([model, guide]))
    try:
        with torch.random.fork_rng(), pyro.validation_enabled(True):
            guide_trace = poutine.trace(guide).get_trace(**batch)
            model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(**batch)
            _check_sites(model_trace, "model", len(batch[TOKENS]))
            _check_sites(guide_trace, "guide", len(batch[TOKENS]))
            _check_same_latents(model_trace, guide_trace)
            loss = objective(model, guide)(**batch)
    except UserError:
        raise
    except Exception as error:
        raise ContractError(
            f"model and guide do not run on the first batch: {in_one_line(error)}"
        ) from error
    if not (isinstance(loss, Tensor) and loss.requires_grad):
        raise ContractError("the loss has no gradient: model and guide have no parameter in it")
    if TEXT_SITE not in model_trace.nodes:
        raise ContractError("the model has no sample site 'x' for the text")


def _generate(model: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
    """Sentences of the model's own, with room for padding, and the latents they came from."""
    with torch.no_grad():
        trace = simulate(model, _SIZE)
    nodes: Any = trace.nodes
    if TEXT_SITE not in nodes:
        raise ContractError("the model has no sample site 'x' for the text")
    x = nodes[TEXT_SITE]["value"]
    if x.dtype != torch.long or x.dim() != 2 or len(x) != _SIZE:
        raise ContractError(f"site 'x' must be int64 (N, T), got {x.dtype} {tuple(x.shape)}")
    tokens = x[:, : max(1, x.shape[1] - 2)].clone()
    unended = ~(tokens == EOS).any(1)
    tokens[unended, -1] = EOS
    latents = {name: site["value"] for name, site in latent_sites(trace) if name != TEXT_SITE}
    return tokens, latents


def _joint(model: nn.Module, tokens: Tensor, latents: dict[str, Tensor]) -> Tensor:
    """log p(x, z) of each sentence at given latents, ``(N,)``."""
    trace = poutine.trace(poutine.condition(model, data=latents)).get_trace(tokens=tokens)
    return _sum_sites(trace, len(tokens))


def _posterior(guide: nn.Module, tokens: Tensor, latents: dict[str, Tensor]) -> Tensor:
    """log q(z | x) of each sentence at given latents, ``(N,)``; of a point, its coordinates' sum.

    A point has no density, but it has a place.
    """
    trace = poutine.trace(poutine.condition(guide, data=latents)).get_trace(tokens=tokens)
    points = [(name, site["fn"]) for name, site in random_sites(trace) if is_point_mass(site["fn"])]
    for name, _ in points:
        trace.remove_node(name)
    places = [fn.mean.reshape(len(tokens), -1).sum(-1) for _, fn in points]
    return _sum_sites(trace, len(tokens), places)


def _sum_sites(trace: poutine.Trace, size: int, others: Sequence[Tensor] = ()) -> Tensor:
    trace.compute_log_prob()
    parts = [site["log_prob"].expand(size) for _, site in random_sites(trace)] + list(others)
    return torch.stack(parts).sum(0)


def _check_sites(trace: poutine.Trace, what: str, size: int) -> None:
    for name, site in random_sites(trace):
        frames = {frame.name: frame for frame in site["cond_indep_stack"]}
        if DATA_PLATE not in frames or not frames[DATA_PLATE].vectorized:
            raise ContractError(
                f"{what} site {name!r} is outside the plate 'data': open it with "
                'pyro.plate("data", n) around every sample statement'
            )
        if frames[DATA_PLATE].size != size:
            raise ContractError(
                f"the plate 'data' of {what} site {name!r} has size {frames['data'].size} for "
                f"{size} sentences"
            )


def _check_same_latents(model_trace: poutine.Trace, guide_trace: poutine.Trace) -> None:
    in_model = {name: site for name, site in latent_sites(model_trace) if name != TEXT_SITE}
    in_guide = dict(latent_sites(guide_trace))
    if set(in_model) != set(in_guide):
        raise ContractError(
            f"the model's latent sites are {_listed(in_model)}, the guide's {_listed(in_guide)}: "
            "they must be the same; choose another --guide or rename the sites"
        )
    for name, site in in_model.items():
        own, other = site["fn"], in_guide[name]["fn"]
        if own.event_shape != other.event_shape:
            raise ContractError(
                f"latent site {name!r} has event shape {tuple(own.event_shape)} in the model and "
                f"{tuple(other.event_shape)} in the guide"
            )
        if not share_support(own, other):
            raise ContractError(
                f"latent site {name!r} has support {support_of(own)} in the model and "
                f"{support_of(other)} in the guide, so one draws where the other has no density: "
                "pair a prior and a guide of one support, such as --prior uniform_sphere with "
                "--guide power_spherical, or --prior standard_normal with --guide gaussian"
            )


def _check_scores(model: nn.Module, tokens: Tensor, latents: dict[str, Tensor], width: int) -> None:
    scores = _joint(model, tokens, latents)
    if not scores.isfinite().all():
        raise ContractError(f"the score of a sentence of the model's own is {scores.tolist()}")
    alone = torch.cat(
        [
            _joint(model, tokens[i : i + 1], {name: z[i : i + 1] for name, z in latents.items()})
            for i in range(len(tokens))
        ]
    )
    _demand_close(scores, alone, "a batch is not its sentences one by one in the model")
    if tokens.shape[1] < width:
        padded = torch.nn.functional.pad(tokens, (0, width - tokens.shape[1]), value=PAD)
        _demand_close(scores, _joint(model, padded, latents), "padding changes scores of the model")


def _check_particles(model: nn.Module, tokens: Tensor) -> None:
    names = [name for name, _ in latent_sites(poutine.trace(model).get_trace(tokens=tokens))]
    prior = poutine.block(model, expose=names)
    drawn: list[dict[str, Tensor]] = []

    def guide(**batch: Tensor) -> None:
        with poutine.trace() as recorded:
            prior(**batch)
        drawn.append({name: site["value"] for name, site in latent_sites(recorded.trace)})

    terms = PerDatumELBO(3).terms(model, guide, tokens=tokens)  # type: ignore[arg-type]
    if terms.log_likelihood.shape != (3, len(tokens)):
        raise ContractError(
            f"with 3 vectorised particles site 'x' has log-probabilities of shape "
            f"{tuple(terms.log_likelihood.shape)}, not (3, {len(tokens)}): keep shapes agnostic to "
            "dimensions on the left"
        )
    for particle in range(3):
        latents = {name: value[particle] for name, value in drawn[0].items() if value.shape[0] == 3}
        trace = poutine.trace(poutine.condition(model, data=latents)).get_trace(tokens=tokens)
        trace.compute_log_prob()
        observed = sum(s["log_prob"] for name, s in random_sites(trace) if name not in names)
        _demand_close(terms.log_likelihood[particle], observed, "particles differ from a loop")


def _check_gradients(module: nn.Module, total: Callable[[nn.Module], Tensor], what: str) -> None:
    module.zero_grad()
    total(module).backward()
    for name, parameter in module.named_parameters():
        if parameter.grad is None or not parameter.grad.abs().sum() > 0:
            raise ContractError(f"parameter {name!r} of the {what} gets no gradient")
    module.zero_grad()


def _check_saving(module: nn.Module, score: Callable[[nn.Module], Tensor], what: str) -> None:
    other = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.safetensors")
        save_model(module, path)
        load_model(other, path)
    _demand_close(score(module), score(other), f"saving and loading changes the {what}", 0.0)


def _padded(tokens: Tensor) -> Tensor:
    return torch.cat([tokens, torch.full_like(tokens[:, :1], PAD).expand(-1, 2)], 1)


def _cast(latents: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: z.to(dtype) if z.is_floating_point() else z for name, z in latents.items()}


def _demand_close(one: Tensor, other: Tensor, what: str, relative: float = _TOLERANCE) -> None:
    one, other = one.detach(), other.detach()
    error = (one - other).abs()
    worst = int((error - relative * one.abs().clamp(min=1.0)).argmax())
    if error[worst] > relative * max(1.0, float(one[worst].abs())):
        raise ContractError(
            f"{what}: {float(one[worst]):.10g} against {float(other[worst]):.10g} for sentence "
            f"{worst}"
        )


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(names)) or "none"
