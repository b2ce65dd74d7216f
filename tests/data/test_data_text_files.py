# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Users' own files: what is read, what is counted, and what is refused in one line."""

import json

import pytest

from pyro_textvae.data import UNK, Tokenizer, load_corpus
from pyro_textvae.data.records import split_by_hash
from pyro_textvae.errors import UserError


def test_exact_counts_and_summary(folder):
    (folder / "train.txt").write_text((folder / "train.txt").read_text() + "\n   \n")
    corpus = load_corpus(folder)
    assert (len(corpus.train), len(corpus.valid), len(corpus.test)) == (6, 2, 2)
    assert corpus.train.num_tokens == 35 + 6
    assert corpus.train.lengths.tolist() == [7, 4, 6, 10, 4, 10]
    assert corpus.max_length == 10
    assert corpus.train[1].tolist()[-1] == 2
    assert corpus.tokenizer.decode(corpus.train[3]) == "the bird sang on the mat in the sun"
    assert [int(i) for i in corpus.valid[1]].count(UNK) == 1
    summary = json.loads(json.dumps(corpus.summary()))
    assert summary["train"] == {
        "sentences": 6,
        "tokens": 41,
        "dropped_too_long": 0,
        "truncated": 0,
        "blank_lines_skipped": 2,
        "duplicates_removed": 0,
        "unknown_token_share": 0.0,
    }
    assert summary["valid"]["unknown_token_share"] == pytest.approx(1 / 6)
    assert summary["vocab_size"] == len(corpus.tokenizer) == 4 + 12
    assert (summary["source"], summary["tokenizer"]) == ("toy", "word")
    assert summary["fingerprint"] == corpus.fingerprint
    assert corpus.grammar is None


def test_most_frequent_words_come_first_and_ties_go_by_spelling(folder):
    vocabulary = load_corpus(folder).tokenizer.vocabulary
    assert vocabulary[:5] == ["<pad>", "<bos>", "<eos>", "<unk>", "the"]
    # the 8; a, sat 4; cat, dog, mat, on 3; and, bird 2; in, sang, sun 1
    assert vocabulary[5:] == "a sat cat dog mat on and bird in sang sun".split()


def test_min_count_and_vocab_size_limit_the_vocabulary(folder):
    assert {"in", "sang", "sun"}.isdisjoint(load_corpus(folder, min_count=2).tokenizer.vocabulary)
    assert load_corpus(folder, vocab_size=6).tokenizer.vocabulary[4:] == ["the", "a"]


def test_max_length_drops_and_truncate_cuts(folder):
    dropped = load_corpus(folder, max_length=7)
    assert dropped.train.lengths.tolist() == [7, 4, 6, 4]
    assert dropped.summary()["train"]["dropped_too_long"] == 2
    cut = load_corpus(folder, max_length=7, truncate=True)
    assert cut.train.lengths.tolist() == [7, 4, 6, 7, 4, 7]
    assert cut.tokenizer.decode(cut.train[3]) == "the bird sang on the mat"
    assert cut.train[3][-1] == 2
    assert cut.summary()["train"]["truncated"] == 2
    assert cut.summary()["train"]["dropped_too_long"] == 0


def test_row_access(folder):
    train = load_corpus(folder).train
    assert train[-1].tolist() == train[5].tolist()
    assert len(list(train)) == 6
    with pytest.raises(IndexError):
        train[6]
    assert [row.tolist() for row in train[0:2]] == [train[0].tolist(), train[1].tolist()]


def test_only_line_feeds_end_lines_and_bom_and_crlf_go(folder):
    text = "\ufeffone\u2028two\r\nthree\x0cfour\x85five\r\nsix"
    (folder / "train.txt").write_bytes(text.encode())
    corpus = load_corpus(folder, tokenizer="bpe")
    decoded = [corpus.tokenizer.decode(row) for row in corpus.train]
    assert decoded == ["one\u2028two", "three\x0cfour\x85five", "six"]


@pytest.mark.parametrize("name", ["dev.txt", "val.txt", "validation.txt", "toy.dev.txt"])
def test_other_names_of_the_valid_split(folder, name):
    (folder / "valid.txt").rename(folder / name)
    assert len(load_corpus(folder).valid) == 2


def test_tsv_without_header(folder):
    for split in ("train", "valid", "test"):
        text = (folder / f"{split}.txt").read_text()
        (folder / f"{split}.txt").unlink()
        lines = [f"{number}\t{line}\n" for number, line in enumerate(text.splitlines())]
        (folder / f"{split}.tsv").write_text("".join(lines))
    corpus = load_corpus(folder, text_column="column_1", max_length=7)
    assert corpus.tokenizer.decode(corpus.train[1]) == "the dog sat"
    assert list(corpus.train.columns) == ["column_0"]
    assert corpus.train.columns["column_0"] == ["0", "1", "2", "4"]
    with pytest.raises(KeyError):
        corpus.train.columns["label"]
    assert load_corpus(folder).tokenizer.vocabulary[4:] == [*"012345"]


def test_blank_lines_of_jsonl_are_skipped_and_counted(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [json.dumps({"text": f"word{i} and more"}) for i in range(40)]
    path.write_text("\n \n".join(rows) + "\n")
    corpus = load_corpus(path)
    counts = corpus.summary().values()
    assert sum(len(corpus.split(name)) for name in ("train", "valid", "test")) == 40
    assert sum(each["blank_lines_skipped"] for each in counts if isinstance(each, dict)) == 39


def test_tsv_with_header_and_jsonl(tmp_path):
    rows = [(f"word{i} and more", "yes" if i % 2 else "no") for i in range(300)]
    tsv = tmp_path / "rows.tsv"
    tsv.write_text("label\tsentence\n" + "".join(f"{y}\t{x}\n" for x, y in rows))
    jsonl = tmp_path / "rows.jsonl"
    jsonl.write_text("".join(json.dumps({"text": x, "label": y, "n": 1}) + "\n" for x, y in rows))
    from_tsv, from_jsonl = load_corpus(tsv), load_corpus(jsonl)
    assert from_tsv.fingerprint == from_jsonl.fingerprint
    assert sum(len(from_tsv.split(name)) for name in ("train", "valid", "test")) == 300
    assert from_tsv.train.columns["label"] == from_jsonl.train.columns["label"]
    assert set(from_jsonl.test.columns["n"]) == {"1"}
    labels = dict(rows)
    for row, label in zip(from_tsv.train, from_tsv.train.columns["label"], strict=True):
        assert labels[from_tsv.tokenizer.decode(row)] == label


def test_split_by_hash_keeps_duplicates_together_and_is_near_90_5_5(tmp_path):
    path = tmp_path / "many.txt"
    path.write_text("".join(f"sentence number {i % 2000}\n" for i in range(6000)))
    corpus = load_corpus(path)
    texts = {
        name: [corpus.tokenizer.decode(row) for row in corpus.split(name)]
        for name in ("train", "test")
    }
    assert set(texts["train"]).isdisjoint(texts["test"])
    # 2000 draws at 0.9: standard deviation 13.4, so 4.5 of them allow 60.
    assert abs(len(texts["train"]) / 3 - 1800) < 60


def test_split_of_a_sentence_is_what_it_always_was():
    """A run from before is evaluated on the sentences that it was not trained on."""
    splits = [split_by_hash(f"sentence {i}") for i in range(100)]
    assert [i for i, split in enumerate(splits) if split == "valid"] == [1, 19, 54, 71, 84, 96]
    assert [i for i, split in enumerate(splits) if split == "test"] == [64, 72, 92]


def test_a_given_tokenizer_is_used_as_it_is(folder, one_file):
    tokenizer = load_corpus(folder).tokenizer
    other = load_corpus(one_file, tokenizer=tokenizer)
    assert other.tokenizer == tokenizer
    assert other.summary()["train"]["unknown_token_share"] == 1.0
    with pytest.raises(UserError, match="min_count=2 .* no effect on a given Tokenizer"):
        load_corpus(one_file, tokenizer=tokenizer, min_count=2)


def check_refused(match, source, **options):
    with pytest.raises(UserError, match=match) as caught:
        load_corpus(source, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"tokenizer": "words"}, "no tokenizer 'words'; did you mean 'word'"),
        ({"max_length": 0}, "max_length=0 must be"),
        ({"max_length": -3}, "max_length=-3 must be"),
        ({"max_length": 7.5}, "max_length=7.5 must be"),
        ({"min_count": 0}, "min_count=0 must be"),
        ({"min_count": 50}, "no token .* occurs 50 times"),
        ({"vocab_size": 4}, "vocab_size=4 must be .* at least 5"),
        ({"tokenizer": "bpe", "vocab_size": 200}, "vocab_size=200 is too small for bpe.*260"),
        ({"seed": -1}, "seed=-1 must be"),
        ({"truncate": True}, "truncate=True needs a max_length"),
        ({"num_sentences": 5}, "num_sentences=5 applies to grammar, stdlib and world:NAME, not"),
        (
            {"text_column": "text"},
            "text_column='text' applies to files with columns",
        ),
        ({"max_length": 3}, "max_length=3 drops all 6 sentences of the train split"),
    ],
)
def test_bad_options(folder, options, match):
    check_refused(match, folder, **options)


def test_bad_paths_and_folders(folder, tmp_path):
    check_refused("no such corpus: .*nowhere", tmp_path / "nowhere")
    check_refused("source '' is not a name or a path", "")
    check_refused("source 3 is not a name or a path", 3)
    check_refused("cannot read 'aaa.*too long", "a" * 5000)
    (tmp_path / "text.doc").write_text("words")
    check_refused(
        "text.doc' is not a .arrow, .csv, .jsonl, .parquet, .tokens, .tsv or .txt file",
        tmp_path / "text.doc",
    )
    (folder / "dev.tsv").write_text("words\n")
    check_refused("two files for valid: dev.tsv and valid.txt", folder)
    (folder / "dev.tsv").unlink()
    (folder / "valid.txt").unlink()
    check_refused("has no valid file", folder)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", r"train.txt holds no sentence \(an empty file\)"),
        (b"\n \n\t\n", r"train.txt holds no sentence \(only blank lines\)"),
        (b"fine\nbad \xff\xfe\n", "train.txt line 2 is not UTF-8"),
        (b"fine\nfine\nPK\0\0\n", "train.txt line 3 is binary"),
        (b"fine\n" + b"a " * 10_001 + b"\n", "train.txt line 2 has 10,001 tokens.*max_length"),
    ],
)
def test_bad_text(folder, content, match):
    (folder / "train.txt").write_bytes(content)
    check_refused(match, folder)


def test_a_line_of_10_000_tokens_is_accepted_and_a_longer_one_can_be_cut(folder):
    (folder / "train.txt").write_text("a " * 10_000)
    assert load_corpus(folder).max_length == 10_001
    (folder / "train.txt").write_text("a " * 10_001)
    assert load_corpus(folder, max_length=20, truncate=True).max_length == 20


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ('{"text": "a b"}\n{"text": ', "line 2 is not JSON"),
        ('["a b"]\n', "line 1 is not a JSON object"),
        ('{"text": "a"}\n{"label": "a"}\n', "line 2 has no column 'text' or 'sentence'.*label"),
        ('{"text": 3}\n', "line 1: 'text' is 3, not a string"),
        ('{"text": "\\ud800"}\n', "line 1 holds half of a surrogate pair"),
    ],
)
def test_bad_jsonl(tmp_path, content, match):
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    check_refused(match, path)


@pytest.mark.parametrize(
    ("content", "options", "match"),
    [
        ("text\tlabel\na b\t1\nc d\n", {}, "line 3 has 1 columns where the first row has 2"),
        ("text\tlabel\n", {"text_column": "source"}, "no column 'source'; it has column_0"),
        ("text\ttext\na\tb\n", {}, "line 1 names a column twice"),
        ("text\tlabel\n", {}, "holds no sentence"),
    ],
)
def test_bad_tsv(tmp_path, content, options, match):
    path = tmp_path / "rows.tsv"
    path.write_text(content)
    check_refused(match, path, **options)


def test_too_few_sentences_to_split(tmp_path):
    path = tmp_path / "few.txt"
    path.write_text("only one sentence\n")
    check_refused("holds one single sentence", path)
    path.write_text("only two\nsentences here\n")
    check_refused("split of few.txt is empty: 2 sentences are too few", path)


def test_unknown_split_name(folder):
    with pytest.raises(UserError, match="unknown split 'dev'; it is one of train, valid, test"):
        load_corpus(folder).batches("dev")


def test_loaded_tokenizer_equals_the_corpus_tokenizer(folder, tmp_path):
    corpus = load_corpus(folder)
    corpus.tokenizer.save(tmp_path / "tokenizer.json")
    again = load_corpus(folder, tokenizer=Tokenizer.load(tmp_path / "tokenizer.json"))
    assert again.fingerprint == corpus.fingerprint


@pytest.mark.parametrize("kind", ["word", "nltk", "character", "bpe"])
@pytest.mark.parametrize("given", [False, True])
def test_a_far_too_long_line_is_refused_before_it_is_encoded(folder, monkeypatch, kind, given):
    tokenizer = load_corpus(folder, tokenizer=kind).tokenizer if given else kind
    (folder / "valid.txt").write_text("a \u00e9 " * 6_000)
    monkeypatch.setattr(Tokenizer, "encode_batch", lambda self, texts: 1 / 0)
    match = "valid.txt line 1 has (12,000|23,999) tokens, over 10,000; set max_length"
    with pytest.raises(UserError, match=match):
        load_corpus(folder, tokenizer=tokenizer)


@pytest.mark.parametrize("kind", ["word", "nltk", "character", "bpe"])
def test_a_text_has_at_least_the_tokens_that_it_is_refused_for(folder, kind):
    tokenizer = load_corpus(folder, tokenizer=kind).tokenizer
    for text in (
        "the cat sat",
        "don't  e\u0301 \u1e9b\u0323",
        "\u4eca\u5929 a\u3000b\tc",
        "\u0958",
    ):
        assert 0 < tokenizer.fewest_tokens(text) <= len(tokenizer.encode(text))


def test_number_of_thousands_of_digits_is_refused_with_its_line(tmp_path):
    path = tmp_path / "many.jsonl"
    path.write_text('{"text": "a b"}\n{"text": "a b", "id": ' + "7" * 5000 + "}\n")
    with pytest.raises(UserError, match=r"many.jsonl.*2.* holds a number that cannot be read"):
        load_corpus(path)
