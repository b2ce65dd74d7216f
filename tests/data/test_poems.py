# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Poems in files of a user's own."""

import json

import pytest

from pyro_textvae.data import load_corpus
from pyro_textvae.errors import UserError

pytest.importorskip("pypinyin")

POEM = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"
FORM = "ang 平平平仄平 平仄仄仄平 仄平仄平仄 平平平仄平"


def corpus_of(folder, rows, suffix=".txt", **options):
    for split in ("train", "valid", "test"):
        (folder / f"{split}{suffix}").write_text("\n".join(rows))
    return load_corpus(f"poems:{folder}", tokenizer="character", cache_dir=folder, **options)


def poems_of(corpus):
    batch = next(corpus.batches("train", shuffle=False))
    decode = corpus.tokenizer.decode
    lines = [corpus.tokenizer.decode_lines(row) for row in batch["tokens"].tolist()]
    return list(zip(lines, map(decode, batch["source"].tolist()), strict=True))


@pytest.mark.parametrize(
    "poem", [POEM, POEM.replace("，", "/").replace("。", "/"), POEM.replace("，", " ")]
)
def test_a_poem_a_line_has_the_form_that_is_read_off_it(tmp_path, poem):
    corpus = corpus_of(tmp_path, [poem, ""])
    assert poems_of(corpus) == [("床前明月光\n疑是地上霜\n举头望明月\n低头思故乡", FORM)]
    assert corpus.max_sentences == 4


def test_lists_of_lines_and_forms_that_are_given(tmp_path):
    lines = ["床前明月光", "疑是地上霜", "举头望明月", "低头思故乡"]
    rows = [{"text": lines, "form": f" {FORM} "}, {"text": POEM, "form": FORM}]
    corpus = corpus_of(tmp_path, [*map(json.dumps, rows)], ".jsonl", source_column="form")
    assert poems_of(corpus) == [("\n".join(lines), FORM)] * 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"form": FORM.replace("ang", "an")},
            "line 2 does not keep to its form: line 1: '光' at place 5 rhymes in ang, not in an, "
            "and 2 more; correct it, or leave source_column out",
        ),
        ({"form": "ang 平平平仄平"}, "line 2 does not keep to its form: 4 lines, not 1"),
        ({"form": "iang 平平"}, "line 2: there is no rhyme 'iang': a form begins with"),
        ({"form": "ang 平x"}, "line 2: line 1 of the form is '平x': write 平 or 仄"),
        ({"text": "，。"}, "line 2 holds no line of a poem: leave it out"),
    ],
)
def test_a_poem_that_does_not_fit_is_named(tmp_path, row, message):
    rows = [{"text": POEM, "form": FORM}, {"text": POEM, "form": FORM, **row}]
    with pytest.raises(UserError, match=f"train.jsonl {message}"):
        corpus_of(tmp_path, map(json.dumps, rows), ".jsonl", source_column="form")


def test_a_sign_that_has_no_tone_is_named(tmp_path):
    with pytest.raises(UserError, match="train.txt line 2: line 1: no tone of '□' is known"):
        corpus_of(tmp_path, [POEM, "□前明月光"])
