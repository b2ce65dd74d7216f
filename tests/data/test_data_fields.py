# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Sources and labels beside the text: right values, in batches, counts and fingerprints."""

import json

import numpy as np
import pytest
import torch

from pyro_textvae.contract import TEXT_FIELDS
from pyro_textvae.data import EOS, PAD, Batch, load_corpus, plan_batches
from pyro_textvae.errors import UserError

# Text, source, label: neither the order of the labels nor that of the words is alphabetical.
TRAIN = [
    ("fine thanks", "how are you", "good"),
    ("it rains", "what is the weather like today", "bad"),
    ("no", "are you sure", ""),
    ("the cat sat on the mat", "where", "neutral"),
    ("yes", "", "good"),
]
OTHERS = [("it rains", "where", "bad"), ("fine", "are you sure", "")]
COLUMNS = {"source_column": "source", "label_column": "label", "empty_pairs": "keep"}


def write_tsv(folder, train=TRAIN, others=OTHERS, header="text\tsource\tlabel\tid\n"):
    folder.mkdir(exist_ok=True)
    for split, rows in (("train", train), ("valid", others), ("test", others)):
        lines = [
            f"{text}\t{source}\t{label}\t{i}\n" for i, (text, source, label) in enumerate(rows)
        ]
        (folder / f"{split}.tsv").write_text(header + "".join(lines))
    return folder


@pytest.fixture
def pairs(tmp_path):
    return write_tsv(tmp_path / "pairs")


def decoded(corpus, rows):
    return [corpus.tokenizer.decode(row) for row in rows]


def test_a_batch_holds_the_fields_whose_columns_are_named(pairs):
    """Each of the sentences that are asked for, in that order."""
    corpus = load_corpus(pairs, **COLUMNS)
    assert corpus.fields == ("tokens", "source", "labels")
    assert corpus.label_names == ("bad", "good", "neutral")
    batch = corpus.train.batch(np.array([4, 1, 2]))
    assert list(batch) == ["tokens", "source", "labels"]
    assert all(value.dtype == torch.int64 for value in batch.values())
    assert batch["tokens"].shape == (3, 3)
    assert batch["source"].shape == (3, 7)
    assert batch["labels"].tolist() == [1, 0, -1]
    assert decoded(corpus, batch["tokens"]) == ["yes", "it rains", "no"]
    assert decoded(corpus, batch["source"]) == ["", TRAIN[1][1], "are you sure"]
    assert batch["source"][2].tolist()[3:] == [EOS, PAD, PAD, PAD]
    assert batch["source"][0].tolist() == [EOS] + [PAD] * 6
    assert batch.text_fields == ("tokens", "source")
    assert batch.indices.tolist() == [4, 1, 2]


@pytest.mark.parametrize("name", ["source", "label"])
def test_each_column_alone(pairs, name):
    keep = {"empty_pairs": "keep"} if name == "source" else {}
    corpus = load_corpus(pairs, **{f"{name}_column": name}, **keep)
    (field,) = {"source": ["source"], "label": ["labels"]}[name]
    assert corpus.fields == ("tokens", field)
    batch = next(corpus.batches("train"))
    assert set(batch) == {"tokens", field}
    assert batch.text_fields == tuple(n for n in TEXT_FIELDS if n in batch)
    assert list(corpus.train.columns) == [n for n in ("source", "label", "id") if n != name]


def test_without_columns_there_are_tokens_alone(pairs):
    corpus = load_corpus(pairs)
    assert corpus.fields == ("tokens",)
    assert corpus.label_names == ()
    assert corpus.train.labels is None
    batch = next(corpus.batches("train"))
    assert (list(batch), batch.text_fields) == (["tokens"], ("tokens",))
    assert not {"label_names", "labelled", "source_tokens"} & {
        *corpus.summary(),
        *corpus.summary()["train"],
    }


def test_split_knows_lengths_of_the_text_and_the_cost_of_all(pairs):
    train = load_corpus(pairs, **COLUMNS).train
    assert train.lengths.tolist() == [3, 3, 2, 7, 2]
    assert train.lengths_by_field.tolist() == [[3, 4], [3, 7], [2, 4], [7, 2], [2, 1]]
    assert train.cost.tolist() == [7, 10, 6, 9, 3]
    assert train.labels.tolist() == [1, 0, -1, 2, 1]
    assert train.num_tokens == 17
    assert list(train.columns) == ["id"]


def test_vocabulary_is_of_text_and_sources_of_train(pairs):
    corpus = load_corpus(pairs, **COLUMNS)
    words = {word for text, source, _ in TRAIN for word in (text + " " + source).split()}
    assert set(corpus.tokenizer.vocabulary[4:]) == words
    # "the" occurs twice in text and once in a source, "are" and "you" twice in sources.
    assert corpus.tokenizer.vocabulary[4:7] == ["the", "are", "you"]
    assert set(load_corpus(pairs).tokenizer.vocabulary[4:]) < words


def test_counts(pairs):
    summary = json.loads(json.dumps(load_corpus(pairs, **COLUMNS, min_count=2).summary()))
    assert summary["label_names"] == ["bad", "good", "neutral"]
    # Known are the (3), are and you (2).
    assert summary["train"]["labelled"] == 4
    assert summary["train"]["source_tokens"] == 3 + 6 + 3 + 1 + 0 + 5
    assert summary["train"]["tokens"] == 17
    assert summary["train"]["unknown_token_share"] == pytest.approx(10 / 12)
    assert summary["train"]["unknown_source_token_share"] == pytest.approx(8 / 13)


def test_turns_of_a_source_are_joined_and_the_last_of_them_taken(tmp_path):
    folders = {}
    for suffix, said in ((".jsonl", ["hi", "how are you", "so so"]), (".tsv", None)):
        folder = folders[suffix] = tmp_path / suffix[1:]
        folder.mkdir()
        for split in ("train", "valid", "test"):
            rows = [said, ["hi"]] if said else ["hi | how are you | so so", "hi"]
            lines = [json.dumps({"text": "why", "s": row}) + "\n" for row in rows]
            if suffix == ".tsv":
                lines = ["text\ts\n", *(f"why\t{row}\n" for row in rows)]
            (folder / f"{split}{suffix}").write_text("".join(lines))
    for most, expected in ((None, "hi | how are you | so so"), (2, "how are you | so so")):
        prints = set()
        for folder in folders.values():
            corpus = load_corpus(folder, source_column="s", source_turns=most)
            sources = corpus.train.batch(np.arange(2))["source"]
            assert decoded(corpus, sources) == [expected, "hi"]
            prints.add(corpus.fingerprint)
        assert len(prints) == 1


def test_max_length_drops_or_cuts_a_pair_where_either_is_longer(pairs):
    dropped = load_corpus(pairs, **COLUMNS, max_length=4)
    assert decoded(dropped, dropped.train) == ["fine thanks", "no", "yes"]
    assert dropped.train.labels.tolist() == [1, -1, 1]
    assert dropped.label_names == ("bad", "good", "neutral")
    assert dropped.summary()["train"]["labelled"] == 2
    assert dropped.summary()["train"]["dropped_too_long"] == 2
    cut = load_corpus(pairs, **COLUMNS, max_length=4, truncate=True)
    assert decoded(cut, cut.train)[3] == "the cat sat"
    sources = cut.train.batch(np.arange(5))["source"]
    assert decoded(cut, sources)[1] == "what is the"
    assert sources[1].tolist()[-1] == EOS
    assert cut.summary()["train"]["truncated"] == 2
    assert cut.summary()["train"]["dropped_too_long"] == 0


def test_a_source_has_a_length_of_its_own_where_it_is_asked_for(pairs):
    dropped = load_corpus(pairs, **COLUMNS, max_source_length=4)
    assert decoded(dropped, dropped.train) == ["fine thanks", "no", "the cat sat on the mat", "yes"]
    summary = dropped.summary()["train"]
    assert (summary["dropped_source_too_long"], summary["dropped_too_long"]) == (1, 0)
    both = load_corpus(pairs, **COLUMNS, max_source_length=4, max_length=3)
    assert decoded(both, both.train) == ["fine thanks", "no", "yes"]
    summary = both.summary()["train"]
    assert (summary["dropped_source_too_long"], summary["dropped_too_long"]) == (1, 1)
    cut = load_corpus(pairs, **COLUMNS, max_source_length=4, max_length=5, truncate=True)
    batch = cut.train.batch(np.arange(5))
    assert decoded(cut, batch["source"])[1] == "what is the"
    assert decoded(cut, batch["tokens"])[3] == "the cat sat on"
    assert (batch["source"].shape[1], batch["tokens"].shape[1]) == (4, 5)
    summary = cut.summary()["train"]
    assert (summary["sources_truncated"], summary["truncated"]) == (1, 1)
    names = {"dropped_source_too_long", "sources_truncated", "empty_pairs_dropped"}
    assert not names & {*load_corpus(pairs, **COLUMNS, max_length=4).summary()["train"]}


def test_an_empty_source_or_text_is_named_or_dropped_on_request(pairs):
    columns = {"source_column": "source"}
    with pytest.raises(UserError, match=r"train.tsv line 6 has an empty source: fill it in, or s"):
        load_corpus(pairs, **columns)
    write_tsv(pairs, [*TRAIN[:4], (" ", "where", "bad")])
    with pytest.raises(UserError, match=r"train.tsv line 6 has an empty text: fill it in, or set"):
        load_corpus(pairs, **columns)
    write_tsv(pairs, [*TRAIN, (" ", "where", "bad")])
    (pairs / "train.tsv").write_text((pairs / "train.tsv").read_text() + "\n")
    corpus = load_corpus(pairs, **columns, empty_pairs="drop")
    assert len(corpus.train) == 4
    assert corpus.summary()["train"]["empty_pairs_dropped"] == 2
    assert corpus.summary()["train"]["blank_lines_skipped"] == 1
    assert "empty_pairs_dropped" not in corpus.summary()["valid"]
    # Of the same file, from the cache or not: each setting has its own corpus.
    assert len(load_corpus(pairs, **columns, empty_pairs="keep").train) == 5
    with pytest.raises(UserError, match="empty source"):
        load_corpus(pairs, **columns)
    assert load_corpus(pairs).fingerprint


def test_tsv_without_a_header(pairs):
    write_tsv(pairs, header="")
    columns = {"source_column": "column_1", "label_column": "column_2"}
    corpus = load_corpus(pairs, **columns, empty_pairs="keep")
    headed = load_corpus(write_tsv(pairs.with_name("headed")), **COLUMNS)
    assert corpus.fingerprint == headed.fingerprint
    assert corpus.label_names == headed.label_names
    turned = load_corpus(
        pairs, text_column="column_1", source_column="column_0", empty_pairs="keep"
    )
    assert decoded(turned, turned.train)[1] == TRAIN[1][1]


def test_first_row_is_a_header_where_it_names_any_column_asked_for(pairs):
    write_tsv(pairs, header="answer\tsource\tlabel\tid\n")
    with pytest.raises(UserError, match="line 1 has no column 'text' or 'sentence'; it has answer"):
        load_corpus(pairs, **COLUMNS)
    corpus = load_corpus(pairs, text_column="answer", **COLUMNS)
    assert len(corpus.train) == len(TRAIN)


def test_jsonl_labels_that_are_not_given_and_labels_that_are_no_strings(tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    labels = [{"y": 10}, {"y": 9}, {"y": None}, {}, {"y": ""}, {"y": " 9 "}, {"y": True}]
    rows = [{"text": f"w{i}", "s": "why", **label} for i, label in enumerate(labels)]
    for split in ("train", "valid", "test"):
        lines = rows if split == "train" else rows[:4]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    corpus = load_corpus(folder, source_column="s", label_column="y")
    assert corpus.label_names == ("10", "9", "true")
    assert corpus.train.labels.tolist() == [0, 1, -1, -1, -1, 1, 2]
    assert corpus.test.labels.tolist() == [0, 1, -1, -1]
    assert list(corpus.train.columns) == []


def test_given_label_names_decide_the_indices(pairs):
    names = ("neutral", "good", "bad", "unseen")
    corpus = load_corpus(pairs, **COLUMNS, label_names=names)
    assert corpus.label_names == names
    assert corpus.train.labels.tolist() == [1, 2, -1, 0, 1]
    with pytest.raises(UserError, match=r"train.tsv line 5 has the label 'neutral', and the model"):
        load_corpus(pairs, **COLUMNS, label_names=("good", "bad"))
    with pytest.raises(UserError, match="label_names without label_column"):
        load_corpus(pairs, label_names=names)
    unlabelled = write_tsv(pairs.with_name("none"), [(t, s, "") for t, s, _ in TRAIN], OTHERS[1:])
    corpus = load_corpus(unlabelled, **COLUMNS, label_names=names)
    assert set(corpus.train.labels.tolist()) == {-1}


def test_text_blank_is_skipped_with_its_source_and_label(pairs):
    write_tsv(pairs, [*TRAIN, (" ", "where", "bad")])
    corpus = load_corpus(pairs, **COLUMNS)
    assert len(corpus.train) == len(corpus.train.labels) == len(TRAIN)
    assert corpus.summary()["train"]["blank_lines_skipped"] == 1


def test_fingerprint_covers_sources_labels_and_their_names(pairs):
    prints = [load_corpus(pairs, **options).fingerprint for options in ({}, COLUMNS)]
    changes = [
        [("fine thanks", "how are you", "bad"), *TRAIN[1:]],
        [("fine thanks", "are you sure", "good"), *TRAIN[1:]],
        # The same indices by other names, in the same order.
        [(t, s, {"neutral": "so so"}.get(y, y)) for t, s, y in TRAIN],
    ]
    for train in changes:
        prints.append(load_corpus(write_tsv(pairs, train), **COLUMNS).fingerprint)
    assert len(set(prints)) == len(prints)
    write_tsv(pairs)
    assert load_corpus(pairs, **COLUMNS).fingerprint == prints[1]
    assert load_corpus(pairs).fingerprint == prints[0]


def test_fingerprint_of_text_alone_is_what_it_always_was(folder):
    # Of 0.1.0 before there were other fields, with tokenizers 0.23: old runs have kept it.
    before = {"unicode_form": "none"}
    assert load_corpus(folder, **before).fingerprint == "c40a56a288cf7d48"
    assert load_corpus(folder, max_length=7, **before).fingerprint == "c10dc844a7d1a7f6"
    grammar = load_corpus("grammar", num_sentences=50, **before)
    assert grammar.fingerprint == "ae6cb4302e9c114b"
    assert load_corpus(folder, tokenizer="bpe", vocab_size=300).fingerprint == "3b15a1f77d415cfc"


def test_fields_come_from_the_cache_as_they_were_written(pairs):
    first, second = load_corpus(pairs, **COLUMNS), load_corpus(pairs, **COLUMNS)
    assert second.fields == first.fields
    assert second.label_names == first.label_names
    for split in ("train", "valid", "test"):
        for ours, theirs in zip(first.batches(split, 2), second.batches(split, 2), strict=True):
            assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (
            {"others": [("fine", "where", "ugly")]},
            COLUMNS,
            r"valid.tsv line 2 has the label 'ugly', which no sentence of the train split has "
            r"\(bad, good, neutral\); add one",
        ),
        ({"train": [(t, s, "") for t, s, _ in TRAIN]}, COLUMNS, "no sentence of the train split"),
        (
            {},
            {"source_column": "sauce"},
            "no column 'sauce'; it has text, source, label, id; set so",
        ),
        ({}, {"label_column": "lable"}, "no column 'lable'; it has .*; set label_column"),
        ({}, {"source_column": "text"}, "source_column and text_column are both 'text'"),
        (
            {},
            {"source_column": "label", "label_column": "label"},
            "source_column and label_column are both 'label'",
        ),
        ({}, {**COLUMNS, "max_length": 2}, "max_length=2 drops all 2 sentences of the valid"),
        (
            {"others": [("fine", "who are you", "")]},
            {**COLUMNS, "max_source_length": 3},
            "max_source_length=3 drops all 1 sentences of the valid",
        ),
        ({}, {"max_source_length": 3}, "max_source_length=3 would do nothing, for pairs has no"),
        ({}, {**COLUMNS, "max_source_length": 1}, "max_source_length=1 must be a whole number"),
        ({}, {**COLUMNS, "empty_pairs": "skip"}, "must be one of refuse, drop, keep"),
        ({}, {"empty_pairs": "drop"}, "empty_pairs='drop' would do nothing, for no column of 'pai"),
    ],
)
def test_refused(pairs, change, options, message):
    write_tsv(pairs, **change)
    with pytest.raises(UserError, match=message) as caught:
        load_corpus(pairs, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ({}, {"source_column": "s"}, "line 2 has no column 's'; it has text; set source_column"),
        ({"s": None}, {"source_column": "s"}, "line 2: 's' is None, not a string"),
        ({"s": {"a": 1}}, {"source_column": "s"}, "line 2: 's' is .*, not a string"),
        ({"s": ["a", 1]}, {"source_column": "s"}, "line 2: turn 2 of the source is 1, not a str"),
        ({"s": [" "]}, {"source_column": "s"}, "line 2: turn 1 of the source is empty"),
        ({"s": ["a | b"]}, {"source_column": "s"}, "turn 1 of the source holds '|', which stands"),
        ({"s": []}, {"source_column": "s"}, "line 2 has an empty source"),
        ({}, {"source_turns": 2}, "source_turns=2 would do nothing, for no column of"),
        ({}, {"source_column": "s", "source_turns": 0}, "source_turns=0 must be a whole number of"),
        ({"s": "\ud800"}, {"source_column": "s"}, "line 2 holds half of a surrogate pair"),
        ({"y": ["a"]}, {"label_column": "y"}, "line 2: the label 'y' is .*a string, a number"),
        ({}, {"label_column": "y"}, "no row of rows.jsonl has the column 'y'"),
    ],
)
def test_bad_rows_of_jsonl(tmp_path, row, options, message):
    path = tmp_path / "rows.jsonl"
    first = {"text": "a b", "s": "c"}
    path.write_text(json.dumps(first) + "\n" + json.dumps({"text": "a", **row}) + "\n")
    with pytest.raises(UserError, match=message):
        load_corpus(path, **options)


@pytest.mark.parametrize("setting", ["source_column", "label_column"])
@pytest.mark.parametrize("source", ["grammar", "stdlib"])
def test_sources_without_columns(source, setting):
    with pytest.raises(UserError, match=f"{setting}='x' applies to .*a folder, a file or"):
        load_corpus(source, **{setting: "x"})


def test_plain_text_has_no_columns(folder):
    with pytest.raises(UserError, match="label_column='x' applies to files with columns"):
        load_corpus(folder, label_column="x")


LENGTHS = np.random.default_rng(1).integers(1, 30, (2000, 2))


def padded_cost(batch):
    return len(batch) * LENGTHS[batch].max(0).sum()


def test_token_budget_counts_sources_and_their_padding():
    plan = plan_batches(LENGTHS, max_tokens=800, seed=3)
    costs = [padded_cost(batch) for batch in plan]
    assert max(costs) <= 800
    assert np.median(costs) > 700
    # By the text alone, the budget would have been broken.
    assert max(padded_cost(b) for b in plan_batches(LENGTHS[:, 0], max_tokens=800, seed=3)) > 1000
    assert sorted(np.concatenate(plan).tolist()) == list(range(len(LENGTHS)))


def test_batches_are_alike_in_the_cost_of_all_fields():
    cost = LENGTHS.sum(1)
    spread = [np.ptp(cost[batch]) for batch in plan_batches(LENGTHS, 32, seed=3)]
    by_text = [np.ptp(cost[batch]) for batch in plan_batches(LENGTHS[:, 0], 32, seed=3)]
    assert np.mean(spread) < 10 < 20 < np.mean(by_text)
    in_order = plan_batches(LENGTHS, 32, shuffle=False)
    assert (np.diff(cost[np.concatenate(in_order)]) >= 0).all()


def test_corpus_plans_by_cost(pairs):
    corpus = load_corpus(pairs, **COLUMNS)
    # Costs 7, 10, 6, 9 and 3; two of the cheapest fit into 2 x (2 + 4) tokens.
    plan = corpus.plan("train", max_tokens=12, shuffle=False)
    assert [batch.tolist() for batch in plan] == [[4, 2], [0], [3], [1]]
    assert [b.tolist() for b in load_corpus(pairs).plan("train", max_tokens=12, shuffle=False)] == [
        [2, 4, 0, 1],
        [3],
    ]


def test_text_fields_of_a_batch_of_ones_own():
    turns = torch.ones(2, 3, 4, dtype=torch.int64)
    batch = Batch({"tokens": turns[:, 0], "turns": turns}, torch.arange(2), ("turns", "tokens"))
    assert batch.text_fields == ("turns", "tokens")
    assert Batch({"turns": turns}, torch.arange(2)).text_fields == ()


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_all_of_one_file_in_one_split_with_its_sources_and_labels(pairs, split):
    tokenizer = load_corpus(pairs, **COLUMNS).tokenizer
    options = {"tokenizer": tokenizer, "label_names": ["bad", "good", "neutral"]}
    corpus = load_corpus(pairs / "train.tsv", **COLUMNS, **options, file_split=split)
    sizes = {name: len(corpus.split(name)) for name in ("train", "valid", "test")}
    assert sizes == {"train": 0, "valid": 0, "test": 0} | {split: len(TRAIN)}
    assert corpus.fields == ("tokens", "source", "labels")
    batch = corpus.split(split).batch(np.arange(len(TRAIN)))
    assert decoded(corpus, batch["source"]) == [source for _, source, _ in TRAIN]
    assert batch["labels"].tolist() == [1, 0, -1, 2, 1]
    assert list(corpus.batches("train")) == [] or split == "train"


def test_a_split_for_all_of_a_file_that_cannot_be_is_refused(pairs):
    tokenizer = load_corpus(pairs, **COLUMNS).tokenizer
    with pytest.raises(UserError, match="'test' applies to one file"):
        load_corpus(pairs, tokenizer=tokenizer, file_split="test")
    with pytest.raises(UserError, match="give a Tokenizer"):
        load_corpus(pairs / "train.tsv", file_split="test")
    with pytest.raises(UserError, match="must be one of train, valid, test"):
        load_corpus(pairs / "train.tsv", tokenizer=tokenizer, file_split="dev")


def test_no_sentence_makes_no_batch():
    assert plan_batches([], 4) == []
