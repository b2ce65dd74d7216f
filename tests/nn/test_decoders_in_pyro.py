# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What Pyro itself does with programs, on every decoder: inspection, compilation, NUTS."""

import pyro
import pytest
import torch
from pyro.infer import MCMC, NUTS, JitTrace_ELBO, Trace_ELBO
from pyro.infer.inspect import get_dependencies, get_model_relations
from pyro.infer.mcmc.util import initialize_model
from pyro.ops.integrator import potential_grad

from pyro_textvae import zoo
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.models import SentenceVAE
from pyro_textvae.nn import LSTMEncoder
from pyro_textvae.priors import StandardNormal
from tests.programs.pairs import TEXT_AND_SOURCE, conditional

TOKENS = torch.tensor([[4, 5, 2], [6, 2, 0]])
SIZES = {"vocab_size": 9, "embedding_dim": 4, "hidden_dim": 8}
OF_PYTORCH = pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
EACH = pytest.mark.parametrize("name", zoo.names("decoders"))


def make(name, **options):
    pyro.clear_param_store()
    torch.manual_seed(0)
    sizes = SIZES | {"latent_dim": 3, "max_length": 6}
    decoder = zoo.build(zoo.load("decoders", name), sizes | options)
    return SentenceVAE(prior=StandardNormal(3), decoder=decoder).eval()


@EACH
@pytest.mark.parametrize("options", [{}, {"injection": "attention"}, {"num_layers": 2}])
def test_pyro_reads_what_depends_on_what(name, options):
    """What ``pyro.render_model`` draws, with text given and with text to generate."""
    model = make(name, **options)
    for arguments in ({"tokens": TOKENS}, {"size": 2}):
        between = get_dependencies(model, model_kwargs=arguments)["prior_dependencies"]
        assert between == {"z": {"z": set()}, "x": {"x": set(), "z": set()}}
        relations = get_model_relations(model, model_kwargs=arguments)
        assert relations["sample_sample"] == {"z": [], "x": ["z"]}
        assert relations["plate_sample"] == {"data": ["z", "x"]}


def test_pyro_reads_what_depends_on_what_where_there_is_a_source():
    model, guide = conditional()
    between = get_dependencies(model, model_kwargs=TEXT_AND_SOURCE)["prior_dependencies"]
    assert between == {"z": {"z": set()}, "x": {"x": set(), "z": set()}}
    assert get_model_relations(guide, model_kwargs=TEXT_AND_SOURCE)["sample_sample"] == {"z": []}
    source = {"source": TEXT_AND_SOURCE["source"]}
    assert get_model_relations(model, model_kwargs=source)["sample_sample"]["x"] == ["z"]


@OF_PYTORCH
@EACH
def test_a_compiled_elbo_has_the_value_and_gradient_of_the_plain_one(name):
    model = make(name)
    guide = GaussianGuide(encoder=LSTMEncoder(**SIZES), latent_dim=3).eval()
    compiled, results = JitTrace_ELBO(ignore_jit_warnings=True), []
    compiled.loss_and_grads(model, guide, TOKENS)
    for objective in (Trace_ELBO(), compiled):
        for parameter in (*model.parameters(), *guide.parameters()):
            parameter.grad = None
        pyro.set_rng_seed(1)
        loss = objective.loss_and_grads(model, guide, TOKENS)
        gradients = [p.grad for p in (*model.parameters(), *guide.parameters())]
        results.append((torch.tensor(loss), gradients))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


@OF_PYTORCH
@EACH
def test_a_compiled_potential_is_the_plain_one(name):
    model, z = make(name).requires_grad_(False), torch.randn(2, 3)
    plain, compiled = (
        initialize_model(model, (TOKENS,), jit_compile=jit, skip_jit_warnings=True)[1]
        for jit in (False, True)
    )
    torch.testing.assert_close(
        potential_grad(compiled, {"z": z}), potential_grad(plain, {"z": z}), rtol=1e-4, atol=1e-5
    )


@OF_PYTORCH
def test_nuts_walks_compiled_as_it_does_plain():
    model, walks = make("lstm").requires_grad_(False), []
    for jit in (False, True):
        pyro.set_rng_seed(0)
        steps = {"step_size": 0.3, "adapt_step_size": False, "max_tree_depth": 3}
        kernel = NUTS(model, jit_compile=jit, ignore_jit_warnings=True, **steps)
        chain = MCMC(kernel, num_samples=3, warmup_steps=0, disable_progbar=True)
        chain.run(TOKENS)
        walks.append(chain.get_samples()["z"])
    assert walks[0].std(0).min() > 0.0
    torch.testing.assert_close(*walks, rtol=1e-3, atol=1e-3)
