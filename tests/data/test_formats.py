# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Formats and compressions: the same rows, whichever they come in, and none of a damaged file."""

import gzip
import io
import json
import lzma
import os

import pytest
import zstandard

from pyro_textvae.data import load_corpus
from pyro_textvae.data.data_file import DataFile
from pyro_textvae.data.given_texts import is_of_given_texts, keep_texts
from pyro_textvae.data.sources.text_files import TextFiles
from pyro_textvae.errors import UserError

ROWS = [
    {"text": f'he said "{i}", then\nleft', "label": "ab"[i % 2], "n": str(i)} for i in range(30)
]
PLAIN = "".join(f"sentence number {i} of many\n" for i in range(400)).encode()


def records(path, **options):
    return list(TextFiles(str(path), **options).records())


def as_csv(rows):
    quoted = [[f'"{cell.replace(chr(34), 2 * chr(34))}"' for cell in row.values()] for row in rows]
    return "\n".join(map(",".join, [list(rows[0]), *quoted])) + "\n"


def compressed(data, suffix):
    if suffix == ".zst":
        # Two frames, as pzstd and cat write them.
        half = len(data) // 2
        return b"".join(zstandard.compress(part) for part in (data[:half], data[half:]))
    return {".gz": gzip.compress, ".xz": lzma.compress}[suffix](data)


def seen(path):
    return [(r.text, r.label, r.columns["n"]) for r in records(path, label_column="label")]


EXPECTED = [(row["text"], row["label"], row["n"]) for row in ROWS]


def test_csv_with_quotes_and_line_breaks(tmp_path):
    (tmp_path / "rows.csv").write_text(as_csv(ROWS))
    assert seen(tmp_path / "rows.csv") == EXPECTED
    (tmp_path / "bad.csv").write_text('text,n\nfine,1\n"a" b,2\n')
    with pytest.raises(UserError, match=r"bad.csv line 3 is no row of a CSV"):
        records(tmp_path / "bad.csv")
    (tmp_path / "bad.csv").write_text("text,n\nfine,1,3\n")
    with pytest.raises(UserError, match=r"bad.csv line 2 has 3 columns .* set apart by commas"):
        records(tmp_path / "bad.csv")


@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow", "stream.arrow"])
def test_tables_of_arrow(tmp_path, name):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table, path = arrow.Table.from_pylist(ROWS), tmp_path / name
    if name == "rows.parquet":
        parquet.write_table(table, path, row_group_size=7)
    else:
        new = arrow.ipc.new_stream if name == "stream.arrow" else arrow.ipc.new_file
        with new(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    assert seen(path) == EXPECTED
    squeezed = path.with_name(f"{name}.gz")
    squeezed.write_bytes(gzip.compress(path.read_bytes()))
    assert seen(squeezed) == EXPECTED
    with pytest.raises(UserError, match=rf"{name} has no column 'body'; it has text, label, n"):
        records(path, text_column="body")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=rf"{name} is no .* file, or is cut short \("):
        records(path)


def test_parquet_without_its_library(tmp_path, monkeypatch):
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"needs pyarrow: pip install 'pyro-textvae\[data\]'"):
        records(tmp_path / "rows.parquet")


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".xz"])
def test_compressed_text(tmp_path, suffix):
    path = tmp_path / f"many.txt{suffix}"
    path.write_bytes(compressed(PLAIN, suffix))
    (tmp_path / "many.txt").write_bytes(PLAIN)
    assert [r.text for r in records(path)] == PLAIN.decode().splitlines()
    assert load_corpus(path).fingerprint == load_corpus(tmp_path / "many.txt").fingerprint
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=rf"many.txt{suffix} is cut short or damaged"):
        load_corpus(path)


def test_several_files_of_a_split_and_none(tmp_path, own_cache):
    lines = PLAIN.decode().splitlines(keepends=True)
    for split, part in (("train", 0), ("train", 1), ("valid", 0), ("test", 0)):
        chosen = lines[part::2] if split == "train" else lines[:5]
        (tmp_path / f"{split}-0000{part}-of-00002.txt").write_text("".join(chosen))
    corpus = load_corpus(tmp_path)
    assert (len(corpus.train), len(corpus.valid)) == (400, 5)
    many = tmp_path / "many"
    many.mkdir()
    (many / "a.txt").write_text("".join(lines[:200]))
    (many / "b.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in lines[200:]))
    (tmp_path / "all.txt").write_bytes(PLAIN)
    whole = load_corpus(tmp_path / "all.txt").fingerprint
    assert load_corpus(many).fingerprint == whole == load_corpus(f"{many}/[ab].*").fingerprint


def test_a_file_that_changes_while_it_is_read(tmp_path, own_cache):
    path = tmp_path / "many.txt"
    path.write_bytes(PLAIN)
    reading = TextFiles(str(path)).records()
    next(reading)
    with path.open("ab") as file:
        file.write(b"one more\n")
    with pytest.raises(UserError, match="many.txt changed while it was read"):
        list(reading)


def test_changes_are_seen_by_time_and_by_size(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("abc")
    file = DataFile(path)
    file.refuse_change()
    before = path.stat().st_mtime_ns
    os.utime(path, ns=(1, 1))
    with pytest.raises(UserError, match="changed while it was read"):
        file.refuse_change()
    path.write_text("abcd")
    os.utime(path, ns=(before, before))
    with pytest.raises(UserError, match="changed while it was read"):
        file.refuse_change()


def test_digest_is_of_content_splits_and_formats(tmp_path):
    names = {
        "splits": ("train.txt", "valid.txt", "test.txt"),
        "none": ("1.txt", "2.txt", "3.txt"),
        "tables": ("1.csv", "2.csv", "3.csv"),
    }
    for folder, files in names.items():
        (tmp_path / folder).mkdir()
        for name, text in zip(files, ("a b\n", "c d\n", "e f\n"), strict=True):
            (tmp_path / folder / name).write_text(text)
    digests = [TextFiles(str(tmp_path / folder)).digest() for folder in names]
    assert len(set(digests)) == 3


def test_bytes_read_grow_to_all_of_them(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_bytes(PLAIN)
    source = TextFiles(str(tmp_path))
    seen = [source.bytes_read for _ in source.records()]
    assert seen == sorted(seen)
    assert 0 < seen[0] < seen[200] < len(PLAIN) < seen[600] < source.num_bytes == 2 * len(PLAIN)
    assert source.bytes_read == source.num_bytes


def test_standard_input_is_kept(tmp_path, own_cache, monkeypatch):
    (tmp_path / "many.txt").write_bytes(PLAIN)
    fingerprint = load_corpus(tmp_path / "many.txt").fingerprint
    for _ in range(2):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PLAIN)))
        corpus = load_corpus("-")
        assert corpus.fingerprint == fingerprint
    assert load_corpus(corpus.settings["data"]).fingerprint == fingerprint
    assert len(list((own_cache / "texts").iterdir())) == 1
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(UserError, match="standard input holds no text"):
        load_corpus("-")
    assert len(list((own_cache / "texts").iterdir())) == 1


def test_texts_of_a_program(tmp_path):
    (tmp_path / "many.txt").write_bytes(PLAIN)
    texts = PLAIN.decode().splitlines()
    whole = load_corpus(tmp_path / "many.txt").fingerprint
    assert load_corpus(texts).fingerprint == whole
    with pytest.raises(UserError, match=r"texts\[1\] is 3, not a string"):
        load_corpus(["a", 3])


def test_texts_to_validate_on_are_halved(own_cache):
    corpus = load_corpus(keep_texts(["a b", "c d", "e"], valid=["a", "b", "c"]))
    texts = [[corpus.tokenizer.decode(r) for r in corpus.split(s)] for s in ("valid", "test")]
    assert texts == [["a", "c"], ["b"]]


def test_where_given_texts_are_kept_is_known(own_cache, tmp_path):
    assert is_of_given_texts(str(keep_texts(["a b"])))
    assert is_of_given_texts(str(keep_texts(["a b"], valid=["a", "b"])))
    for data in ("grammar", "texts", str(tmp_path), str(own_cache)):
        assert not is_of_given_texts(data)


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_columns_of_data_frames(tmp_path, package):
    frames = pytest.importorskip(package)
    texts = PLAIN.decode().splitlines()
    frame = frames.DataFrame({"text": texts})
    assert load_corpus(frame["text"]).fingerprint == load_corpus(texts).fingerprint
    assert load_corpus(frame).fingerprint == load_corpus(texts).fingerprint


@pytest.mark.slow
def test_data_sets_of_hugging_face(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    datasets = pytest.importorskip("datasets")
    label = datasets.ClassLabel(names=["bad", "good"])
    features = datasets.Features({"text": datasets.Value("string"), "label": label})
    texts = PLAIN.decode().splitlines()
    table = {"text": texts, "label": [i % 2 for i in range(len(texts))]}
    data = datasets.Dataset.from_dict(table, features=features)
    data.save_to_disk(str(tmp_path / "one"))
    assert load_corpus(f"hf:{tmp_path}/one").fingerprint == load_corpus(texts).fingerprint
    assert load_corpus(data).fingerprint == load_corpus(texts).fingerprint
    splits = {"train": data, "validation": data.select(range(9)), "test": data.select(range(5))}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "three"))
    corpus = load_corpus(f"hf:{tmp_path}/three", label_column="label")
    assert (len(corpus.train), len(corpus.valid), len(corpus.test)) == (400, 9, 5)
    assert corpus.label_names == ("bad", "good")
    assert corpus.train.labels[:4].tolist() == [0, 1, 0, 1]
    with pytest.raises(UserError, match="has no column 'body'; it has text, label"):
        load_corpus(f"hf:{tmp_path}/one", text_column="body")
    with pytest.raises(UserError, match="datasets cannot load 'no/such'"):
        load_corpus("hf:no/such")
