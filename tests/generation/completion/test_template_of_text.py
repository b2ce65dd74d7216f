# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import re

import pytest
import torch

from pyro_textvae.data import train_tokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.generation.completion import complete, template_of_text
from pyro_textvae.guides import EmptyGuide
from pyro_textvae.models import LanguageModel
from pyro_textvae.nn import GRUDecoder
from pyro_textvae.special_tokens import EOS, SPECIAL_TOKENS, UNK

SENTENCES = ["the cat sat on the mat", "a cot sat on a hat , it said ..."]


@pytest.fixture(scope="module")
def words():
    return train_tokenizer(SENTENCES)


def ids(tokenizer, text):
    return tuple(tokenizer.encode(text))


def test_holes_of_words(words):
    template = template_of_text(words, "the ___ sat ... the ______")
    assert template.runs == (ids(words, "the"), ids(words, "sat"), ids(words, "the"), (EOS,))
    assert [hole.further is None for hole in template.holes] == [True, False, True]
    first = template.holes[0].first
    assert not first[: len(SPECIAL_TOKENS) - 1].any()
    assert first[UNK]
    assert first[UNK + 1 :].all()
    assert not template_of_text(words, "the ___", unknown=False).holes[0].first[UNK]


def test_a_prompt_goes_on(words):
    for text, is_prompt in (("the cat", True), ("the cat ...", False), ("the cat …", False)):
        template = template_of_text(words, text, is_prompt=is_prompt)
        assert template.runs == (ids(words, "the cat"), (EOS,))
        assert template.is_open
    assert len(template_of_text(words, "... ... cat").holes) == 1


def test_a_backslash_makes_it_text(words):
    template = template_of_text(words, r"the ___ said \...")
    assert template.runs == (ids(words, "the"), (*ids(words, "said ..."), EOS))
    with pytest.raises(UserError, match="nothing to complete: write ___ for a word"):
        template_of_text(words, r"the cat said \...")
    with pytest.raises(UserError, match="'____' is not in the vocabulary"):
        template_of_text(words, r"the \____ ___")


def test_unknown_words_are_told_with_the_nearest(words):
    with pytest.raises(UserError, match="'cut' is not in the vocabulary: nearest are 'cot', 'cat'"):
        template_of_text(words, "the cut ___")
    assert template_of_text(words, "the <unk> ___").runs[0] == (*ids(words, "the"), UNK)
    assert template_of_text(train_tokenizer(SENTENCES, "bpe"), "the cut ___").runs[0]


@pytest.mark.parametrize("kind", ["bpe", "character"])
@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("the ___ sat", r"the [^ ]+ sat"),
        ("___ cat", r"[^ ]+ cat"),
        ("a ___", r"a [^ ]+"),
        ("the ___ ___ mat", r"the [^ ]+ [^ ]+ mat"),
        ("the ... mat", r"the.* mat"),
    ],
)
def test_a_word_of_smaller_tokens_has_no_space_in_it(kind, text, pattern):
    tokenizer = train_tokenizer(SENTENCES, kind, vocab_size=300 if kind == "bpe" else None)
    decoder = GRUDecoder(len(tokenizer), 4, 6, 0, 20)
    found = complete(
        LanguageModel(decoder), EmptyGuide(), template_of_text(tokenizer, text), num_particles=40
    )
    written = {tokenizer.decode(row) for row in found.tokens.tolist()}
    assert len(written) > 5
    assert all(re.fullmatch(pattern, each, re.DOTALL) for each in written), written
    assert torch.isfinite(found.probability).all()
