# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Every tool on a program: what it gives is compared with the truth, and told in a few words."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import (
    MCMC,
    NUTS,
    SVI,
    Importance,
    JitTrace_ELBO,
    Predictive,
    RenyiELBO,
    ReweightedWakeSleep,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
    config_enumerate,
    infer_discrete,
)
from pyro.infer.importance import vectorized_importance_weights
from pyro.infer.inspect import generate_graph_specification, get_dependencies, get_model_relations
from pyro.infer.mcmc.util import initialize_model
from pyro.infer.reparam import LocScaleReparam

from pyro_textvae.infer import IWAE, VIMCO, BetaELBO, log_weights
from tests.pyro_tools.programs import LATENT_DIM, NUM_LABELS, Program

WORKS = "works"
NO_LABEL = "no discrete latent"
DRAWS = 4


@dataclass(frozen=True)
class Tool:
    """A row of the table.

    name
        As Pyro has it.
    run
        Tries it on a program, and says in a few words how that went.
    note
        What to know before using it.
    """

    name: str
    run: Callable[[Program], str]
    note: str


def log_joint(program, model, values):
    """log p(x, values) of each sentence, ``(N,)``."""
    placed = poutine.condition(model, data=values)
    trace = poutine.trace(placed).get_trace(**program.batch)
    trace.compute_log_prob()
    names = program.parents
    return sum(trace.nodes[name]["log_prob"] for name in names)


def log_joint_of_each_label(program, model, z):
    """The same for every value of the label, ``(NUM_LABELS, N)``."""
    labels = torch.arange(NUM_LABELS)[:, None].expand(-1, len(z))
    return torch.stack([log_joint(program, model, {"z": z, "y": y}) for y in labels])


def summed_out(program, model, z):
    """log p(x, z), ``(N,)``: a label is summed over."""
    if program.label is None:
        return log_joint(program, model, {"z": z})
    return log_joint_of_each_label(program, model, z).logsumexp(0)


def places(program):
    """Any z."""
    generator = torch.Generator().manual_seed(3)
    shape = (len(program.batch["tokens"]), LATENT_DIM)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def equal(value, expected):
    """Check that two numbers or tensors are the same but for rounding."""
    value, expected = (torch.as_tensor(v, dtype=torch.float64).detach() for v in (value, expected))
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)


def loss_of(program, objective, pair, seed=5):
    """The loss at one seed; then a step by it must move every parameter."""
    pyro.set_rng_seed(seed)
    loss = objective.loss(*pair, **program.batch)
    parameters = [p for module in pair for p in module.parameters()]
    before = [parameter.detach().clone() for parameter in parameters]
    SVI(*pair, pyro.optim.SGD({"lr": 0.1}), loss=objective).step(**program.batch)
    moved = [not old.equal(new) for old, new in zip(before, parameters, strict=True)]
    with torch.no_grad():
        for old, new in zip(before, parameters, strict=True):
            new.copy_(old)
    assert any(moved)
    return loss, moved


def weights(program, pair, count, seed=5):
    """log w of ``count`` draws at one seed, ``(count, N)``."""
    pyro.set_rng_seed(seed)
    return log_weights(*pair, program.batch, count).detach()


def draw_graph(program):
    """What ``pyro.render_model`` draws."""
    model, guide = program.pair()
    for arguments in (program.batch, program.condition):
        relations = get_model_relations(model, model_kwargs=arguments)
        assert relations["sample_sample"] == program.parents
        assert relations["plate_sample"] == {"data": list(program.parents)}
        assert generate_graph_specification(relations)["edge_list"]
    of_guide = get_model_relations(guide, model_kwargs=program.batch)["sample_sample"]
    assert set(of_guide) == set(program.parents) - {"x"}
    return WORKS


def dependencies(program):
    """Which sites depend on which, before and after the text is seen."""
    model, _ = program.pair()
    found = get_dependencies(model, model_kwargs=program.batch)
    expected = {name: {name, *above} for name, above in program.parents.items()}
    assert {name: set(above) for name, above in found["prior_dependencies"].items()} == expected
    assert "x" in found["posterior_dependencies"]["z"]
    return WORKS


def trace_elbo(program):
    pair = program.pair()
    loss, moved = loss_of(program, Trace_ELBO(), pair)
    equal(loss, -weights(program, pair, 1).sum())
    assert all(moved)
    return WORKS


def trace_graph_elbo(program):
    pair = program.pair()
    loss, moved = loss_of(program, TraceGraph_ELBO(), pair)
    equal(loss, -weights(program, pair, 1).sum())
    assert all(moved)
    return WORKS


def mean_field_elbo(program):
    pair = program.pair()
    if program.label is not None:
        with pytest.raises(NotImplementedError, match="fully reparameterized"):
            loss_of(program, TraceMeanField_ELBO(), pair)
        return "refused: y has no reparameterised draws"
    loss, moved = loss_of(program, TraceMeanField_ELBO(), pair)
    pyro.set_rng_seed(5)
    equal(loss, BetaELBO().loss(*pair, **program.batch))
    assert all(moved)
    return WORKS


def trace_enum_elbo(program):
    """With the label summed out in the guide, and in the model."""
    model, guide = program.pair()
    objective = TraceEnum_ELBO(max_plate_nesting=1)
    if program.label is None:
        with pytest.warns(UserWarning, match="found no sample sites configured for enumeration"):
            loss, _ = loss_of(program, objective, (model, guide))
        equal(loss, -weights(program, (model, guide), 1).sum())
        return WORKS
    drawn = poutine.trace(guide).get_trace(**program.batch)
    drawn.remove_node("y")
    drawn.compute_log_prob()
    log_q, z = drawn.nodes["z"]["log_prob"], drawn.nodes["z"]["value"]
    joint = log_joint_of_each_label(program, model, z)
    of_y = guide.y(guide.encoder(program.batch["tokens"])).log_softmax(-1).T
    same_z = poutine.replay(config_enumerate(guide), trace=drawn)
    expected = -(of_y.exp() * (joint - of_y)).sum(0) + log_q
    equal(objective.loss(model, same_z, **program.batch), expected.sum())
    without_y = poutine.block(poutine.replay(guide, trace=drawn), hide=["y"])
    expected = -joint.logsumexp(0) + log_q
    equal(objective.loss(config_enumerate(model), without_y, **program.batch), expected.sum())
    return WORKS


def renyi_elbo(program):
    pair = program.pair()
    settings = {"num_particles": DRAWS, "vectorize_particles": True, "max_plate_nesting": 1}
    loss, moved = loss_of(program, RenyiELBO(alpha=0, **settings), pair)
    equal(loss, -(weights(program, pair, DRAWS).exp().mean(0).log()).sum())
    if program.label is None:
        assert all(moved)
        return WORKS
    pair[1].zero_grad()
    RenyiELBO(alpha=0, **settings).loss_and_grads(*pair, **program.batch)
    assert pair[1].y.weight.grad.abs().max() < 1e-12
    return "no gradient reaches q(y): take `VIMCO`"


def reweighted_wake_sleep(program):
    pair = program.pair()
    objective = ReweightedWakeSleep(num_particles=DRAWS, max_plate_nesting=1)
    pyro.set_rng_seed(5)
    of_model, _ = objective.loss(*pair, **program.batch)
    of_batch = weights(program, pair, DRAWS).sum(1)
    equal(of_model, -(of_batch.logsumexp(0) - torch.tensor(DRAWS).double().log()))
    step = SVI(*pair, pyro.optim.SGD({"lr": 0.1}), loss=objective).step(**program.batch)
    assert torch.tensor(step).isfinite().all()
    return WORKS


def compiled_elbo(program):
    """Compiled once, and asked again with texts of another width."""
    model, guide = (_by_position(part, list(program.batch)) for part in program.pair())
    arguments = list(program.batch.values())
    compiled = JitTrace_ELBO(ignore_jit_warnings=True)
    compiled.loss_and_grads(model, guide, *arguments)
    shorter = [value.clone() for value in arguments]
    shorter[0][:, 3] = 2 * (shorter[0][:, :3] != 2).all(1)
    shorter[0] = shorter[0][:, :4]
    for given in (arguments, shorter):
        losses = []
        for objective in (compiled, Trace_ELBO()):
            pyro.set_rng_seed(5)
            losses.append(objective.loss_and_grads(model, guide, *given))
        equal(*losses)
    with pytest.raises(RuntimeError, match="TorchScript"):
        compiled.loss_and_grads(model, guide, *[value[:3] for value in arguments])
    return WORKS


def _by_position(program, names):
    """A program that takes the fields of a batch in one order."""
    return lambda *values: program(**dict(zip(names, values, strict=True)))


def nuts(program, jit_compile=False):
    model, _ = program.pair()
    model.requires_grad_(False)
    settings = {"jit_compile": jit_compile, "max_plate_nesting": 1}
    walk = {"step_size": 0.3, "adapt_step_size": False, "max_tree_depth": 2}
    kernel = NUTS(model, ignore_jit_warnings=True, **settings, **walk)
    chain = MCMC(kernel, num_samples=2, warmup_steps=0, disable_progbar=True)
    chain.run(**program.batch)
    samples = chain.get_samples()
    z = places(program)
    if samples["z"].shape[1:] != z.shape:
        assert samples["z"].shape[1:] == (NUM_LABELS, *z.shape)
        return "wrong: a z for every y is drawn, as its prior has y's dimension"
    assert set(samples) == {"z"}
    _, potential, _, _ = initialize_model(
        model, model_kwargs=program.batch, skip_jit_warnings=True, **settings
    )
    equal(potential({"z": z}), -summed_out(program, model, z).sum())
    return WORKS


def nuts_compiled(program):
    return nuts(program, jit_compile=True)


def predictive_of_prior(program):
    """In a loop and at once; every text is an outcome that its latents can have."""
    model, _ = program.pair()
    for parallel in (False, True):
        drawn = Predictive(model, num_samples=DRAWS, parallel=parallel)(**program.condition)
        assert set(drawn) == set(program.parents)
        _check_texts(program, model, drawn)
    return WORKS


def predictive_of_posterior(program):
    """Reconstructions: latents of the guide, and texts drawn anew from them."""
    model, guide = program.pair()
    anew = poutine.uncondition(model)
    for parallel in (False, True):
        settings = {"num_samples": DRAWS, "parallel": parallel}
        drawn = Predictive(anew, guide=guide, **settings)(**program.batch)
        _check_texts(program, model, drawn)
        pyro.set_rng_seed(5)
        latents = Predictive(guide, **settings)(**program.batch)
        pyro.set_rng_seed(5)
        again = Predictive(anew, guide=guide, **settings)(**program.batch)
        if not parallel:
            assert again["x"].shape == (DRAWS, *program.batch["tokens"].shape[:1], 6)
        assert latents["z"].shape == again["z"].shape
    return WORKS


def _check_texts(program, model, drawn):
    count = len(program.batch["tokens"])
    assert drawn["x"].shape == (DRAWS, count, 6)
    for draw in range(DRAWS):
        values = {name: value[draw] for name, value in drawn.items()}
        placed = poutine.condition(model, data=values)
        trace = poutine.trace(placed).get_trace(**program.condition)
        assert trace.log_prob_sum().isfinite()
    assert len({tuple(text) for text in drawn["x"].flatten(0, 1).tolist()}) > 2


def importance(program):
    pair = program.pair()
    pyro.set_rng_seed(5)
    found = Importance(*pair, num_samples=DRAWS).run(**program.batch)
    pyro.set_rng_seed(5)
    expected = [log_weights(*pair, program.batch, 1).sum() for _ in range(DRAWS)]
    equal(torch.stack(found.log_weights), torch.stack(expected))
    assert found.get_ESS() > 0
    return WORKS


def vectorised_importance(program):
    pair = program.pair()
    pyro.set_rng_seed(5)
    found, _, _ = vectorized_importance_weights(
        *pair, num_samples=DRAWS, max_plate_nesting=1, **program.batch
    )
    equal(found, weights(program, pair, DRAWS).sum(1))
    return WORKS


def discrete(program):
    """The likeliest label given z and the text, and draws of it."""
    if program.label is None:
        return NO_LABEL
    model, _ = program.pair()
    z = places(program)
    placed = poutine.condition(config_enumerate(model), data={"z": z})
    joint = log_joint_of_each_label(program, model, z)
    likeliest = infer_discrete(placed, first_available_dim=-2, temperature=0)
    trace = poutine.trace(likeliest).get_trace(**program.batch)
    assert trace.nodes["y"]["value"].equal(joint.argmax(0))
    drawing = infer_discrete(placed, first_available_dim=-2, temperature=1)
    counts = torch.zeros_like(joint)
    for _ in range(100):
        y = poutine.trace(drawing).get_trace(**program.batch).nodes["y"]["value"]
        counts[y, torch.arange(len(y))] += 1
    share = joint.softmax(0)
    errors = (counts / 100 - share) / (share * (1 - share) / 100).sqrt()
    assert errors.abs().max() < 4.5
    return WORKS


def reparametrised(program):
    """z of a standard normal: the same density, but for the volume."""
    model, _ = program.pair()
    other = poutine.reparam(model, config={"z": LocScaleReparam(0.0)})
    trace = poutine.trace(other).get_trace(**program.batch)
    trace.compute_log_prob()
    values = {name: trace.nodes[name]["value"] for name in program.parents if name != "x"}
    names = ["z_decentered" if name == "z" else name for name in program.parents]
    found = sum(trace.nodes[name]["log_prob"] for name in names)
    placed = poutine.trace(poutine.condition(model, data=values)).get_trace(**program.batch)
    scale = placed.nodes["z"]["fn"].base_dist.scale
    expected = log_joint(program, model, values) + scale.log().sum(-1)
    equal(found, expected)
    return WORKS


def objectives_here(program):
    """With the nesting of plates given as Pyro's objectives take it."""
    pair = program.pair()
    kind = IWAE if program.label is None else VIMCO
    loss, moved = loss_of(program, kind(DRAWS, max_plate_nesting=1), pair)
    equal(loss, -(weights(program, pair, DRAWS).exp().mean(0).log()).sum())
    assert all(moved)
    return WORKS


TOOLS = [
    Tool("`pyro.render_model`", draw_graph, "drawing needs the package `graphviz` and its `dot`"),
    Tool("`get_dependencies`", dependencies, ""),
    Tool("`Trace_ELBO`", trace_elbo, ""),
    Tool("`TraceMeanField_ELBO`", mean_field_elbo, ""),
    Tool("`TraceGraph_ELBO`", trace_graph_elbo, "by `SVI`; `train` cannot differentiate it"),
    Tool(
        "`TraceEnum_ELBO`",
        trace_enum_elbo,
        "`config_enumerate` of the guide, or of the model with y left out of the guide; "
        "`max_plate_nesting=1`",
    ),
    Tool("`RenyiELBO`", renyi_elbo, "a bound of each sentence, as `IWAE` at alpha = 0"),
    Tool(
        "`ReweightedWakeSleep`",
        reweighted_wake_sleep,
        "one weight for a whole batch, so few draws count: `WakeSleep` has one for each sentence",
    ),
    Tool(
        "`JitTrace_ELBO`",
        compiled_elbo,
        "tensors by position, as what goes by keyword is a constant of the compiled program; texts "
        "of any width, batches of one size",
    ),
    Tool(
        "`NUTS`",
        nuts,
        "weights frozen by `model.eval().requires_grad_(False)`; `max_plate_nesting=1`; where z is "
        "drawn from y, take the noise for the latent and add what y says to it",
    ),
    Tool(
        "`NUTS(..., jit_compile=True)`",
        nuts_compiled,
        "frozen weights are a must, as for any module",
    ),
    Tool("`Predictive` of the prior", predictive_of_prior, "`parallel=True` too"),
    Tool(
        "`Predictive` of the posterior",
        predictive_of_posterior,
        "of `poutine.uncondition(model)` with `guide=guide`: else x is the text that was given",
    ),
    Tool(
        "`Importance`",
        importance,
        "one weight for a whole batch: `log_likelihood` has one for each sentence",
    ),
    Tool("`vectorized_importance_weights`", vectorised_importance, "likewise"),
    Tool("`infer_discrete`", discrete, '`first_available_dim=-2`, to the left of `"data"`'),
    Tool("`poutine.reparam`", reparametrised, "`LocScaleReparam`; guides then draw `z_decentered`"),
    Tool(
        "`SVI` with the objectives here",
        objectives_here,
        "`max_plate_nesting` may be given, as to Pyro's; `VIMCO` where y is discrete",
    ),
]


def outcome(tool, program):
    """The cell of a tool and a program."""
    with warnings.catch_warnings():
        # Of PyTorch's compiler, for every use of it.
        warnings.filterwarnings("ignore", ".*torch.jit.trace", DeprecationWarning)
        return tool.run(program)
