# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Documents as lists of sentences: read, packed, padded, cut, counted and refused."""

import json

import numpy as np
import pytest
import torch

from pyro_textvae.data import EOS, PAD, load_corpus
from pyro_textvae.data.document_batches import num_places, plan_document_batches
from pyro_textvae.errors import UserError

TRAIN = [
    (["he came in .", "she left .", "it rained ."], "sad"),
    (["yes ."], "glad"),
    (["he came in at the very last moment .", "oh ."], "sad"),
    (["oh .", "oh .", "yes .", "she left ."], ""),
]
OTHERS = [(["she came .", "he left ."], "sad")]


def write_jsonl(folder, train=TRAIN, column="text"):
    folder.mkdir(exist_ok=True)
    for split, rows in (("train", train), ("valid", OTHERS), ("test", OTHERS)):
        lines = [json.dumps({column: text, "label": label or None}) for text, label in rows]
        (folder / f"{split}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


def write_rows(folder, suffix=".tsv"):
    """One sentence a row, with a column that says which document it is of."""
    folder.mkdir()
    for split, rows in (("train", TRAIN), ("valid", OTHERS), ("test", OTHERS)):
        cells = [
            {"text": sentence, "label": label, "story": f"{split} {number}", "line": str(place)}
            for number, (text, label) in enumerate(rows)
            for place, sentence in enumerate(text)
        ]
        lines = ["text\tlabel\tstory\tline", *("\t".join(row.values()) for row in cells)]
        if suffix == ".jsonl":
            lines = [json.dumps(row) for row in cells]
        (folder / f"{split}{suffix}").write_text("".join(f"{line}\n" for line in lines))
    return folder


def test_documents_are_one_row_of_ids_a_sentence_in_every_form_of_file(tmp_path):
    corpora = [
        load_corpus(write_jsonl(tmp_path / "lists"), label_column="label"),
        load_corpus(write_jsonl(tmp_path / "turns", column="turns"), label_column="label"),
        load_corpus(write_rows(tmp_path / "tsv"), label_column="label", document_column="story"),
        load_corpus(
            write_rows(tmp_path / "jsonl", ".jsonl"),
            label_column="label",
            document_column="story",
        ),
    ]
    assert len({corpus.fingerprint for corpus in corpora}) == 1
    for corpus in corpora:
        assert corpus.has_documents
        assert (corpus.max_sentences, corpus.max_length) == (4, 10)
        assert corpus.train.num_sentences.tolist() == [3, 1, 2, 4]
        assert corpus.train.lengths.tolist() == [13, 3, 13, 13]
        assert corpus.train.longest.tolist() == [5, 3, 10, 4]
        assert corpus.train.num_tokens == 42
        assert corpus.train.labels.tolist() == [1, 0, 1, -1]
        for row, (text, _) in zip(corpus.train, TRAIN, strict=True):
            assert corpus.tokenizer.decode_lines(row.tolist()) == "\n".join(text)
            assert (row == EOS).sum() == len(text) == len(row)
    assert corpora[2].train.columns["line"] == ["0 | 1 | 2", "0", "0 | 1", "0 | 1 | 2 | 3"]


def test_a_batch_is_its_documents_padded_with_empty_rows(tmp_path):
    corpus = load_corpus(write_jsonl(tmp_path / "lists"), label_column="label")
    batch = corpus.train.batch(np.array([2, 0]))
    assert batch["tokens"].shape == (2, 3, 10)
    assert batch["tokens"].dtype == torch.int64
    assert batch["labels"].tolist() == [1, 1]
    assert batch.text_fields == ("tokens",)
    for row, index in zip(batch["tokens"], (2, 0), strict=True):
        alone = corpus.train[index]
        assert torch.equal(row[: alone.shape[0], : alone.shape[1]], alone)
        assert (row[alone.shape[0] :] == PAD).all()
        assert (row[:, alone.shape[1] :] == PAD).all()
    everything = next(corpus.batches("train"))
    assert int((everything["tokens"] != PAD).sum()) == corpus.train.num_tokens
    labelled = load_corpus(tmp_path / "lists", label_column="label", unlabelled="drop")
    assert labelled.train.num_sentences.tolist() == [3, 1, 2]
    assert labelled.summary()["train"]["sentences"] == 6
    assert labelled.summary()["train"]["documents"] == 3
    assert next(labelled.batches("train"))["tokens"].shape == (3, 3, 10)


def test_counts_are_of_documents_and_of_their_sentences(tmp_path):
    corpus = load_corpus(write_jsonl(tmp_path / "lists"))
    counts = corpus.summary()["train"]
    assert (counts["documents"], counts["sentences"], counts["tokens"]) == (4, 10, 42)
    assert corpus.raw_counts("train") == (
        32,
        sum(len(sentence) for text, _ in TRAIN for sentence in text),
    )
    assert "4 / 1 / 1 documents" in repr(corpus)
    assert corpus.num_in_other_splits("valid") == 1
    assert corpus.padding_share("train", 4) == pytest.approx(1 - 42 / (4 * 4 * 10))


def test_long_documents_are_dropped_or_cut_and_counted(tmp_path):
    folder = write_jsonl(tmp_path / "lists")
    dropped = load_corpus(folder, max_sentences=3)
    assert dropped.train.num_sentences.tolist() == [3, 1, 2]
    assert dropped.summary()["train"]["dropped_too_many_sentences"] == 1
    cut = load_corpus(folder, max_sentences=2, truncate=True)
    assert cut.train.num_sentences.tolist() == [2, 1, 2, 2]
    assert cut.tokenizer.decode_lines(cut.train[3].tolist()) == "oh .\noh ."
    assert cut.summary()["train"]["documents_cut"] == 2
    assert cut.raw_counts("train") is None
    short = load_corpus(folder, max_length=6)
    assert short.train.num_sentences.tolist() == [3, 1, 4]
    assert short.summary()["train"]["dropped_too_long"] == 1
    narrow = load_corpus(folder, max_length=3, truncate=True)
    assert narrow.train.lengths.tolist() == [9, 3, 6, 12]
    assert len({c.fingerprint for c in (dropped, cut, short, narrow)}) == 4
    with pytest.raises(UserError, match="max_sentences=1 drops all 1 documents of the valid"):
        load_corpus(folder, max_sentences=1)


def test_a_document_of_2000_sentences_is_refused_unless_asked_for(tmp_path):
    folder = write_jsonl(tmp_path / "long", [(["oh ."] * 2000, ""), (["yes ."], "")])
    message = (
        "train.jsonl line 1 has 2,000 sentences, over 1,000; leave it out, or set max_sentences"
    )
    with pytest.raises(UserError, match=message):
        load_corpus(folder)
    assert load_corpus(folder, max_sentences=2000).max_sentences == 2000
    assert len(load_corpus(folder, max_sentences=10).train) == 1


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (['{"text": []}'], {}, "line 1 holds a document without a sentence; leave it out"),
        (['{"text": ["a", " "]}'], {}, "line 1: sentence 2 is empty; leave it out"),
        (['{"text": ["a", 3]}'], {}, "line 1: sentence 2 is 3, not a string"),
        (
            ['{"text": ["a"]}', '{"text": "b"}'],
            {},
            "line 2 holds one sentence, and the first text a list of sentences",
        ),
        (
            ['{"text": "a"}', '{"text": ["b"]}'],
            {},
            "line 2 holds a list of sentences, and the first text one sentence",
        ),
        (
            ['{"text": ["a"], "d": "1"}'],
            {"document_column": "d"},
            "holds a list of sentences, and document_column='d' is for one sentence a row",
        ),
        (['{"text": "a"}'], {"document_column": "d"}, "has no column 'd'; it has"),
        (
            ['{"text": "a", "d": " "}'],
            {"document_column": "d"},
            "line 1 names no document: its 'd' is empty",
        ),
        (
            ['{"text": "a", "d": 1}', '{"text": "b", "d": 2}', '{"text": "c", "d": 1}'],
            {"document_column": "d"},
            "line 3 is of the document '1', whose rows ended before",
        ),
        (
            ['{"text": "a", "d": 1}', '{"text": "", "d": 1}'],
            {"document_column": "d"},
            "line 2 has an empty sentence",
        ),
        (
            ['{"text": "a", "d": 1, "l": "x"}', '{"text": "b", "d": 1, "l": "y"}'],
            {"document_column": "d", "label_column": "l"},
            "line 2 has the label 'y', and line 1 of the same document '1' has 'x'",
        ),
        (
            ['{"text": "a", "d": 1, "s": "x"}', '{"text": "b", "d": 1, "s": "y"}'],
            {"document_column": "d", "source_column": "s"},
            "line 2 has another source than line 1 of the same document '1'",
        ),
        (['{"text": "a"}'] * 40, {"max_sentences": 3}, "max_sentences=3 would do nothing"),
        (['{"text": ["a"]}'] * 40, {"max_sentences": 0}, "must be a whole number of at least 1"),
    ],
)
def test_bad_documents_are_refused_naming_the_row(tmp_path, rows, options, message):
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.jsonl").write_text("".join(f"{row}\n" for row in rows))
    with pytest.raises(UserError, match=message) as caught:
        load_corpus(tmp_path, **options)
    assert "\n" not in str(caught.value)


def test_too_few_documents_to_split_are_counted_as_documents(tmp_path):
    file = tmp_path / "few.jsonl"
    file.write_text('{"text": ["a b", "c"]}\n' * 2)
    with pytest.raises(UserError, match="is empty: 2 documents are too few to split"):
        load_corpus(file)


def test_one_file_is_split_by_the_hash_of_whole_documents(tmp_path):
    file = tmp_path / "all.jsonl"
    rows = [["the start .", f"number {index} ."] for index in range(100)]
    file.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    corpus = load_corpus(file)
    assert sum(len(corpus.split(name)) for name in ("train", "valid", "test")) == 100
    assert len(corpus.valid)
    assert len(corpus.test)
    scored = load_corpus(file, tokenizer=corpus.tokenizer, file_split="test")
    assert (len(scored.train), len(scored.test), scored.max_sentences) == (0, 100, 2)
    assert scored.padding_share("train") == 0.0


SOURCE = """
from pyro_textvae.data import Record

class Stories:
    name = "stories"

    def digest(self):
        return "1"

    def records(self):
        for number in range(20):
            split = ("train", "valid", "test")[min(number // 8, 2)]
            sentences = ("once .", f"number {number} .")
            yield Record(split, TEXT, f"number {number}", sentences=sentences)
"""


def test_a_source_of_the_users_own_has_documents(tmp_path):
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(SOURCE.replace("TEXT", '"\\n".join(sentences)'))
    bad.write_text(SOURCE.replace("TEXT", '" ".join(sentences)'))
    assert load_corpus(f"{good}:Stories").train.num_sentences.tolist() == [2] * 8
    with pytest.raises(UserError, match="must be the sentences with a line end between"):
        load_corpus(f"{bad}:Stories")


def random_shapes(count, seed=0):
    generator = np.random.default_rng(seed)
    num_sentences, longest = generator.integers(1, 20, count), generator.integers(3, 30, count)
    return np.stack([num_sentences, longest, generator.integers(0, 9, count)], axis=1)


@pytest.mark.parametrize("sizes", [{"batch_size": 16}, {"max_tokens": 2000}])
def test_every_document_is_in_one_batch_drawn_from_seed_and_epoch(sizes):
    shapes = random_shapes(500)
    plans = [plan_document_batches(shapes, seed=1, epoch=epoch, **sizes) for epoch in (0, 0, 1)]
    for plan in plans:
        assert sorted(np.concatenate(plan).tolist()) == list(range(500))
    listed = [[batch.tolist() for batch in plan] for plan in plans]
    assert listed[0] == listed[1] != listed[2]
    if "max_tokens" in sizes:
        for batch in plans[0]:
            sentences, longest, source = shapes[batch].max(0)
            assert len(batch) == 1 or len(batch) * (sentences * longest + source) <= 2000


def test_an_epoch_costs_as_much_as_its_tokens():
    """A place for every token within a fifth, padding included; batches by cost alone need twice.

    Within a tenth, twice as many documents cost twice as much.
    """
    costs = []
    for shapes in (random_shapes(4000), random_shapes(8000, seed=1)):
        tight = int(shapes[:, :2].prod(1).sum())
        costs.append(num_places(shapes, plan_document_batches(shapes, 32)) / tight)
        by_cost = np.array_split(np.argsort(shapes[:, :2].prod(1)), len(shapes) // 32)
        assert num_places(shapes, by_cost) > 2 * tight
    assert max(costs) < 1.2
    assert abs(costs[0] / costs[1] - 1) < 0.1


def test_the_same_sentences_in_other_documents_are_another_corpus(tmp_path):
    rows = [(["oh .", "yes .", "no ."], ""), (["oh ."], "")]
    others = [(["oh .", "yes ."], ""), (["no .", "oh ."], "")]
    one, other = (
        load_corpus(write_jsonl(tmp_path / str(n), part)) for n, part in enumerate((rows, others))
    )
    assert one.train.num_tokens == other.train.num_tokens
    assert one.fingerprint != other.fingerprint
