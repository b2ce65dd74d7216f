# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Programs of documents compute the sentences that there are, and score as if they did all."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.distributions import MaskedDistribution
from pyro.infer import TraceEnum_ELBO
from torch import nn

from pyro_textvae.data import pad, train_tokenizer
from pyro_textvae.distributions import AutoregressiveCategorical, scorable_rows
from pyro_textvae.guides import DocumentGuide, TopicGuide
from pyro_textvae.infer import IWAE, BetaELBO
from pyro_textvae.models import ConversationVAE, DocumentVAE, PoemVAE, ReviewGroupVAE, TopicModel
from pyro_textvae.nn import BagOfWordsEncoder, GRUDecoder, GRUEncoder
from pyro_textvae.priors import StandardNormal

TOKENIZER = train_tokenizer(["月 雪 光 霜 ang 仄平 平"])
VOCAB_SIZE = len(TOKENIZER)
SIZES = {"vocab_size": VOCAB_SIZE, "embedding_dim": 3, "hidden_dim": 4}
FORMS = ["ang 仄平 平 平", "ang 仄平", "ang 平 仄平"]


def ids(text):
    return [*TOKENIZER.encode(text), 2]


def lines(*texts):
    return pad([ids(text) if text else [] for text in (*texts, *[""] * (4 - len(texts)))])


# Four places, of which three, one and two are sentences.
TOKENS = pad([[0] * 3] * 12).reshape(3, 4, 3)
for row, document in enumerate((["月 光", "霜", "霜"], ["霜 雪"], ["光", "月 霜"])):
    written = lines(*document)
    TOKENS[row, :, : written.shape[1]] = written
FIELDS = {"tokens": TOKENS, "source": pad([ids(form) for form in FORMS])}
BATCHES = {
    "several": slice(0, 3),
    "one document": slice(2, 3),
    "all empty but one": slice(1, 2),
}


def decoder(latent_dim):
    return GRUDecoder(**SIZES, latent_dim=latent_dim, max_length=4)


def model_of(name):
    prior = StandardNormal(2)
    if name == "document_vae":
        return DocumentVAE(prior, decoder(3), 2, 4, plan_dim=3)
    if name == "sentence_before":
        options = {"sentence_before": True, **SIZES}
        return DocumentVAE(prior, decoder(6), 2, 4, plan_dim=3, **options)
    if name == "conversation_vae":
        encoder = BagOfWordsEncoder(**SIZES)
        return ConversationVAE(prior, decoder(7), encoder, 2, 4, plan_dim=3)
    if name == "review_group_vae":
        return ReviewGroupVAE(prior, decoder(2), 2, 4)
    if name == "poem_vae":
        width, reader = PoemVAE.decoder_latent_dim(2, 3), BagOfWordsEncoder(**SIZES)
        return PoemVAE(prior, decoder(width), reader, 2, 4, TOKENIZER, plan_dim=3)
    return TopicModel(2, VOCAB_SIZE, 4, 3, "prodlda", max_sentences=4)


def pair_of(name):
    torch.manual_seed(2)
    guide = DocumentGuide(GRUEncoder(**SIZES), 2)
    if name == "topic_model":
        guide = TopicGuide(BagOfWordsEncoder(**SIZES), 2)
    # Not in training, where the sentences before are dropped.
    return model_of(name).double().eval(), guide.double().eval()


PROGRAMS = (
    "document_vae",
    "sentence_before",
    "conversation_vae",
    "review_group_vae",
    "poem_vae",
    "topic_model",
)


def fields_of(name, rows):
    fields = {key: value[rows] for key, value in FIELDS.items()}
    return fields if name == "poem_vae" else {"tokens": fields["tokens"]}


def compute_every_row(monkeypatch):
    """The network is asked for all rows, and the mask comes after it."""
    monkeypatch.setattr(
        AutoregressiveCategorical, "mask", lambda text, there: MaskedDistribution(text, there)
    )
    monkeypatch.setattr("pyro_textvae.nn.rows_there.can_be_picked", lambda there: False)


def loss_and_gradients(objective, pair, fields):
    parameters = [parameter for program in pair for parameter in program.parameters()]
    pyro.set_rng_seed(1)
    loss = objective.differentiable_loss(*pair, **fields)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [loss, *(grad for grad in gradients if grad is not None)]


@pytest.mark.parametrize("rows", BATCHES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_scores_and_gradients_are_those_of_all_rows(name, rows, monkeypatch):
    pair, fields = pair_of(name), fields_of(name, BATCHES[rows])
    objectives = (BetaELBO(), IWAE(3))
    ours = [loss_and_gradients(objective, pair, fields) for objective in objectives]
    compute_every_row(monkeypatch)
    for objective, found in zip(objectives, ours, strict=True):
        expected = loss_and_gradients(objective, pair, fields)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
        assert all(bool((value != 0).any()) for value in expected[:2])


class RowsSeen:
    """How many rows the networks of a pair are given, by name of the network's class."""

    def __init__(self, *programs):
        self.counts = {}
        for module in (module for program in programs for module in program.modules()):
            if isinstance(module, nn.RNNBase | BagOfWordsEncoder):
                module.register_forward_pre_hook(self.count)
            if hasattr(module, "token_log_prob"):
                module.token_log_prob = self.counted(module.token_log_prob)

    def count(self, module, inputs):
        self.add(type(module).__name__, len(inputs[0]))

    def counted(self, function):
        def token_log_prob(tokens, mask, context):
            self.add("scored", tokens[..., 0].numel())
            return function(tokens, mask, context)

        return token_log_prob

    def add(self, name, number):
        self.counts.setdefault(name, []).append(number)


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_network_is_given_a_sentence_that_is_not_there(name):
    """Six of twelve places are sentences; what goes along a document has three rows, one each."""
    model, guide = pair_of(name)
    seen = RowsSeen(model, guide)
    BetaELBO()(model, guide)(**fields_of(name, slice(0, 3)))
    assert seen.counts["scored"] == [6]
    # The recurrence over sentences has documents for rows; the sentences before the last are four.
    per_sentence = [n for key, many in seen.counts.items() if key != "scored" for n in many]
    # A guide of topics reads a document as one bag of words.
    assert max(per_sentence) == (3 if name == "topic_model" else 6)


def test_flat_text_is_given_as_it_is():
    """A mask of all is no reason to copy: the network sees what it was given."""
    text = decoder(2)(torch.zeros(3, 2))
    rows = torch.tensor([[5, 2], [6, 2], [7, 2]])
    shapes = []
    score = text.network.token_log_prob
    text.network.token_log_prob = lambda *args: shapes.append(args[0]) or score(*args)
    expected = text.log_prob(rows)
    for mask in (True, torch.ones(3, dtype=torch.bool)):
        assert torch.equal(text.mask(mask).log_prob(rows), expected)
    assert all(shape.shape == rows.shape for shape in shapes)
    assert text.mask(False).log_prob(rows).tolist() == [0, 0, 0]
    assert len(shapes) == 3


class Moods(nn.Module):
    """Each document is of one of three moods, which is summed out."""

    def __init__(self):
        super().__init__()
        self.decoder = decoder(2)
        self.moods = nn.Parameter(torch.randn(3, 2))
        self.shares = nn.Parameter(torch.randn(3))

    def forward(self, tokens):
        rows, given = scorable_rows(tokens)
        with pyro.plate("data", len(tokens), dim=-2):
            moods = dist.Categorical(logits=self.shares)
            y = pyro.sample("y", moods, infer={"enumerate": "parallel"})
            with pyro.plate("sentences", given.shape[1], dim=-1), poutine.mask(mask=given):
                return pyro.sample("x", self.decoder(self.moods[y]).mask(given), obs=rows)


def test_latents_that_are_summed_out(monkeypatch):
    """By our sum and by Pyro's own, of which each value scores the sentences that there are."""
    torch.manual_seed(0)
    model = Moods().double()

    def guide(tokens):
        pass

    objectives = (BetaELBO(), TraceEnum_ELBO(max_plate_nesting=2))
    parameters = list(model.parameters())

    def found():
        losses = [
            objective.differentiable_loss(model, guide, tokens=TOKENS) for objective in objectives
        ]
        return [(loss, torch.autograd.grad(loss, parameters)) for loss in losses]

    ours = found()
    torch.testing.assert_close(ours[0], ours[1], rtol=1e-10, atol=1e-12)
    seen = RowsSeen(model)
    found()
    assert seen.counts["scored"] == [6, 6]
    compute_every_row(monkeypatch)
    torch.testing.assert_close(ours, found(), rtol=1e-12, atol=1e-13)
