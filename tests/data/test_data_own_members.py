# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sources and tokenizers of a user's own, as file.py:Class: through load_corpus and a whole run."""

import json
import textwrap

import pytest

from pyro_textvae import zoo
from pyro_textvae.cli.main import main
from pyro_textvae.data import Tokenizer, load_corpus, train_tokenizer
from pyro_textvae.data.tokenizers import WordTokenizer
from pyro_textvae.errors import UserError
from pyro_textvae.runs.load import load_run

SOURCE = """
from pyro_textvae.data import Record


class Counting:
    name = "counting"

    def __init__(self, num_sentences=60, label_column=None):
        self.num_sentences = num_sentences or 60
        self.label_column = label_column

    def digest(self):
        return f"{self.num_sentences} {self.label_column}"

    def records(self):
        for number in range(self.num_sentences):
            split = ("train", "train", "valid", "test")[number % 4]
            label = ("even", "odd")[number // 4 % 2] if self.label_column else None
            yield Record(
                split, f"Take {number % 7} of THESE", f"number {number}", "How many ?", label
            )
"""
TOKENIZER = """
from pyro_textvae.data.tokenizers import WordTokenizer


class LowerCase(WordTokenizer):
    def prepare(self, text):
        return super().prepare(text.lower())
"""


def write(path, text):
    path.write_text(textwrap.dedent(text))
    return path


@pytest.fixture
def source(tmp_path):
    return f"{write(tmp_path / 'counting.py', SOURCE)}:Counting"


@pytest.fixture
def tokenizer(tmp_path):
    return f"{write(tmp_path / 'lower.py', TOKENIZER)}:LowerCase"


def test_own_source_yields_all_fields(source):
    corpus = load_corpus(source, label_column="parity")
    assert (corpus.source, corpus.fields) == ("counting", ("tokens", "source", "labels"))
    assert (len(corpus.train), len(corpus.valid), len(corpus.test)) == (30, 15, 15)
    batch = corpus.test.batch([0, 1, 2])
    assert batch["labels"].tolist() == [0, 1, 0]
    assert corpus.tokenizer.decode(batch["source"][0]) == "How many ?"
    assert corpus.tokenizer.decode(batch["tokens"][1]) == "Take 0 of THESE"
    assert load_corpus(source).fields == ("tokens", "source")


def test_own_source_is_given_the_settings_that_it_names(source):
    assert len(load_corpus(source, num_sentences=20).train) == 10
    with pytest.raises(UserError, match="text_column='x' applies to .*a folder, a file or"):
        load_corpus(source, text_column="x")


def test_an_edited_source_is_read_again(source, tmp_path):
    before = load_corpus(source)
    write(tmp_path / "counting.py", SOURCE.replace("Take", "Leave"))
    after = load_corpus(source)
    assert after.fingerprint != before.fingerprint
    assert "Leave" in after.tokenizer.vocabulary


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "counting"', "pass", "is no source, as it has no 'name'"),
        ('name = "counting"', 'name = "grammar"', "calls itself 'grammar', as a source of the"),
        ("def records", "def rows", "is no source, as it has no 'records'"),
        ('"train", "valid"', '"train", "dev"', "number 2 is in the split 'dev'; it must be one of"),
        ('f"Take {number % 7} of THESE"', "number", "number 0: text is 0, not a string"),
        ("yield Record(", "yield dict(split=split) or (", "yields dict as record 1"),
        ('"How many ?"', "None if number == 5 else 'a'", "number 5 has no source, and the first"),
        ("split = (", "split = 1 / (number - 9) and (", "fails after 9 records: ZeroDivisionError"),
        ("return f", "return 1 / 0 or f", r"digest\(\) of .*Counting fails: ZeroDivisionError"),
    ],
)
def test_own_source_that_is_none(source, tmp_path, old, new, message):
    assert old in SOURCE
    write(tmp_path / "counting.py", SOURCE.replace(old, new))
    with pytest.raises(UserError, match=message) as caught:
        load_corpus(source)
    assert "\n" not in str(caught.value)


def test_sources_that_are_not_there(tmp_path, folder):
    with pytest.raises(UserError, match="there is no file .*nowhere.py"):
        load_corpus(f"{tmp_path}/nowhere.py:Mine")
    with pytest.raises(UserError, match="pyro_textvae.data defines no class 'Nothing'"):
        load_corpus("pyro_textvae.data:Nothing")
    with pytest.raises(UserError, match="'stdlib:x' has 'x' too much; give stdlib"):
        load_corpus("stdlib:x")
    for bare in ("nltk", "nltk:"):
        with pytest.raises(UserError, match=f"'{bare}' does not say what to read; give nltk:NAME"):
            load_corpus(bare)
    with pytest.raises(UserError, match="no such corpus: 'grammer'; did you mean 'grammar'"):
        load_corpus("grammer")


def test_paths_that_look_like_names(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    for name in ("a:b", "nltk", "json:tool", "stdlib:old"):
        folder.rename(folder.with_name(name))
        assert len(load_corpus(name).train) == 6
        folder.with_name(name).rename(folder)


def test_every_source_of_the_catalogue_says_how_it_is_named():
    for name in zoo.names("sources"):
        member = zoo.load("sources", name)
        assert member.spelling.partition(":")[0] == name or name == "text_files"


def test_own_tokenizer_prepares_text_and_sources(tokenizer, source):
    corpus = load_corpus(source, tokenizer=tokenizer)
    assert corpus.tokenizer.kind == "LowerCase"
    assert all(word == word.lower() for word in corpus.tokenizer.vocabulary)
    assert corpus.tokenizer.encode("TAKE") == corpus.tokenizer.encode("take")
    assert corpus.tokenizer.tokens_are_words
    again = load_corpus(source, tokenizer=tokenizer)
    assert again.tokenizer == corpus.tokenizer
    assert load_corpus(source, tokenizer=corpus.tokenizer).fingerprint == corpus.fingerprint


def test_own_tokenizer_is_another_than_the_one_it_derives_from(tokenizer):
    words = train_tokenizer(["a b"], "word")
    mine = train_tokenizer(["a b"], tokenizer)
    assert mine.vocabulary == words.vocabulary
    assert mine.fingerprint != words.fingerprint
    assert mine != words


def test_own_tokenizer_that_was_edited_makes_another_corpus(tokenizer, tmp_path, folder):
    before = load_corpus(folder, tokenizer=tokenizer)
    write(tmp_path / "lower.py", TOKENIZER.replace("text.lower()", "text.replace('cat', 'dog')"))
    after = load_corpus(folder, tokenizer=tokenizer)
    assert "cat" in before.tokenizer.vocabulary
    assert "cat" not in after.tokenizer.vocabulary
    assert after.fingerprint != before.fingerprint


def test_saved_own_tokenizer_needs_its_class(tokenizer, tmp_path):
    mine = train_tokenizer(["a b"], tokenizer)
    mine.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json", tokenizer)
    assert loaded == mine
    assert loaded.encode("A B") == [4, 5]
    with pytest.raises(UserError, match="its parts are not those of the kind CharacterTokenizer"):
        Tokenizer.load(tmp_path / "tokenizer.json", "character")


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("return text.nothing", "the tokenizer LowerCase fails on '.*': AttributeError"),
        ("return 3", "LowerCase.prepare must return a string, got int"),
    ],
)
def test_own_tokenizer_that_fails(tokenizer, tmp_path, folder, new, message):
    write(tmp_path / "lower.py", TOKENIZER.replace("return super().prepare(text.lower())", new))
    with pytest.raises(UserError, match=message):
        load_corpus(folder, tokenizer=tokenizer)


def test_class_that_is_no_tokenizer(source):
    with pytest.raises(UserError, match="Counting is no tokenizer: derive it from"):
        load_corpus("grammar", tokenizer=source)


def test_kinds_say_what_they_need():
    smallest = {n: zoo.load("tokenizers", n).smallest_vocabulary for n in zoo.names("tokenizers")}
    assert smallest == {"bpe": 260, "character": 5, "nltk": 5, "word": 5}
    words = [n for n in smallest if zoo.load("tokenizers", n).tokens_are_words]
    assert words == ["nltk", "word"]
    assert zoo.name_of("tokenizers", WordTokenizer) == "word"
    assert zoo.name_of("sources", WordTokenizer) is None


TINY = "--embedding-dim 4 --hidden-dim 5 --latent-dim 2 --epochs 1".split()


def test_a_run_with_an_own_tokenizer_keeps_it(tokenizer, folder, tmp_path, capsys):
    run = tmp_path / "run"
    train = ["train", "--data", str(folder), "--tokenizer", tokenizer, *TINY, "--out", str(run)]
    assert main(train) == 0
    stored = json.loads((run / "config.json").read_text())
    assert stored["tokenizer_kind"] == "source/tokenizer/lower.py:LowerCase"
    assert stored["settings"]["tokenizer"] == tokenizer
    (tmp_path / "lower.py").unlink()
    _, _, loaded = load_run(run)
    assert loaded.encode("THE") == loaded.encode("the") != [3]
    assert (
        main(
            ["evaluate", str(run), "--num-samples", "2", "--proposal", "guide", "--report", "false"]
        )
        == 0
    )
    assert main(["sample", str(run), "--size", "2"]) == 0
    assert main(["reconstruct", str(run), "--text", "THE CAT"]) == 0
    assert "the cat" in capsys.readouterr().out
    assert main(["train", "--resume", str(run), "--epochs", "2"]) == 0


def test_a_run_of_the_catalogue_says_nothing_of_its_tokenizer(folder, tmp_path):
    run = tmp_path / "run"
    assert main(["train", "--data", str(folder), *TINY, "--out", str(run)]) == 0
    stored = json.loads((run / "config.json").read_text())
    assert "tokenizer_kind" not in stored
    assert set(stored["specs"]) == {"model", "guide", "prior", "decoder", "encoder"}


def test_a_run_on_an_own_source(source, tmp_path, capsys):
    path = tmp_path / "counting.py"
    write(path, SOURCE.replace('"How many ?", label', "None, label"))
    run = tmp_path / "run"
    train = ["train", "--data", source, "--num-sentences", "40", *TINY, "--out", str(run)]
    assert main(train) == 0
    evaluate = [
        "evaluate",
        str(run),
        "--num-samples",
        "2",
        "--proposal",
        "guide",
        "--report",
        "false",
    ]
    assert main(evaluate) == 0
    assert main([*evaluate, "--data", source]) == 0
    assert main(["sample", str(run), "--size", "2"]) == 0
    capsys.readouterr()
    write(path, SOURCE.replace('"How many ?", label', "None, label").replace("Take", "Leave"))
    assert main(["evaluate", str(run)]) == 2
    assert "is not the one that" in capsys.readouterr().err
