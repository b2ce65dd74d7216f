# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Pre-trained causal language models as decoders."""

import copy
from pathlib import Path

import pytest
import torch

from pyro_textvae import zoo
from pyro_textvae.data import train_tokenizer
from pyro_textvae.distributions import Context, Memory, select_rows
from pyro_textvae.distributions.context import SharedMemory
from pyro_textvae.errors import UserError
from pyro_textvae.models import LanguageModel, SentenceVAE
from pyro_textvae.priors import StandardNormal
from pyro_textvae.special_tokens import BOS, EOS, FIRST_EMITTED, UNK
from pyro_textvae.testing import check_model
from tests.pretrained_folders import MOST_PLACES, TEXTS, save

NAMES = ["gpt2", "llama"]
WAYS = [["attention"], ["initial_state"], ["addition"], ["attention", "initial_state", "addition"]]
LATENT_DIM, MAX_LENGTH = 3, 9


def decoder_of(folder, **options):
    """A decoder in evaluation mode whose maps of z have been moved from where they begin."""
    tokenizer = train_tokenizer([], f"hf:{folder}")
    values = {"tokenizer": tokenizer, "latent_dim": LATENT_DIM, "max_length": MAX_LENGTH}
    torch.manual_seed(1)
    return zoo.build(zoo.load("decoders", f"hf:{folder}"), values | options).eval()


def sentences(folder):
    """Two sentences of different lengths, right-padded."""
    tokenizer = train_tokenizer([], f"hf:{folder}")
    rows = [[*tokenizer.encode(text)[:n], EOS] for text, n in zip(TEXTS, (7, 3), strict=False)]
    return torch.tensor([row + [0] * (8 - len(row)) for row in rows])


@pytest.mark.parametrize("ways", WAYS, ids="+".join)
@pytest.mark.parametrize("name", NAMES)
def test_a_word_at_a_time_is_the_whole_sentence_at_once(pretrained, name, ways):
    decoder = decoder_of(pretrained(name), injection=ways, num_slots=2).double()
    tokens = sentences(pretrained(name))
    context = decoder(torch.randn(2, LATENT_DIM, dtype=torch.double)).context
    at_once = decoder.hidden_states(tokens, context)
    state, previous = decoder.initial_state(context), torch.full((2,), BOS)
    for place in range(tokens.shape[1]):
        hidden, state = decoder.advance(decoder.embed(previous), state, context)
        torch.testing.assert_close(hidden, at_once[:, place], rtol=1e-5, atol=1e-5)
        previous = tokens[:, place]
    swapped = select_rows(state, torch.tensor([1, 0]))
    torch.testing.assert_close(swapped[0][0][0], state[0][0][0].flip(0))
    assert not torch.allclose(
        at_once, decoder.hidden_states(tokens, decoder(context.z + 1).context)
    )


@pytest.mark.parametrize("options", [{"injection": WAYS[-1]}, {"fine_tuning": "none"}], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_contract(pretrained, name, options):
    decoder = decoder_of(pretrained(name), **options)
    check_model(SentenceVAE(prior=StandardNormal(LATENT_DIM), decoder=decoder))


@pytest.mark.parametrize("name", NAMES)
def test_without_z_it_is_the_language_model_over_what_a_text_can_contain(pretrained, name):
    """The numbers of transformers' own model, renormalised over the tokens that have an id."""
    folder = pretrained(name)
    import transformers

    model = LanguageModel(decoder_of(folder, latent_dim=0))
    tokens = sentences(folder)
    scored = model.decoder().log_prob(tokens)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    their_ids = model.decoder.embedding.their_ids
    kept = [index for index in range(EOS, len(their_ids)) if name != "gpt2" or index != UNK]
    for row, total in zip(tokens, scored, strict=True):
        row = row[: int((row == EOS).nonzero()[0]) + 1]
        inputs = their_ids[torch.cat([torch.tensor([BOS]), row[:-1]])]
        logits = theirs(inputs.unsqueeze(0)).logits[0][:, their_ids[kept]]
        places = [kept.index(index) for index in row.tolist()]
        expected = logits.log_softmax(-1)[torch.arange(len(row)), places].sum()
        torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_all_mass_is_on_what_a_text_can_contain(pretrained, name):
    decoder = decoder_of(pretrained(name))
    hidden = torch.randn(1, decoder.network.state_dim)
    classes = torch.arange(FIRST_EMITTED, decoder.vocab_size)
    log_prob = decoder.token_scores.log_prob(hidden.expand(len(classes), -1), classes)
    torch.testing.assert_close(log_prob.exp().sum(), torch.ones(()))
    torch.testing.assert_close(decoder.token_scores(hidden)[0].log_softmax(-1), log_prob)
    assert bool(log_prob[UNK - FIRST_EMITTED].isinf()) == (name == "gpt2")
    assert log_prob.isfinite().sum() == len(classes) - (name == "gpt2")


def test_embeddings_are_not_touched(pretrained):
    folder = pretrained("gpt2")
    import transformers

    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).state_dict()
    ours = decoder_of(folder, injection=WAYS[-1]).network.network.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("num_draws", [1, 16])
def test_prompt_is_read_once_for_all_draws_and_scores_as_if_read_for_each(pretrained, num_draws):
    folder = pretrained("gpt2")
    decoder = decoder_of(folder, prompt=True, injection=["attention", "initial_state"]).double()
    tokens, source = sentences(folder)[:, :8], sentences(folder).flip(0)
    rows = []
    block = decoder.network.network.transformer.h[0]
    block.register_forward_pre_hook(lambda _, inputs: rows.append(tuple(inputs[0].shape[:2])))
    z = torch.randn(num_draws, 2, LATENT_DIM, dtype=torch.double)
    together = decoder(z, decoder.read(source)).log_prob(tokens)
    assert rows == [(2, source.shape[1] + 1), (2 * num_draws, 1 + tokens.shape[1])]
    assert together.shape == (num_draws, 2)
    for draw in (0, num_draws - 1):
        for row in range(2):
            length = int((source[row] == EOS).nonzero()[0]) + 1
            memory = decoder.read(source[row : row + 1, :length])
            alone = decoder(z[draw, row : row + 1], memory).log_prob(tokens[row : row + 1])
            torch.testing.assert_close(together[draw, row : row + 1], alone)
    other = decoder(z, decoder.read(source.flip(0))).log_prob(tokens)
    assert not torch.allclose(together, other)


def test_prompt_is_read_once_for_all_draws_that_are_generated(pretrained):
    """As rows of a memory that they share, in any order, and as copies of it."""
    folder = pretrained("gpt2")
    decoder = decoder_of(folder, prompt=True).double()
    memory = decoder.read(sentences(folder)[:2])
    rows = torch.tensor([0, 1, 1, 0, 1])
    copies = Memory(*(part[rows] for part in (memory.states, memory.mask, memory.ids)))
    z = torch.randn(5, LATENT_DIM, dtype=torch.double)
    read, states = [], []
    block = decoder.network.network.transformer.h[0]
    block.register_forward_pre_hook(lambda _, inputs: read.append(len(inputs[0])))
    for each in (SharedMemory(memory, rows), copies):
        context = Context(z, each)
        state = decoder.initial_state(context)
        states.append(decoder.advance(decoder.embed(rows + BOS), state, context)[0])
    torch.testing.assert_close(*states)
    assert read == [2, 5, 5, 5]


def test_prompted_a_word_at_a_time_is_the_whole_sentence_at_once(pretrained):
    folder = pretrained("llama")
    decoder = decoder_of(folder, prompt=True, injection=WAYS[-1]).double()
    tokens, source = sentences(folder), sentences(folder).flip(0)
    z = torch.randn(2, LATENT_DIM, dtype=torch.double)
    context = decoder(z, decoder.read(source)).context
    at_once = decoder.hidden_states(tokens, context)
    state, previous = decoder.initial_state(context), torch.full((2,), BOS)
    for place in range(tokens.shape[1]):
        hidden, state = decoder.advance(decoder.embed(previous), state, context)
        torch.testing.assert_close(hidden, at_once[:, place], rtol=1e-5, atol=1e-5)
        previous = tokens[:, place]


def moving(module):
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}


def test_frozen_model_is_a_constant_that_dropout_does_not_reach(pretrained):
    decoder = decoder_of(pretrained("gpt2"), fine_tuning="none").train()
    assert moving(decoder) == {"slots.weight", "slots.bias"} == set(decoder.state_dict())
    context, tokens = decoder(torch.zeros(2, LATENT_DIM)).context, sentences(pretrained("gpt2"))
    once, twice = (decoder.hidden_states(tokens, context) for _ in range(2))
    assert torch.equal(once, twice)
    trained = decoder_of(pretrained("gpt2")).train()
    assert not torch.equal(*(trained.hidden_states(tokens, context) for _ in range(2)))


@pytest.mark.parametrize("name", NAMES)
def test_adapters_alone_are_trained_and_saved(pretrained, name):
    pytest.importorskip("peft", reason="the extra [hf] is not installed")
    decoder = decoder_of(pretrained(name), fine_tuning="lora", lora_rank=2)
    assert moving(decoder) == set(decoder.state_dict())
    assert {n.rsplit(".", 3)[-3] for n in moving(decoder.network)} == {"lora_A", "lora_B"}
    plain = decoder_of(pretrained(name)).network.network.state_dict()
    base = copy.deepcopy(decoder).network.network.state_dict()
    named = {n.replace(".base_layer", ""): value for n, value in base.items() if "lora" not in n}
    assert named.keys() == plain.keys()
    other = copy.deepcopy(decoder)
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.requires_grad:
                parameter.add_(0.5)
    tokens, context = sentences(pretrained(name)), decoder(torch.ones(2, LATENT_DIM)).context
    assert not torch.allclose(
        other.hidden_states(tokens, context), decoder.hidden_states(tokens, context)
    )
    decoder.load_state_dict(other.state_dict())
    assert torch.equal(other.hidden_states(tokens, context), decoder.hidden_states(tokens, context))


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("gpt2", {"max_length": MOST_PLACES + 1}, "takes 49 places, and .* has 48: give a smaller"),
        ("gpt2", {"max_length": MOST_PLACES // 2, "prompt": True}, "takes 49 places"),
        ("gpt2", {"injection": "concatenation"}, "would change the width of pre-trained"),
        (
            "gpt2",
            {"fine_tuning": "most"},
            "fine_tuning must be one of full, lora, none, got 'most'",
        ),
        (
            "gpt2",
            {"fine_tuning": "lora", "lora_targets": ["q_proj"]},
            "match no layer of hf:.*give lora_targets of c_attn, c_fc, c_proj",
        ),
        ("gpt2", {"fine_tuning": "lora", "lora_targets": ["lm_head"]}, "output layer"),
        ("gpt2", {"fine_tuning": "lora", "lora_rank": 0}, "lora_rank must be at least 1"),
        ("bert", {}, "is BertModel, which is no causal language model: it lacks cls"),
        ("t5", {}, "is T5.*, which is no causal language model: give --decoder another"),
    ],
    ids=str,
)
def test_what_is_no_decoder_is_refused_in_one_line(pretrained, name, options, reason):
    with pytest.raises(UserError, match=reason) as raised:
        decoder_of(pretrained(name), **options)
    assert "\n" not in str(raised.value)


def test_model_that_looks_ahead_is_refused(pretrained, tmp_path):
    """A BERT with its head, which transformers builds as a causal model without a word."""
    bert = Path(pretrained("bert"))
    import transformers

    folder = tmp_path / "bert"
    config = transformers.AutoConfig.from_pretrained(bert)
    config.is_decoder = False
    transformers.utils.logging.set_verbosity_error()
    save(transformers.BertLMHeadModel(config), folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((bert / name).read_bytes())
    with pytest.raises(UserError, match="a word in it sees the words after it"):
        decoder_of(folder)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("Gemma2", {"final_logit_softcapping": 30.0}, "its scores are no linear map of its last"),
        ("Cohere", {"logit_scale": 0.5}, "its scores are no linear map of its last states"),
        ("Mistral", {"sliding_window": MAX_LENGTH}, "takes 9 places, and .* has 8: give a smaller"),
    ],
)
def test_model_with_a_turn_of_its_own_is_refused(pretrained, tmp_path, name, change, reason):
    """Scores that are capped, even where they are small; a window that z would fall out of."""
    gpt2 = Path(pretrained("gpt2"))
    import transformers

    sizes = {"vocab_size": 320, "hidden_size": 16, "intermediate_size": 24, "head_dim": 8}
    sizes |= {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = getattr(transformers, f"{name}Config")(**sizes, **change)
    folder = tmp_path / name
    save(transformers.AutoModelForCausalLM.from_config(config), folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (folder / file).write_bytes((gpt2 / file).read_bytes())
    with pytest.raises(UserError, match=reason):
        decoder_of(folder)


def test_text_in_other_tokens_is_refused(pretrained):
    tokenizer = train_tokenizer(TEXTS, "word")
    with pytest.raises(UserError, match="the text is in those of word: give --tokenizer hf:"):
        decoder_of(pretrained("gpt2"), tokenizer=tokenizer)
