# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Beams against all sentences of a small vocabulary, and against ``transformers``."""

import itertools

import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.data import train_tokenizer
from pyro_textvae.distributions import AutoregressiveCategorical
from pyro_textvae.errors import UserError
from pyro_textvae.generation import Beam, Constraints, Greedy, sample
from pyro_textvae.generation.largest import largest
from pyro_textvae.nn.hugging_face.loading import quietly
from pyro_textvae.special_tokens import BOS, EOS, FIRST_EMITTED
from tests.generation.enumeration import LENGTH, all_rows, lengths_of, text_of

EACH = pytest.mark.parametrize("name", zoo.names("decoders"))
EACH_MEMORY = pytest.mark.parametrize("memory", [False, True])
NONE = Constraints()


@EACH
@EACH_MEMORY
@pytest.mark.parametrize("length_penalty", [0.0, 1.0, -0.5])
def test_width_of_all_prefixes_is_exhaustive(name, memory, length_penalty):
    """The five best sentences, in order, with their scores and log-probabilities."""
    text, rows = text_of(name, memory=memory), all_rows()
    score = text.log_prob(rows.unsqueeze(1))
    score = score / lengths_of(rows).double().unsqueeze(1) ** length_penalty
    best = score.topk(5, 0)
    result = Beam(4**LENGTH, length_penalty, 5).generate(text, NONE)
    if name != "bag_of_words":  # Any order of the same words has the same probability.
        assert torch.equal(result.tokens, rows[best.indices])
    torch.testing.assert_close(result.score, best.values, rtol=0, atol=1e-10)
    log_prob = text.log_prob(result.tokens)
    torch.testing.assert_close(result.log_prob, log_prob, rtol=0, atol=1e-10)


@EACH
@EACH_MEMORY
def test_narrow_beams_have_their_log_probability_and_are_alone_as_in_a_batch(name, memory):
    """A cache whose rows are not those of the beams would give other words."""
    text = text_of(name, memory=memory, length=7)
    for method in (Beam(3, 0.7, 2), Beam(4, 0.0, 3, 2, 0.5), Greedy()):
        result = method.generate(text, NONE)
        log_prob = text.log_prob(result.tokens)
        torch.testing.assert_close(result.log_prob, log_prob, rtol=0, atol=1e-10)
        for row in range(3):
            place = torch.tensor([row])
            alone = AutoregressiveCategorical(text.network, text.context.index_select(place), 7)
            one = method.generate(alone, NONE)
            words, same = one.tokens[:, 0], result.tokens[:, row]
            if name == "bag_of_words":  # Any order of the same words has the same probability.
                words, same = words.sort(-1).values, same.sort(-1).values
            assert torch.equal(words, same)
            torch.testing.assert_close(one.score[:, 0], result.score[:, row])


@EACH
def test_beam_of_one_is_greedy(name):
    text = text_of(name, length=7)
    result = Beam(1, 0.0).generate(text, NONE)
    assert torch.equal(result.tokens[0], text.greedy())
    torch.testing.assert_close(result.score, text.log_prob(result.tokens))


@pytest.mark.parametrize("length_penalty", [0.0, 2.0])
def test_search_goes_on_while_an_open_beginning_can_win(length_penalty):
    """Short sentences that are likely at first, long ones that are better by their mean.

    One row at a time: a batch goes on for all while one of its rows does.
    """
    text = text_of("gru", rows=30, memory=False, length=8, scale=0.8)
    with torch.no_grad():
        text.network.token_scores.bias[0] += 3.0
    rows = [text.context.index_select(torch.tensor([row])) for row in range(30)]
    alone = [AutoregressiveCategorical(text.network, row, 8) for row in rows]
    early = [Beam(6, length_penalty).generate(one, NONE).score[0] for one in alone]
    late = _beams_to_the_end(text, 6, length_penalty)
    torch.testing.assert_close(torch.cat(early), late, rtol=0, atol=1e-9)


def _beams_to_the_end(text, num_beams, length_penalty):
    """The best score of the same search by whole log-probabilities, without an early stop."""
    scores = []
    for row in range(text.batch_shape[0]):
        context = text.context.index_select(torch.tensor([row]))
        begun, best = [()], -float("inf")
        for length in range(1, 9):
            grown = torch.tensor([b + (c,) for b in begun for c in range(FIRST_EMITTED, 6)])
            with torch.no_grad():
                by_token = text.network.token_log_prob(
                    grown, torch.ones_like(grown, dtype=torch.bool), context
                )
            total, order = by_token.sum(-1).sort(descending=True)
            candidates = [tuple(grown[place].tolist()) for place in order]
            for rank, sentence in enumerate(candidates[:num_beams]):
                if sentence[-1] == EOS or length == 8:
                    best = max(best, total[rank].item() / length**length_penalty)
            begun = [c for c in candidates[: 2 * num_beams] if c[-1] != EOS][:num_beams]
        scores.append(best)
    return torch.tensor(scores, dtype=torch.float64)


def test_groups_are_those_of_a_search_by_hand():
    """Two groups of two: a token loses a penalty for each beam of the first that just took it."""
    text = text_of("lstm", rows=1, length=4)
    penalty = 0.9
    groups, complete = [[((), 0.0)], [((), 0.0)]], [[], []]
    for position in range(4):
        counts = dict.fromkeys(range(FIRST_EMITTED, 6), 0)
        for g, group in enumerate(groups):
            grown = [
                (row + (c,), score + _next_log_prob(text, row, c) - penalty * counts[c])
                for row, score in group
                for c in range(FIRST_EMITTED, 6)
            ]
            grown.sort(key=lambda each: -each[1])
            last = position == 3
            complete[g] += [(r, s / len(r)) for r, s in grown[:2] if r[-1] == EOS or last]
            groups[g] = [(r, s) for r, s in grown[:4] if r[-1] != EOS][:2]
            for row, _ in groups[g]:
                counts[row[-1]] += 1
    # Each group has its two best.
    best = [sorted(each, key=lambda pair: -pair[1])[:2] for each in complete]
    complete = sorted(best[0] + best[1], key=lambda pair: -pair[1])
    result = Beam(4, 1.0, 4, num_beam_groups=2, diversity_penalty=penalty).generate(text, NONE)
    ours = [tuple(i for i in row if i) for row in result.tokens[:, 0].tolist()]
    assert ours == [row for row, _ in complete]
    torch.testing.assert_close(
        result.score[:, 0], torch.tensor([score for _, score in complete]).double()
    )
    torch.testing.assert_close(result.log_prob, text.log_prob(result.tokens))
    assert (result.score < result.log_prob / lengths_of(result.tokens) - 0.1).any()


def _next_log_prob(text, row, token):
    ids = torch.tensor([[*row, token]])
    every = torch.ones_like(ids, dtype=torch.bool)
    with torch.no_grad():
        parts = text.network.token_log_prob(ids, every, text.context)
    return parts[0, -1].item()


def test_groups_without_a_penalty_are_that_many_small_searches():
    text = text_of("gru", length=6)
    small = Beam(2, 1.0, 2).generate(text, NONE)
    grouped = Beam(6, 1.0, 6, num_beam_groups=3).generate(text, NONE)
    assert torch.equal(grouped.tokens[::3], small.tokens)
    torch.testing.assert_close(grouped.score, small.score.repeat_interleave(3, 0))


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
@pytest.mark.parametrize("model", ["gpt2", "llama"])
def test_beams_of_a_pretrained_model_are_those_of_transformers(pretrained, model, length_penalty):
    """Ids, order and scores, over the tokens that a text of ours can contain."""
    # Skips where there is no transformers.
    folder = pretrained(model)
    import transformers

    tokenizer = train_tokenizer([], f"hf:{folder}")
    options = {"tokenizer": tokenizer, "latent_dim": 0, "max_length": 8}
    decoder = zoo.build(zoo.load("decoders", f"hf:{folder}"), options).eval()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    their_ids, left_out = decoder.embedding.their_ids, decoder.token_scores.left_out

    def over_our_tokens(_, scores):
        return (scores + left_out).log_softmax(-1)

    with quietly():
        expected = theirs.generate(
            their_ids[BOS].view(1, 1),
            generation_config=transformers.GenerationConfig(
                num_beams=4,
                num_return_sequences=3,
                max_new_tokens=8,
                length_penalty=length_penalty,
                early_stopping="never",
                eos_token_id=int(their_ids[EOS]),
                pad_token_id=int(their_ids[EOS]),
                return_dict_in_generate=True,
                output_scores=True,
            ),
            logits_processor=transformers.LogitsProcessorList([over_our_tokens]),
        )
    ours = Beam(4, length_penalty, 3).generate(decoder().expand((1,)), NONE)
    width = expected.sequences.shape[1] - 1
    rows = their_ids[ours.tokens[:, 0].clamp(min=EOS)][:, :width]
    assert torch.equal(rows, expected.sequences[:, 1:])
    torch.testing.assert_close(ours.score[:, 0], expected.sequences_scores, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.log_prob, decoder().log_prob(ours.tokens), rtol=0, atol=1e-5)


def test_largest_is_topk():
    values = torch.randn(7, 1000, generator=torch.Generator().manual_seed(0))
    values[3, 5:] = -torch.inf
    for k in (1, 5, 70, 1000):
        expected, ours = values.topk(k), largest(values, k)
        assert torch.equal(ours[0], expected.values)
        assert torch.equal(values.gather(1, ours[1]), expected.values)
        assert all(len(set(row)) == k for row in ours[1].tolist())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 0}, "num_beams must be at least 1, got 0"),
        ({"num_beams": 2, "num_return_sequences": 3}, "num_return_sequences=3 is more than num_be"),
        ({"num_beams": 5, "num_beam_groups": 2}, "num_beams=5 must be a multiple of num_beam_gr"),
        ({"diversity_penalty": 1.0}, "diversity_penalty=1.0 is between groups"),
        ({"diversity_penalty": -1.0, "num_beam_groups": 5}, "must be at least 0, got -1.0"),
        ({"length_penalty": float("inf")}, "length_penalty must be finite"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        Beam(**options)


def test_fewer_sentences_than_asked_for_are_said():
    text = text_of("gru", length=1)
    with pytest.raises(UserError, match="fewer than num_return_sequences=5 sentences"):
        Beam(5, num_return_sequences=5).generate(text, NONE)


def test_several_sentences_stand_side_by_side(pair):
    z = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)).double()
    two = sample(pair[0], 4, method=Beam(4, 0.0, 2), latents={"z": z})
    both = pair[0].decoder(z).log_prob(two.view(4, 2, 6).transpose(0, 1))
    assert (both[0] > both[1]).all()
    assert torch.equal(two[::2], sample(pair[0], 4, method=Beam(4, 0.0), latents={"z": z}))
    assert len({tuple(row) for row in itertools.chain(two.tolist())}) > 2
