# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Two processes under DistributedDataParallel take the steps that one takes on the joint batch."""

import pyro
import pyro.distributions as dist
import pytest
import torch
import torch.distributed
from torch import nn
from torch.multiprocessing.spawn import spawn

from pyro_textvae.infer import PIWAE, STL, BetaELBO, DReG, ThermodynamicELBO

OBJECTIVES = {
    "BetaELBO": lambda: BetaELBO(0.5, 4),
    "DReG": lambda: DReG(4),
    "PIWAE": lambda: PIWAE(4, 2),
    "STL": lambda: STL(4),
    "ThermodynamicELBO": lambda: ThermodynamicELBO(4),
}
STEPS, SIZE = 4, 6


class ByParticle(dist.Normal):
    """Draws that differ by particle alone, so that no batch has noise of its own."""

    def rsample(self, sample_shape=()):
        noise = torch.cos(1.7 * torch.arange(self.loc.shape[0]).double())
        return self.loc + self.scale * noise.reshape(-1, 1, 1)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.decoder = nn.Linear(2, 3).double()

    def forward(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x), 2).double(), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(self.decoder(z), 1.0).to_event(1), obs=x)


class Guide(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(3, 4).double()

    def forward(self, x):
        with pyro.plate("data", len(x)):
            loc, log_scale = self.encoder(x).chunk(2, -1)
            pyro.sample("z", ByParticle(loc, log_scale.exp()).to_event(1))


def batches():
    generator = torch.Generator().manual_seed(5)
    return torch.randn(STEPS, SIZE, 3, generator=generator).double()


def loss_module(name):
    torch.manual_seed(0)
    return OBJECTIVES[name]()(Model(), Guide())


def train(module, own_rows, factor):
    """Plain gradient descent on a loss that is a sum over sentences."""
    optimizer = torch.optim.SGD(module.parameters(), 0.02)
    for batch in batches():
        optimizer.zero_grad()
        (factor * module(batch[own_rows])).backward()
        optimizer.step()


def parameters(module):
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def work(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    found = {}
    for name in OBJECTIVES:
        module = nn.parallel.DistributedDataParallel(loss_module(name))
        # The processes' gradients are averaged, and the loss is a sum: hence the factor.
        train(module, slice(rank * SIZE // 2, (rank + 1) * SIZE // 2), factor=2.0)
        found[name] = parameters(module)
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one_on_the_joint_batch(tmp_path):
    spawn(work, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for name in OBJECTIVES:
        alone = loss_module(name)
        before = parameters(alone)
        train(alone, slice(None), factor=1.0)
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], parameters(alone), rtol=1e-10, atol=1e-12)
        assert (parameters(alone) - before).abs().min() > 1e-4, name


def test_data_parallel_process_of_one_has_the_plain_gradient(tmp_path):
    """In this process: the wrapper alone changes nothing, estimators with hooks included."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1
    )
    try:
        for name in OBJECTIVES:
            wrapped = nn.parallel.DistributedDataParallel(loss_module(name))
            plain = loss_module(name)
            for module in (wrapped, plain):
                train(module, slice(None), factor=1.0)
            torch.testing.assert_close(parameters(wrapped), parameters(plain))
            assert not torch.equal(parameters(plain), parameters(loss_module(name)))
    finally:
        torch.distributed.destroy_process_group()
