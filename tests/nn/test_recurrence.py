# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Recurrent networks under autocast: in float32 on every processor, one kind as on another."""

import pytest
import torch
from torch import nn

from pyro_textvae.distributions import Context
from pyro_textvae.nn import GRUDecoder, GRUEncoder, LSTMDecoder, LSTMEncoder
from pyro_textvae.nn.mixed_precision import mixed_precision
from pyro_textvae.nn.recurrence import run_recurrence
from pyro_textvae.nn.replaced_methods import replaced_methods

from ..distributions.memory_decoder import make_memory

SIZES = {"vocab_size": 7, "embedding_dim": 4, "hidden_dim": 8}


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    """Stands for a processor without AVX-512, where a network in bfloat16 has no kernel."""
    seen = []
    for kind in (nn.LSTM, nn.GRU):

        def forward(self, inputs, state=None, plain=kind.forward):
            seen.append(inputs.dtype)
            if torch.is_autocast_enabled("cpu") or inputs.dtype == torch.bfloat16:
                raise RuntimeError("could not create a primitive descriptor")
            return plain(self, inputs, state)

        monkeypatch.setattr(kind, "forward", forward)
    return seen


@pytest.mark.parametrize("encoder_class", [LSTMEncoder, GRUEncoder])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_encoder(encoder_class, bidirectional, tokens, calls):
    encoder = encoder_class(**SIZES, num_layers=2, bidirectional=bidirectional)
    exact = encoder(tokens)
    calls.clear()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encoder(tokens), exact)
        vectors = torch.randn(4, 5, 4)
        short = encoder.encode_embeddings(vectors.bfloat16())
    assert torch.equal(short, encoder.encode_embeddings(vectors.bfloat16().float()))
    assert set(calls) == {torch.float32}


@pytest.mark.parametrize("decoder_class", [LSTMDecoder, GRUDecoder])
def test_decoder(decoder_class, calls):
    decoder = decoder_class(**SIZES, latent_dim=3, max_length=6)
    inputs, context = torch.randn(4, 5, 4), Context(torch.randn(4, 3))
    with torch.autocast("cpu", torch.bfloat16):
        assert decoder.unroll(inputs, context).dtype == torch.float32
        state = decoder.initial_state(context)
        hidden, _ = decoder.advance(inputs[:, 0], state, context)
        assert hidden.dtype == torch.float32
        assert decoder(context.z).sample().shape == (4, 6)
    assert set(calls) == {torch.float32}


def test_precision_is_that_of_the_weights():
    network = nn.LSTM(4, 8, batch_first=True).double()
    inputs = torch.randn(2, 3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        states, _ = run_recurrence(network, inputs.bfloat16())
    expected, _ = run_recurrence(network, inputs.bfloat16().double())
    assert torch.equal(states, expected)


def test_without_autocast_nothing_is_converted():
    network = nn.GRU(4, 8, batch_first=True)
    with pytest.raises(ValueError, match="float64"):
        run_recurrence(network, torch.randn(2, 3, 4).double())


def test_memory_of_a_short_network_is_widened_for_a_decoder_that_stays_wide():
    seen = []

    class Reader(LSTMDecoder):
        takes_memory = True

        def unroll(self, inputs, context):
            seen.append((context.memory.states.dtype, context.memory.ids.dtype, context.z.dtype))
            return super().unroll(inputs, context)

    decoder = Reader(**SIZES, latent_dim=3, max_length=6)
    memory = make_memory(2, dtype=torch.bfloat16)
    with replaced_methods(mixed_precision(decoder, "cpu")):
        decoder(torch.randn(5, 2, 3), memory).log_prob(torch.tensor([[4, 5, 2], [3, 2, 0]]))
    assert seen == [(torch.float32, torch.int64, torch.float32)]
