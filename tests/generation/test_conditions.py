# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Generation on a condition, with a second plate, and where the text is no sequence of tokens."""

import pyro
import pytest
import torch

from pyro_textvae.errors import UserError
from pyro_textvae.generation import (
    encode,
    fit_ex_post_density,
    interpolate,
    reconstruct,
    sample,
)
from pyro_textvae.nn import BagOfWordsEncoder, LSTMDecoder
from tests.programs.pairs import CONVERSATIONS
from tests.programs.two_plates import ConversationGuide as TwoPlateGuide
from tests.programs.two_plates import ConversationVAE, TopicGuide, TopicOfConversation

from .programs import (
    ConditionalGuide,
    ConditionalModel,
    Conversation,
    ConversationGuide,
    Numbers,
)


@pytest.fixture
def conditional(pair):
    """A model and a guide that need a source, and every latent that the decoder was given."""
    model = ConditionalModel(pair[0].decoder, vocab_size=7).eval()
    guide = ConditionalGuide(pair[1].encoder, vocab_size=7).eval()
    seen = []
    model.decoder.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    return model, guide, seen


@pytest.fixture
def batch(tokens):
    return {
        "tokens": tokens,
        "source": torch.tensor([[4, 2], [5, 2], [6, 2], [4, 2]]),
        "labels": torch.tensor([0, 1, 1, -1]),
    }


def test_samples_stand_on_their_source(conditional, batch):
    model, _, seen = conditional
    z = torch.randn(4, 2).double()
    rows = sample(model, batch, method="greedy", latents={"z": z})
    torch.testing.assert_close(seen[0], z + model.shift(batch["source"][:, 0]), rtol=0, atol=0)
    assert torch.equal(rows, model.decoder(seen[0]).greedy())
    assert torch.equal(sample(model, batch, seed=2), sample(model, batch, seed=2))
    without_tokens = {"source": batch["source"]}
    assert torch.equal(sample(model, batch, seed=2), sample(model, without_tokens, seed=2))


def test_a_batch_for_a_model_that_needs_none_is_its_size(pair, batch):
    assert torch.equal(sample(pair[0], batch, seed=3), sample(pair[0], 4, seed=3))


@pytest.mark.parametrize("method", ["greedy", "ancestral"])
def test_reconstructions_keep_the_source(conditional, batch, method):
    model, guide, seen = conditional
    z = encode(guide, batch, mean=method == "greedy", seed=5)["z"]
    if method == "greedy":
        torch.testing.assert_close(z, guide.posterior_mean(batch["source"], batch["tokens"]))
    reconstruct(model, guide, batch, method=method, seed=5)
    assert torch.equal(seen[0], z + model.shift(batch["source"][:, 0]))


def test_a_walk_keeps_the_source_of_its_start_unless_told(conditional, batch):
    model, guide, seen = conditional
    ends = {name: value[:2] for name, value in batch.items()}
    start, end = guide.posterior_mean(ends["source"], ends["tokens"])
    line = torch.stack([torch.lerp(start, end, share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)])
    interpolate(model, guide, ends, steps=5)
    torch.testing.assert_close(seen[-1], line + model.shift(torch.tensor(4)))
    other = torch.tensor([[6, 2]])
    interpolate(model, guide, ends, condition={"source": other}, steps=5)
    torch.testing.assert_close(seen[-1], line + model.shift(torch.tensor(6)))
    each = torch.tensor([[4, 2], [5, 2], [6, 2], [5, 2], [4, 2]])
    interpolate(model, guide, ends, condition={"source": each}, steps=5)
    torch.testing.assert_close(seen[-1], line + model.shift(each[:, 0]))
    with pytest.raises(ValueError, match="1 row or 5, one for each step, got 3"):
        interpolate(model, guide, ends, condition={"source": each[:3]}, steps=5)


def test_density_of_the_latents_of_a_conditional_pair(conditional, batch):
    model, guide, _ = conditional
    # The pair takes what it names; the labels are of no use to it.
    fields = {name: batch[name] for name in ("tokens", "source")}
    fitted = fit_ex_post_density(model, guide, [fields], [fields], num_components=1)
    latents = fitted.latents(model, 4)
    assert sample(model, batch, latents=latents).shape == (4, 6)


def test_missing_fields_are_named(conditional, batch):
    model, guide, _ = conditional
    del batch["source"]
    with pytest.raises(UserError, match="ConditionalModel needs the field 'source'"):
        sample(model, batch)
    with pytest.raises(UserError, match="ConditionalGuide needs the field 'source'.* has tokens"):
        encode(guide, batch)


@pytest.mark.parametrize("data_dim", [-2, -1])
def test_a_second_plate_keeps_the_datum_first(pair, data_dim):
    """Three turns of two data, whichever of the plates is the outer dimension."""
    decoder = pair[0].decoder
    model = Conversation(decoder, turns=3, data_dim=data_dim).eval()
    guide = ConversationGuide(3, data_dim).eval()
    assert sample(model, 2).shape == (2, 3, 6)
    tokens = torch.tensor([[[4, 5, 2], [6, 2, 0], [2, 0, 0]], [[5, 2, 0], [4, 4, 2], [6, 6, 2]]])
    mean = (tokens.double().mean(-1, keepdim=True) - 3.0).expand(2, 3, 2)
    rows = reconstruct(model, guide, {"tokens": tokens})
    assert torch.equal(rows, decoder(mean).greedy())
    walk = interpolate(model, guide, {"tokens": tokens}, steps=4)
    line = torch.stack([torch.lerp(*mean, share) for share in torch.linspace(0, 1, 4)])
    assert torch.equal(walk, decoder(line).greedy())


@pytest.mark.parametrize("data_dim", [-2, -1])
@pytest.mark.parametrize(
    "programs", [(ConversationVAE, TwoPlateGuide), (TopicOfConversation, TopicGuide)]
)
def test_a_users_program_of_two_plates_is_decoded(programs, data_dim):
    """Latents of the whole and of the turns, or of the whole alone."""
    decoder = LSTMDecoder(vocab_size=20, embedding_dim=4, hidden_dim=5, latent_dim=2, max_length=6)
    model = programs[0](decoder, 2, data_dim).eval()
    guide = programs[1](BagOfWordsEncoder(20, 4, 6), 2, data_dim).eval()
    batch = {"tokens": CONVERSATIONS}
    assert sample(model, 4).shape == (4, 3, 6)
    assert encode(guide, batch)["z"].numel() == 3 * 2
    for method in ("greedy", "ancestral"):
        assert reconstruct(model, guide, batch, method=method).shape == (3, 3, 6)
    walk = interpolate(model, guide, {"tokens": CONVERSATIONS[:2]}, steps=4)
    assert walk.shape == (4, 3, 6)


def test_text_that_is_no_sequence_has_no_tokens_to_choose():
    model = Numbers()
    assert sample(model, 5, seed=1).shape == (5,)
    message = "Greedy chooses tokens one by one, and the text site 'x' is Normal, not Autoreg"
    with pytest.raises(UserError, match=message):
        sample(model, 5, method="greedy")
    with pytest.raises(UserError, match="unknown=False chooses .* text site 'x' is Normal"):
        sample(model, 5, unknown=False)


class WordByWord(torch.nn.Module):
    """Every word is a site of its own, and the text what they make up."""

    def forward(self, tokens=None, *, size=None):
        with pyro.plate("data", size):
            pyro.sample("z", pyro.distributions.Normal(torch.zeros(2), 1.0).to_event(1))
            words = [
                pyro.sample(f"x_{t}", pyro.distributions.Categorical(torch.ones(5)))
                for t in range(3)
            ]
            pyro.deterministic("x", torch.stack(words, -1), event_dim=1)


@pytest.mark.parametrize("choice", [{"method": "greedy"}, {"unknown": False}])
def test_text_that_a_program_computes_is_not_decoded_in_silence(choice):
    assert sample(WordByWord(), 4, seed=1).shape == (4, 3)
    message = "the text site 'x' is what the program computes, not Auto.* and unknown=True$"
    with pytest.raises(UserError, match=message):
        sample(WordByWord(), 4, **choice)


def test_text_with_a_mask_is_decoded(pair):
    class Masked(torch.nn.Module):
        def forward(self, tokens=None, *, size=None):
            with pyro.plate("data", size):
                zero = torch.zeros(2).double()
                z = pyro.sample("z", pyro.distributions.Normal(zero, 1.0).to_event(1))
                pyro.sample("x", pair[0].decoder(z).mask(True), obs=tokens)

    z = torch.randn(4, 2).double()
    rows = sample(Masked(), 4, method="greedy", latents={"z": z})
    assert torch.equal(rows, pair[0].decoder(z).greedy())
    assert not (sample(Masked(), 40, unknown=False) == 3).any()


def test_text_of_independent_sentences_is_decoded(pair):
    """``to_event`` around the decoder's distribution hides it from nobody."""

    class Joined(torch.nn.Module):
        def forward(self, tokens=None, *, size=None):
            with pyro.plate("data", size):
                z = pyro.sample(
                    "z", pyro.distributions.Normal(torch.zeros(3, 2).double(), 1.0).to_event(2)
                )
                pyro.sample("x", pair[0].decoder(z).to_event(1), obs=tokens)

    z = torch.randn(4, 3, 2).double()
    rows = sample(Joined(), 4, method="greedy", latents={"z": z})
    assert torch.equal(rows, pair[0].decoder(z).greedy())
