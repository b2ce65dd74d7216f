# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""The cache: encoded once, whole or absent, the same in every process, and small in memory."""

import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import pyro_textvae.data.load as load_module
from pyro_textvae.data import load_corpus


@pytest.fixture
def no_encoding(monkeypatch):
    def forbid():
        def encode_again(*args):
            raise AssertionError("encoded again")

        monkeypatch.setattr(load_module, "encode_source", encode_again)

    return forbid


def entries(cache):
    return sorted(path.name for path in cache.iterdir())


def test_second_load_does_not_encode(folder, own_cache, no_encoding):
    first = load_corpus(folder)
    no_encoding()
    second = load_corpus(folder)
    assert second.fingerprint == first.fingerprint
    assert second.summary() == first.summary()
    assert [row.tolist() for row in second.train] == [row.tolist() for row in first.train]
    with pytest.raises(AssertionError, match="encoded again"):
        load_corpus(folder, max_length=7)
    with (folder / "test.txt").open("a") as file:
        file.write("one more\n")
    with pytest.raises(AssertionError, match="encoded again"):
        load_corpus(folder)


def test_ids_are_packed_and_memory_mapped(folder, own_cache):
    load_corpus(folder)
    (entry,) = own_cache.iterdir()
    ids = np.load(entry / "train.ids.npy", mmap_mode="r")
    assert isinstance(ids, np.memmap)
    assert ids.dtype == np.uint16
    assert np.load(entry / "train.offsets.npy").tolist() == [0, 7, 11, 17, 27, 31, 41]


def test_large_vocabularies_take_wider_ids(folder):
    rows = [" ".join(f"w{i}" for i in range(j, j + 700)) for j in range(0, 70_000, 700)]
    (folder / "train.txt").write_text("\n".join(rows))
    corpus = load_corpus(folder)
    assert len(corpus.tokenizer) == 70_004
    assert corpus.tokenizer.decode(corpus.train[99]) == rows[99]


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "train.ids.npy").write_bytes(b"\x93NUMPY"),
        lambda entry: (entry / "valid.ids.npy").unlink(),
        lambda entry: (entry / "meta.json").write_text("{"),
        lambda entry: (entry / "meta.json").write_text("[]"),
        lambda entry: (entry / "tokenizer.json").write_text("{}"),
        lambda entry: (entry / "test.offsets.npy").write_bytes(b"\x93NUMPY"),
        lambda entry: [path.unlink() for path in entry.iterdir()],
    ],
)
def test_damaged_entry_is_rebuilt(folder, own_cache, damage, no_encoding):
    first = load_corpus(folder)
    (entry,) = own_cache.iterdir()
    damage(entry)
    second = load_corpus(folder)
    assert second.fingerprint == first.fingerprint
    assert [row.tolist() for row in second.valid] == [row.tolist() for row in first.valid]
    assert entries(own_cache) == [entry.name]
    no_encoding()
    load_corpus(folder)


def test_damaged_entry_that_cannot_be_removed_is_no_error(folder, own_cache, monkeypatch):
    first = load_corpus(folder)
    (entry,) = own_cache.iterdir()
    (entry / "meta.json").write_text("{")

    unlink = os.unlink

    def refuse(path, **kwargs):
        if kwargs:
            raise PermissionError("not yours")
        unlink(path)

    # Folders are removed with their names relative to a descriptor.
    monkeypatch.setattr(os, "unlink", refuse)
    assert load_corpus(folder).fingerprint == first.fingerprint


def test_one_flipped_id_is_noticed(folder, own_cache):
    row = load_corpus(folder).train[5].tolist()
    (entry,) = own_cache.iterdir()
    data = bytearray((entry / "train.ids.npy").read_bytes())
    data[-1] ^= 1
    (entry / "train.ids.npy").write_bytes(bytes(data))
    assert load_corpus(folder).train[5].tolist() == row


def test_unwritable_cache_falls_back(folder, tmp_path):
    # A file where the folder should be stops every account, root too.
    (tmp_path / "file").write_text("")
    corpus = load_corpus(folder, cache_dir=tmp_path / "file" / "cache")
    assert corpus.fingerprint == load_corpus(folder).fingerprint


def test_failed_build_leaves_nothing_behind(folder, own_cache):
    (folder / "test.txt").write_bytes(b"\xff\n")
    with pytest.raises(ValueError, match="not UTF-8"):
        load_corpus(folder)
    assert entries(own_cache) == []


def test_racing_loads_agree_and_leave_one_entry(folder, own_cache):
    with ThreadPoolExecutor(8) as pool:
        corpora = list(pool.map(lambda _: load_corpus(folder), range(16)))
    assert len({corpus.fingerprint for corpus in corpora}) == 1
    assert len(entries(own_cache)) == 1


def test_fingerprint_changes_with_content_and_options(folder):
    prints = [load_corpus(folder).fingerprint]
    for options in (
        {"tokenizer": "character"},
        {"tokenizer": "nltk"},
        {"tokenizer": "bpe"},
        {"min_count": 2},
        {"vocab_size": 8},
        {"max_length": 7},
        {"max_length": 7, "truncate": True},
    ):
        prints.append(load_corpus(folder, **options).fingerprint)
    valid = (folder / "valid.txt").read_text()
    (folder / "valid.txt").write_text("".join(reversed(valid.splitlines(keepends=True))))
    prints.append(load_corpus(folder).fingerprint)
    assert len(set(prints)) == len(prints)


PRINT_FINGERPRINTS = """
import sys
from pyro_textvae.data import load_corpus
for kind in ("word", "character", "bpe"):
    print(load_corpus(sys.argv[1], tokenizer=kind, vocab_size=300).fingerprint)
print(load_corpus("grammar", num_sentences=50).fingerprint)
"""


def test_fingerprint_is_stable_across_processes(one_file, tmp_path, capsys, monkeypatch):
    """In this process and in another, whose hashes of strings are others."""
    monkeypatch.setattr(sys, "argv", ["-c", str(one_file)])
    exec(PRINT_FINGERPRINTS, {})
    ours = capsys.readouterr().out.split()
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": seed,
        "PYRO_TEXTVAE_CACHE": str(tmp_path / "their-cache"),
    }
    command = [sys.executable, "-c", PRINT_FINGERPRINTS, str(one_file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ours
    assert len(set(ours)) == 4


def test_a_large_corpus_streams(tmp_path):
    # As a Python list the ids take 3.4 MB and more, the lines of text 3 MB; neither must fit.
    words = np.random.default_rng(0).integers(0, 5000, (20_000, 20))
    path = tmp_path / "large"
    path.mkdir()
    for split, rows in (("train", words), ("valid", words[:100]), ("test", words[:100])):
        (path / f"{split}.txt").write_text(
            "".join(" ".join(map(str, row)) + "\n" for row in rows.tolist())
        )
    tracemalloc.start()
    corpus = load_corpus(path)
    for _ in corpus.batches("train", 32):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert corpus.train.num_tokens == 420_000
    assert peak < 2_800_000
