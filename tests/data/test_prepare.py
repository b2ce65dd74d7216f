# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Documents to sentences: the layouts, their counts, and nothing half-written."""

import errno
import json
from pathlib import Path

import pytest

from pyro_textvae.cli.main import main
from pyro_textvae.data import load_corpus
from pyro_textvae.data.array_writer import ArrayWriter
from pyro_textvae.data.layouts import PennTreebank, PlainDocuments, WikiText
from pyro_textvae.data.preparation import check_counts, prepare
from pyro_textvae.data.preparation.published_counts import PUBLISHED
from pyro_textvae.data.preparation.sentence_splitter import sentence_splitter
from pyro_textvae.errors import UserError

PAGES = Path(__file__).parent / "pages"

WIKI = "\n".join(
    [
        " ",
        " = Cats = ",
        " ",
        ' A well @-@ fed cat weighs 3 @.@ 5 kg , or 3 @,@ 500 g . " It purrs . " It is ! ',
        " ",
        " = = Food = = ",
        " ",
        " The U.S. has cats . ",
        " = Dogs = ",
        " Dogs bark . The U.S. has cats . ",
    ]
)


def write_splits(folder, text, name="{}.txt"):
    for split in ("train", "valid", "test"):
        (folder / name.format(split)).write_text(text)
    return folder


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_wikitext(tmp_path):
    write_splits(tmp_path, WIKI, "wiki.{}.tokens")
    prepared = prepare(tmp_path, tmp_path / "out", layout="wikitext")
    assert [tuple(row.values()) for row in rows(tmp_path / "out/train.jsonl")] == [
        ("A well-fed cat weighs 3.5 kg , or 3,500 g .", 0, 0),
        ('" It purrs . "', 0, 1),
        ("It is !", 0, 2),
        ("The U.S. has cats .", 0, 3),
        ("Dogs bark .", 1, 0),
        ("The U.S. has cats .", 1, 1),
    ]
    counts = prepared.to_dict()["train"]
    assert counts == json.loads((tmp_path / "out/counts.json").read_text())["train"]
    assert (counts["documents"], counts["sentences"], counts["headings"]) == (2, 6, 3)
    assert (counts["repeated"], counts["in_other_files"], counts["longest"]) == (1, 6, 11)
    corpus = load_corpus(tmp_path / "out", document_column="document")
    assert corpus.train.num_sentences.tolist() == [4, 2]


def test_sentences_of_a_heading_alike_line_are_kept():
    layout = WikiText(lambda text: [text])
    assert [s.text for s in layout.sentences(["a = b and b = c .", "= = ="])] == [
        "a = b and b = c .",
        "= = =",
    ]


def boundaries(sentences):
    ends, place = set(), 0
    for sentence in sentences:
        place += len("".join(sentence.split()))
        ends.add(place)
    return ends


@pytest.mark.parametrize(
    ("page", "language", "between", "num_missed"),
    [("annotated.txt", "en", " ", 2), ("annotated.zh.txt", "zh", "", 0)],
)
def test_errors_of_the_splitter_on_a_page_annotated_by_hand(page, language, between, num_missed):
    pytest.importorskip("sentencex")
    by_hand = (PAGES / page).read_text(encoding="utf-8").splitlines()
    split = boundaries(sentence_splitter(language)(between.join(by_hand)))
    assert len(boundaries(by_hand) - split) == num_missed
    assert not split - boundaries(by_hand)


def test_plain_documents():
    book = [
        "Licence.",
        "*** START OF THE PROJECT GUTENBERG EBOOK X ***",
        "He",
        "came.",
        "",
        "今天",
        "好。",
    ]
    layout = PlainDocuments(lambda text: [text])
    book = [*book, "*** END OF THE PROJECT GUTENBERG EBOOK X ***", "More licence."]
    assert [s.text for s in layout.sentences(book)] == ["He came.", "今天好。"]
    of_rows = PlainDocuments(lambda text: [text], rows_are_documents=True)
    assert [tuple(s) for s in of_rows.sentences(["a\nb\n\nc", "d"])] == [
        (0, "a b"),
        (0, "c"),
        (1, "d"),
    ]


def test_documents_and_counts_go_on_from_file_to_file(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("one line\n\n\nanother long line\n")
    prepared = prepare(tmp_path, tmp_path / "out", layout="ptb")
    assert [(r["document"], r["sentence"]) for r in rows(tmp_path / "out/sentences.jsonl")] == [
        (0, 0),
        (1, 0),
        (2, 0),
        (3, 0),
    ]
    assert prepared.to_dict()["sentences"] == {
        "documents": 4,
        "sentences": 4,
        "words": 10,
        "characters": 2 * (8 + 17),
        "longest": 3,
        "headings": 0,
        "repeated": 2,
        "in_other_files": 0,
    }


def test_headings_of_all_files_are_counted(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.tokens").write_text("Before .\n = A = \n After . \n")
    prepared = prepare(tmp_path, tmp_path / "out", layout="wikitext")
    assert prepared.counts["sentences"].headings == 2
    assert [(r["document"], r["text"]) for r in rows(tmp_path / "out/sentences.jsonl")] == [
        (0, "Before ."),
        (0, "After ."),
        (1, "Before ."),
        (1, "After ."),
    ]


def test_a_long_text_without_the_mark_of_a_licence_is_kept():
    layout = PlainDocuments(lambda text: [text])
    lines = [line for number in range(600) for line in (f"line {number}", "")]
    assert len(list(layout.sentences(lines))) == 600


def test_published_counts(tmp_path, monkeypatch, capsys):
    write_splits(tmp_path, "a b <unk>\n\nc\n")
    assert check_counts("ptb", tmp_path).counted == dict.fromkeys(["train", "valid", "test"], 6)
    of_wikitext = check_counts("wikitext-2", tmp_path)
    assert of_wikitext.counted["valid"] == 7
    assert of_wikitext.published["valid"] == 217_646
    assert PUBLISHED["ptb"][1] == {"train": 929_589, "valid": 73_760, "test": 82_430}
    assert main(["prepare", str(tmp_path), "--check", "ptb"]) == 1
    assert "929,589" in capsys.readouterr().out
    monkeypatch.setitem(PUBLISHED, "ptb", ("x", dict.fromkeys(["train", "valid", "test"], 6)))
    assert main(["prepare", str(tmp_path), "--check", "ptb", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["agree"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "prepare needs text"),
        (["{}"], "give --out FOLDER"),
        (["{}", "--check", "ptb", "--out", "x"], "so out would do nothing"),
        (["{}", "--check", "brown"], "check='brown' must be one of ptb"),
        (["{}", "--out", "{}"], "there is a .* already"),
        (["{}", "--out", "{}/x", "--layout", "wikitxt"], "did you mean 'wikitext'"),
        (["{}", "--out", "{}/x", "--layout", "ptb", "--language", "en"], "language='en' is of raw"),
        (["{}/no", "--out", "{}/x"], "no such corpus"),
        (["{}", "--out", "{}/no/x", "--layout", "ptb"], "there is no folder"),
    ],
)
def test_bad_input(tmp_path, capsys, arguments, message):
    write_splits(tmp_path, "a\n")
    assert main(["prepare", *(a.format(tmp_path) for a in arguments)]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert __import__("re").search(message, error)


def test_files_without_splits_have_no_published_counts(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("a\n")
    with pytest.raises(UserError, match="has no splits: give the folder of train, valid, test"):
        check_counts("ptb", tmp_path)


def no_room(self, numbers):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n\n", "the files of train hold no sentence; is ptb their layout"),
        ("a b\n", "cannot write .*out.*: No space left"),
        ("grows\n", "train.txt changed while it was read"),
    ],
)
def test_nothing_is_left_of_what_cannot_be_prepared(tmp_path, monkeypatch, text, message):
    write_splits(tmp_path, text)
    if text == "a b\n":
        monkeypatch.setattr(ArrayWriter, "append", no_room)
    if text == "grows\n":

        def grows(self, lines):
            (tmp_path / "train.txt").write_text("longer\n")
            yield from ()

        monkeypatch.setattr(PennTreebank, "sentences", grows)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=message):
        prepare(tmp_path, tmp_path / "out", layout="ptb")
    assert sorted(tmp_path.iterdir()) == before


def test_nothing_is_left_where_a_file_cannot_be_read(tmp_path):
    write_splits(tmp_path, "a\n")
    (tmp_path / "test.txt").write_bytes(b"\xff\n")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match="not UTF-8"):
        prepare(tmp_path, tmp_path / "out", layout="ptb")
    assert sorted(tmp_path.iterdir()) == before
