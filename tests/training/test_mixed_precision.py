# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""What runs in bfloat16 in a training step, and what in float32; on the CPU, which has both."""

import itertools

import pytest
import torch
from torch import nn

from pyro_textvae.config.train import TrainConfig
from pyro_textvae.data import load_corpus
from pyro_textvae.distributions import Context
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.guides import GaussianGuide
from pyro_textvae.nn.decoders import LSTMDecoder, TransformerDecoder
from pyro_textvae.nn.encoders import BagOfWordsEncoder, LSTMEncoder
from pyro_textvae.nn.mixed_precision import mixed_precision
from pyro_textvae.nn.replaced_methods import replaced_methods
from pyro_textvae.priors import VampPrior
from pyro_textvae.runs.load import load_run
from pyro_textvae.runs.train import train
from pyro_textvae.training.validation import VALIDATION_SEED

from .procedure_runs import SETTINGS, Killed, kill_before, make_trainer, rows_of, same, values_of

SIZES = {"vocab_size": 9, "embedding_dim": 8, "hidden_dim": 16}
TOKENS = torch.tensor([[4, 5, 3, 2, 0], [2, 0, 0, 0, 0], [6, 8, 4, 5, 2]])
MASK = TOKENS != 0


def in_short(modules):
    return replaced_methods(mixed_precision(modules, "cpu"))


def watch(module, name):
    """Records whether autocast is on at each call of a method, and what type comes of it."""
    seen, plain = [], getattr(module, name)

    def watched(*args, **kwargs):
        result = plain(*args, **kwargs)
        seen.append((torch.is_autocast_enabled("cpu"), result.dtype))
        return result

    module.__dict__[name] = watched
    return seen


SHORT = (True, torch.bfloat16)
WIDE = (False, torch.float32)


def test_encoder_is_short_inside_and_wide_outside():
    guide = GaussianGuide(BagOfWordsEncoder(**SIZES), latent_dim=3)
    layer, loc = watch(guide.encoder.layers[0], "forward"), watch(guide.loc, "forward")
    with in_short(guide):
        features = guide.encoder(TOKENS)
        assert guide.posterior(features).base_dist.scale.dtype == torch.float32
    assert layer == [SHORT]
    assert loc == [WIDE]
    assert features.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        expected = guide.encoder(TOKENS)
    assert torch.equal(features, expected.float())
    assert not torch.equal(features, guide.encoder(TOKENS))


def test_gradients_reach_parameters_that_stay_in_float32():
    encoder = BagOfWordsEncoder(**SIZES)
    names = list(encoder.state_dict())
    with in_short(encoder):
        loss = encoder(TOKENS).square().sum()
        assert list(encoder.state_dict()) == names
    loss.backward()
    for parameter in encoder.parameters():
        assert parameter.dtype == parameter.grad.dtype == torch.float32
        assert parameter.grad.abs().sum() > 0


def test_recurrent_networks_stay_wide_to_the_bit():
    encoder = LSTMEncoder(**SIZES)
    decoder = LSTMDecoder(**SIZES, latent_dim=3, max_length=5)
    inputs = decoder.embed(TOKENS)
    one, several = torch.randn(3, 3), torch.randn(4, 3, 3)
    features = encoder(TOKENS)
    # Several draws of z go through another loop than one.
    states = [decoder.unroll(inputs, Context(z)) for z in (one, several)]
    with in_short(nn.ModuleList([encoder, decoder])):
        assert torch.equal(encoder(TOKENS), features)
        for z, state in zip((one, several), states, strict=True):
            assert torch.equal(decoder.unroll(inputs, Context(z)), state)


def test_recurrent_network_behind_a_short_layer_takes_its_features():
    class Mapped(LSTMEncoder):
        def __init__(self):
            super().__init__(**SIZES)
            self.map = nn.Linear(8, 8)

        def encode_embeddings(self, embeddings, mask=None):
            return super().encode_embeddings(self.map(embeddings), mask)

    encoder = Mapped()
    seen = watch(encoder.map, "forward")
    with in_short(encoder):
        assert encoder(TOKENS).dtype == torch.float32
    assert seen == [SHORT]


@pytest.mark.parametrize("decoder_class", [LSTMDecoder, TransformerDecoder])
def test_decoder_scores_its_vocabulary_under_autocast(decoder_class):
    decoder = decoder_class(**SIZES, latent_dim=3, max_length=5)
    scored = watch(decoder.token_scores, "log_prob")
    hidden = watch(decoder, "hidden_states")
    with in_short(decoder):
        log_prob = decoder.token_log_prob(TOKENS.clamp(min=2), MASK, Context(torch.randn(3, 3)))
    # The product is short, its log-sum-exp is not; and so are not the states it is made of.
    assert scored == hidden == [(True, torch.float32)]
    assert log_prob.dtype == torch.float32


def test_short_product_is_as_near_as_its_format():
    """Factors and product are each rounded by 2^-9 at most; score and log-sum-exp come of it."""
    decoder = LSTMDecoder(**SIZES, latent_dim=3, max_length=5)
    tokens, z = TOKENS.clamp(min=2), torch.randn(3, 3)
    expected = decoder.token_log_prob(tokens, MASK, Context(z))
    with in_short(decoder):
        log_prob = decoder.token_log_prob(tokens, MASK, Context(z))
    weight, bias = decoder.token_scores.weight.abs(), decoder.token_scores.bias.abs()
    largest = (decoder.hidden_states(tokens, Context(z)).abs() @ weight.T + bias).max()
    error = (log_prob - expected).abs().max()
    # More than the rounding of float32, which is below 2^-20 here: the product was short indeed.
    assert 2**-20 < error < 2 * 3 * 2**-9 * largest


def test_transformer_is_short_inside():
    decoder = TransformerDecoder(**SIZES, latent_dim=3, max_length=5)
    seen = watch(decoder.blocks[0].attention_input, "forward")
    with in_short(decoder):
        decoder.token_log_prob(TOKENS.clamp(min=2), MASK, Context(torch.randn(3, 3)))
    assert seen == [SHORT]


def test_prior_of_pseudo_inputs_reads_them_as_the_guide_its_sentences():
    guide = GaussianGuide(BagOfWordsEncoder(**SIZES), latent_dim=3)
    prior = VampPrior(latent_dim=3, embedding_dim=8, num_components=4)
    prior.tie(guide)
    layer, loc = watch(guide.encoder.layers[0], "forward"), watch(guide.loc, "forward")
    with in_short(nn.ModuleDict({"model": prior, "guide": guide})):
        assert prior().log_prob(torch.zeros(3)).dtype == torch.float32
    assert layer == [SHORT]
    assert loc == [WIDE]


def test_networks_of_another_kind_are_left_alone():
    other = nn.Sequential(nn.Linear(8, 8), nn.LSTM(8, 8))
    with in_short(other[:1]):
        assert other[0](torch.ones(2, 8)).dtype == torch.float32
        assert not torch.is_autocast_enabled("cpu")


def test_float64_stays_float64():
    encoder = BagOfWordsEncoder(**SIZES).double()
    expected = encoder(TOKENS)
    with in_short(encoder):
        assert torch.equal(encoder(TOKENS), expected)


def test_all_is_undone_after_an_error_too():
    modules = nn.ModuleList([BagOfWordsEncoder(**SIZES), LSTMEncoder(**SIZES)])
    before = [set(module.__dict__) for module in modules.modules()]
    expected = modules[0](TOKENS)
    during = []

    def fail():
        with in_short(modules):
            during.extend(set(module.__dict__) for module in modules.modules())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert during != before
    assert [set(module.__dict__) for module in modules.modules()] == before
    assert torch.equal(modules[0](TOKENS), expected)


def test_replacements_within_replacements_are_undone_one_by_one():
    encoder = BagOfWordsEncoder(**SIZES)
    with replaced_methods([(encoder, "forward", lambda tokens: 1)]):
        with replaced_methods([(encoder, "forward", lambda tokens: 2)]):
            assert encoder(TOKENS) == 2
        assert encoder(TOKENS) == 1
    assert isinstance(encoder(TOKENS), torch.Tensor)


RUN = {"encoder": "bag_of_words", "decoder": "transformer", "hidden_dim": 8}
SHORT_RUN = {**RUN, "precision": "bfloat16"}


def test_validation_of_a_short_run_is_that_of_float32(tmp_path):
    config = TrainConfig(**SETTINGS | SHORT_RUN | {"epochs": 1})
    trainer = make_trainer(tmp_path / "wide", **RUN, epochs=1)
    trainer.fit()
    train(config, tmp_path / "short", report=lambda line: None)
    model, guide, _ = load_run(tmp_path / "short")
    corpus = load_corpus("grammar", num_sentences=75)
    batches = corpus.batches("valid", 16, shuffle=False)
    result = log_likelihood(model, guide, batches, 1, VALIDATION_SEED)
    short = make_trainer(tmp_path / "again", **SHORT_RUN, epochs=1)
    short.fit()
    (of_wide,), (of_short,) = rows_of(trainer), rows_of(short)
    # The same weights and draws by a process that never heard of bfloat16.
    assert of_short["valid_elbo"] == -result.elbo.mean().item()
    assert of_short["valid_kl"] == result.kl.mean().item()
    assert of_short["train_loss"] != of_wide["train_loss"]
    assert of_short["train_loss"] == pytest.approx(of_wide["train_loss"], rel=2**-7)
    assert all(value.dtype == torch.float32 for value in values_of(short.modules).values())


def test_short_run_killed_and_resumed_is_the_undisturbed_one(tmp_path):
    left_alone = make_trainer(tmp_path / "left alone", **SHORT_RUN, epochs=2)
    left_alone.fit()
    killed = make_trainer(tmp_path / "killed", **SHORT_RUN, epochs=2)
    kill_before(killed, 6)
    with pytest.raises(Killed):
        killed.fit()
    resumed = make_trainer(tmp_path / "killed", **SHORT_RUN, epochs=2)
    resumed.load_state_dict(resumed.folder.load_state())
    resumed.fit()
    assert resumed.folder.metrics.read_text() == left_alone.folder.metrics.read_text()
    assert same(values_of(resumed.modules), values_of(left_alone.modules))


def test_every_number_outside_of_the_networks_is_float32(tmp_path):
    trainer = make_trainer(tmp_path, **SHORT_RUN)
    trainer.loss_module.train()
    batch = next(iter(trainer.corpus.batches("train", batch_size=4)))
    trainer.update(batch)
    terms = trainer.objective.latest
    numbers = [terms.log_likelihood, *itertools.chain(terms.kl.values(), terms.log_ratio.values())]
    assert {number.dtype for number in numbers} == {torch.float32}


def test_old_runs_are_of_float32():
    config = TrainConfig()
    assert (config.precision, config.compile) == ("float32", False)
