# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Packing: the same corpus in one process or several, killed and gone on with, or no room left."""

import json
import resource
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_textvae.data import encoding, load_corpus, train_tokenizer
from pyro_textvae.data.batching import sizes_within
from pyro_textvae.data.file_digest import file_digest
from pyro_textvae.data.process_pool import in_order
from pyro_textvae.data.repeated_hashes import num_repeated, num_shared
from pyro_textvae.data.store import read_sealed, seal
from pyro_textvae.data.tokenizers import NLTKTokenizer, WordTokenizer
from pyro_textvae.data.vocabulary import tokenizer_of_counts
from pyro_textvae.errors import UserError

ODD = st.sampled_from(
    ["a", "b", " ", "\x1c", "\x1f", "\x85", "\xa0", "\u3000", "\u200b", "\u2028", "\t", "\0", "<"]
    + [" <pad> ", "<eos>", " <unk> ", "e\u0301", "\xe9"]
)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(ODD, min_size=1, max_size=12).map("".join), min_size=1, max_size=8))
def test_words_are_those_of_the_pipeline(texts):
    for kind in (WordTokenizer(), NLTKTokenizer()):
        tokenizer = train_tokenizer([*texts, "a b"], kind)
        assert tokenizer.splits_at_whitespace
        assert tokenizer.encode_lists(texts) == [tokenizer.encode(text) for text in texts]


def test_vocabulary_is_that_of_the_library(monkeypatch):
    texts = ["b b a <pad> <unk> <pad>", "c\x1fc \xa0 d a", "z y x"]
    ours = train_tokenizer(texts, WordTokenizer(), vocab_size=9).vocabulary
    monkeypatch.setattr("pyro_textvae.data.tokenizer_kind.splits_at_whitespace", lambda b: False)
    assert train_tokenizer(texts, WordTokenizer(), vocab_size=9).vocabulary == ours


def test_vocabulary_of_counts_is_of_all_parts():
    parts = [{"b": 2, "a": 1}, {"a": 2}, {"c": 1}]
    assert tokenizer_of_counts(parts, WordTokenizer()).vocabulary[4:] == ["a", "b", "c"]
    assert tokenizer_of_counts(parts, WordTokenizer(), min_count=3).vocabulary[4:] == ["a"]


class Backwards(WordTokenizer):
    """Splits elsewhere, so that the short way is not its own."""

    def pipeline(self, model):
        backend = super().pipeline(model)
        from tokenizers import pre_tokenizers

        backend.pre_tokenizer = pre_tokenizers.Split("-", "removed")
        return backend


def test_a_pipeline_of_another_kind_is_gone_through():
    tokenizer = train_tokenizer(["a b-c"], Backwards())
    assert not tokenizer.splits_at_whitespace
    assert tokenizer.vocabulary[4:] == ["a b", "c"]


def many_files(tmp_path, num_files=4):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(num_files):
        rows = [f"{i % 7} sentence number {i} of {number}\tab\n" for i in range(100)]
        (folder / f"{number}.tsv").write_text("text\tlabel\n" + "".join(rows))
    return folder


@pytest.mark.slow
def test_processes_pack_what_one_does(tmp_path, own_cache, monkeypatch):
    folder = many_files(tmp_path)
    alone = load_corpus(folder, label_column="label")
    monkeypatch.setattr(encoding, "_BYTES_FOR_PROCESSES", 1)
    monkeypatch.setattr(encoding, "num_workers", lambda: 1)
    monkeypatch.setattr(encoding, "_CHUNK_RECORDS", 30)
    counted = []
    monkeypatch.setattr(
        encoding, "in_order", lambda *a, **k: counted.append(a[2]) or in_order(*a, **k)
    )
    together = load_corpus(folder, label_column="label", cache_dir=tmp_path / "other")
    assert counted == [1, 1]
    assert together.fingerprint == alone.fingerprint
    assert together.summary() == alone.summary()


@pytest.mark.parametrize("num_read", [1, 3])
def test_a_killed_packing_goes_on_after_the_files_that_it_read(
    tmp_path, own_cache, monkeypatch, num_read
):
    folder = many_files(tmp_path)
    whole = load_corpus(folder, label_column="label", cache_dir=tmp_path / "whole")
    monkeypatch.setattr(encoding, "_SECONDS_BETWEEN_CHECKPOINTS", 0)
    write, written = encoding._Encoding._write, Counter()

    def stops(self, part, kept, encoded):
        write(self, part, kept, encoded)
        written.update(record.place.split()[0] for record in part.records)
        if len(written) > num_read:
            raise KeyboardInterrupt

    monkeypatch.setattr(encoding._Encoding, "_write", stops)
    with pytest.raises(KeyboardInterrupt):
        load_corpus(folder, label_column="label")
    (left,) = own_cache.iterdir()
    assert left.name.endswith("-unfinished")

    def counts(self, part, kept, encoded):
        write(self, part, kept, encoded)
        written.update(record.place.split()[0] for record in part.records)

    written.clear()
    monkeypatch.setattr(encoding._Encoding, "_write", counts)
    resumed = load_corpus(folder, label_column="label")
    assert sorted(written) == [f"{number}.tsv" for number in range(num_read, 4)]
    assert resumed.fingerprint == whole.fingerprint
    assert resumed.summary() == whole.summary()
    assert resumed.raw_counts("train") == whole.raw_counts("train")
    assert [resumed.num_repeated(s) for s in ("train", "test")] == [
        whole.num_repeated(s) for s in ("train", "test")
    ]
    assert len(list(own_cache.iterdir())) == 1


def files_of_pairs(folder):
    """Of the first file alone are a label and a further column, and in it a doubtful cell."""
    for number in range(3):
        header = "text\tsource" + "\tlabel\tnumber" * (number == 0) + "\n"
        beside = "\ta\t{i}" * (number == 0)
        rows = [f"answer {i} of {number}\tasked {i}{beside.format(i=i)}\n" for i in range(40)]
        rows[0] = rows[0].replace("asked 0", '"asked, ""0"""')
        rows[1] = rows[1].replace("answer", "answer " * 9)
        rows[2] = rows[2].replace(f" of {number}", "")
        (folder / f"{number}.tsv").write_text(header + "".join(rows))
    return {"source_column": "source", "max_length": 9}


def files_of_labelled_rows(folder):
    """Of the first file alone are a label and a further column."""
    for number in range(3):
        rows = [{"text": f"text {i} of {number}"} for i in range(40)]
        if number == 0:
            rows = [{**row, "label": "ba"[i % 2], "number": i} for i, row in enumerate(rows)]
        (folder / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"label_column": "label"}


def files_of_documents(folder):
    for number in range(3):
        rows = [{"text": [f"sentence {i} of {number}", "another one"]} for i in range(40)]
        (folder / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {}


def all_of(corpus):
    """Everything that a corpus has."""
    splits = [corpus.split(name) for name in ("train", "valid", "test")]
    batches = [split.batch(np.arange(len(split))) for split in splits]
    return (
        corpus.fingerprint,
        corpus.summary(),
        corpus.source_warnings,
        [{name: field.tolist() for name, field in batch.items()} for batch in batches],
        [{name: split.columns[name] for name in split.columns} for split in splits],
        [None if split.num_sentences is None else split.num_sentences.tolist() for split in splits],
        [(corpus.num_repeated(s.name), corpus.num_in_other_splits(s.name)) for s in splits],
    )


@pytest.mark.parametrize("write", [files_of_pairs, files_of_labelled_rows, files_of_documents])
def test_a_killed_packing_goes_on_with_all_that_it_has(tmp_path, own_cache, monkeypatch, write):
    folder = tmp_path / "many"
    folder.mkdir()
    options = write(folder)
    whole = all_of(load_corpus(folder, cache_dir=tmp_path / "whole", **options))
    monkeypatch.setattr(encoding, "_SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr(encoding, "_CHUNK_RECORDS", 15)
    encode, encoded = encoding.encode_chunk, Counter()

    def stops(chunk, **given):
        encoded.update({place.split(".")[0] for place in chunk.places})
        if encoded["1"] == 2:
            # Some of the second file is written by then, and no part of it is in the checkpoint.
            raise KeyboardInterrupt
        return encode(chunk, **given)

    save = encoding._Encoding._save

    def saves(self, of_source):
        """A process that is killed without a word leaves what it has handed over alone."""
        save(self, of_source)
        state = json.loads((self._folder / "checkpoint.json").read_text())
        for split, hashes in self.hashes.items():
            written = state["writers"][split]
            for name, size in (("hashes", hashes.size), ("labels", written["labels"])):
                file = self._folder / f"{split}.{name}.npy"
                assert file.stat().st_size >= 8 * size + 64
            assert (self._folder / f"{split}.columns.jsonl").stat().st_size == written["columns"]
            ids = self._folder / f"{split}.ids.npy"
            assert ids.stat().st_size >= 2 * written["tokens"]["ids"] + 64

    monkeypatch.setattr(encoding._Encoding, "_save", saves)
    with monkeypatch.context() as patch:
        patch.setattr(encoding, "encode_chunk", stops)
        for _ in range(2):
            encoded.clear()
            with pytest.raises(KeyboardInterrupt):
                load_corpus(folder, **options)
    assert all_of(load_corpus(folder, **options)) == whole


NO_ROOM = """
import resource, sys
from pyro_textvae.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
sys.exit(main(["train", "--data", sys.argv[1], "--out", sys.argv[2]]))
"""


def test_no_space_left_is_one_line_and_nothing_is_left(tmp_path, own_cache):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] in (resource.RLIM_INFINITY, 2**63 - 1)
    command = [sys.executable, "-c", NO_ROOM, str(many_files(tmp_path)), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "cannot encode the corpus" in done.stderr
    assert not list(own_cache.iterdir())
    assert not (tmp_path / "run").exists()


def test_sentences_with_another_source_are_no_repetition(tmp_path, own_cache):
    rows = ["yes\tare you", "yes\twere you", "yes\tare you", "no\twas she"]
    for split, lines in (("train", rows), ("valid", ["yes\tare you"]), ("test", ["no\twas he"])):
        (tmp_path / f"{split}.tsv").write_text("text\tsource\n" + "".join(f"{r}\n" for r in lines))
    corpus = load_corpus(tmp_path, source_column="source")
    assert [corpus.num_repeated(s) for s in ("train", "valid", "test")] == [1, 0, 0]
    assert [corpus.num_in_other_splits(s) for s in ("train", "valid", "test")] == [2, 1, 0]


def test_sentences_of_either_other_split_are_counted(tmp_path, own_cache):
    for split, text in (("train", "a b\nc\nd\n"), ("valid", "a b\nf\n"), ("test", "c\nf\nf\n")):
        (tmp_path / f"{split}.txt").write_text(text)
    corpus = load_corpus(tmp_path)
    assert [corpus.num_in_other_splits(s) for s in ("train", "valid", "test")] == [2, 2, 3]


def test_repeated_sentences_are_counted(folder, own_cache):
    train = folder / "train.txt"
    train.write_text(train.read_text() + "the dog sat\nthe dog sat\nthe cat sang\n")
    corpus = load_corpus(folder)
    assert corpus.num_repeated("train") == 2
    assert corpus.num_repeated("valid") == 0
    assert (corpus.num_in_other_splits("train"), corpus.num_in_other_splits("valid")) == (1, 1)


@given(st.lists(st.integers(-3, 9)), st.lists(st.integers(-3, 9)))
def test_counts_of_hashes(ours, others):
    arrays = [np.sort(np.array(values, dtype=np.int64)) for values in (ours, others)]
    assert num_repeated(arrays[0]) == len(ours) - len(set(ours))
    assert num_shared(arrays[0], arrays[1:]) == sum(value in others for value in ours)


def test_blocks_of_hashes_are_counted_across_their_bounds(monkeypatch):
    monkeypatch.setattr("pyro_textvae.data.repeated_hashes._BLOCK", 2)
    assert num_repeated(np.array([1, 1, 1, 1, 2, 2, 3])) == 4
    assert num_shared(np.array([1, 1, 1, 2, 3]), [np.array([1]), np.array([3])]) == 4


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=40),
    st.integers(1, 90),
)
def test_sizes_are_those_of_one_after_another(rows, max_tokens):
    sizes, count, longest = [], 0, (0, 0)
    for row in rows:
        longer = tuple(map(max, longest, row))
        if count and (count + 1) * sum(longer) > max_tokens:
            sizes.append(count)
            count, longer = 0, row
        count, longest = count + 1, longer
    assert sizes_within(np.array(rows), max_tokens, lambda m: m.sum(1)).tolist() == [*sizes, count]


def test_the_hash_of_a_large_file_is_known_until_it_changes(tmp_path, own_cache, monkeypatch):
    monkeypatch.setattr("pyro_textvae.data.file_digest.LARGE", 3)
    path = tmp_path / "large"
    path.write_text("abcd")
    first = file_digest(path)
    assert not own_cache.exists()  # so new that a change might have the same time
    assert file_digest(path, is_finished=True) == first
    (kept,) = (own_cache / "digests").iterdir()
    kept.write_text("0" * 64)
    assert file_digest(path) == "0" * 64
    for text in ("abce", "abcde"):
        path.write_text(text)
        assert file_digest(path) not in (first, "0" * 64)


class Threads(ThreadPoolExecutor):
    """In the place of processes, whose start takes seconds."""

    def shutdown(self, wait=True, kill_workers=False):
        super().shutdown(wait)


def test_results_come_in_the_order_of_the_items_few_at_once(monkeypatch):
    monkeypatch.setattr("joblib.externals.loky.ProcessPoolExecutor", Threads)
    given_out = []

    def slower_at_first(item):
        time.sleep(0.002 * (5 - item % 5))
        return -item

    for item, result in in_order(slower_at_first, (given_out.append(i) or i for i in range(20)), 3):
        assert result == -item
        assert len(given_out) <= item + 11
    assert given_out == list(range(20))


def test_a_worker_that_is_ended_from_outside_is_one_line(monkeypatch):
    monkeypatch.setattr("joblib.externals.loky.ProcessPoolExecutor", Threads)
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    def ended(item):
        raise TerminatedWorkerError("exit codes: SIGKILL(-9)")

    with pytest.raises(UserError, match="read a part of the text was ended from outside"):
        list(in_order(ended, [1, 2], 1))


def test_an_entry_of_another_key_is_none(tmp_path):
    (tmp_path / "file").write_text("a")
    seal(tmp_path, {"key": "one"})
    assert read_sealed(tmp_path, "one") is not None
    assert read_sealed(tmp_path, "another") is None


def test_kinds_with_a_training_of_their_own_are_not_counted():
    class Own(WordTokenizer):
        def train(self, texts, min_count, vocab_size):
            return super().train(texts, min_count, vocab_size)

    assert encoding.counts_at_whitespace(WordTokenizer())
    assert not encoding.counts_at_whitespace(Own())
