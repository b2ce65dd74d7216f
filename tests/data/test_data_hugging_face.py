# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Tokenizers of pre-trained models with ids of ours."""

import json
import shutil

import pytest
import tokenizers

from pyro_textvae.data import Tokenizer, load_corpus, train_tokenizer
from pyro_textvae.data.hugging_face import ModelFolder, Vocabulary
from pyro_textvae.data.hugging_face.vocabulary import ABSENT
from pyro_textvae.errors import UserError
from pyro_textvae.special_tokens import BOS, EOS, PAD, SPECIAL_TOKENS, UNK
from tests.pretrained_folders import TEXTS

NAMES = ["gpt2", "llama", "bert", "t5"]
STRANGE = [*TEXTS, "", " two  spaces ", "naïve Ünïcode", "日本", "a\nb", "</s> [SEP] <|endoftext|>"]
OURS = ["<eos>", "a <pad> b", "<bos><eos>", "x<eos>y"]


def vocabulary(pretrained, name):
    return Vocabulary(ModelFolder(pretrained(name)))


@pytest.mark.parametrize("name", NAMES)
def test_text_becomes_the_tokens_that_it_becomes_there(pretrained, name):
    ours, theirs = train_tokenizer([], f"hf:{pretrained(name)}"), vocabulary(pretrained, name)
    # The pieces of T5 have "</s>" among them, which in a text of ours is none.
    for text in STRANGE[: -1 if name == "t5" else None]:
        ids = theirs.original().encode(text, add_special_tokens=False).ids
        assert [theirs.their_ids[index] for index in ours.encode(text)] == ids


@pytest.mark.parametrize("name", NAMES)
def test_a_text_never_has_the_end_of_a_text(pretrained, name):
    tokenizer = train_tokenizer([], f"hf:{pretrained(name)}")
    for text in [*STRANGE, *OURS]:
        assert not {PAD, BOS, EOS} & set(tokenizer.encode(text))


def test_bytes_are_given_back_and_are_never_unknown(pretrained):
    tokenizer = train_tokenizer([], f"hf:{pretrained('gpt2')}")
    for text in [*STRANGE, *OURS]:
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert UNK not in tokenizer.encode(text)


def test_specials_of_ours_are_those_of_the_roles(pretrained):
    theirs = {name: vocabulary(pretrained, name) for name in NAMES}
    special = {name: each.their_ids[: len(SPECIAL_TOKENS)] for name, each in theirs.items()}
    assert special == {
        "gpt2": [0, 0, 0, ABSENT],
        "llama": [2, 1, 2, 0],
        "bert": [0, 2, 3, 1],
        "t5": [0, 1, 1, 2],
    }
    assert theirs["bert"].around_text() == ([2], [3])
    assert theirs["t5"].around_text() == ([], [1])
    assert "[MASK]" not in train_tokenizer([], f"hf:{pretrained('bert')}").vocabulary


def test_no_two_ids_that_a_text_has_are_one_of_theirs(pretrained):
    for name in NAMES:
        emitted = [index for index in vocabulary(pretrained, name).their_ids[EOS:] if index >= 0]
        assert len(set(emitted)) == len(emitted)


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_it_is_the_same(pretrained, name, tmp_path):
    spec = f"hf:{pretrained(name)}"
    tokenizer = train_tokenizer([], spec, unicode_form="nfc")
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json", spec)
    assert loaded == tokenizer
    assert (loaded.kind, loaded.unicode_form) == ("hf", "nfc")
    plain = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert plain.encode("the cat").ids == tokenizer.encode("the cat")


def test_two_models_have_two_entries_in_the_cache(pretrained):
    both = [
        load_corpus("grammar", num_sentences=60, tokenizer=f"hf:{pretrained(n)}") for n in NAMES
    ]
    assert len({corpus.fingerprint for corpus in both}) == len(NAMES)


def changed(pretrained, tmp_path, name, **changes):
    """A copy of a folder with other contents of JSON files, or without the file."""
    folder = tmp_path / "changed"
    shutil.copytree(pretrained(name), folder)
    for stem, change in changes.items():
        path = folder / f"{stem}.json"
        if change is None:
            path.unlink()
        else:
            path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return f"hf:{folder}"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tokenizer": None}, "has no tokenizer.json: write one with AutoTokenizer"),
        ({"tokenizer": {"model": {"type": "Odd"}}}, "is no tokenizer.json"),
        ({"tokenizer_config": {"eos_token": None}, "config": None}, "no token for the end"),
    ],
)
def test_what_is_no_tokenizer_is_refused(pretrained, tmp_path, change, reason):
    with pytest.raises(UserError, match=reason):
        train_tokenizer([], changed(pretrained, tmp_path, "gpt2", **change))


def test_role_of_the_end_is_read_from_the_configuration_too(pretrained, tmp_path):
    spec = changed(pretrained, tmp_path, "llama", tokenizer_config={"eos_token": None})
    assert Vocabulary(ModelFolder(spec.removeprefix("hf:"))).their_ids[EOS] == 2


def test_limits_to_the_vocabulary_are_refused(pretrained):
    with pytest.raises(UserError, match="brings its own vocabulary; leave them out"):
        train_tokenizer([], f"hf:{pretrained('gpt2')}", vocab_size=300)
    with pytest.raises(UserError, match="names no folder: a pre-trained model is read from disk"):
        train_tokenizer([], "hf:gpt2")
