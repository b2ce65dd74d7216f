# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""ROUGE of summaries of groups, counted by hand; documents as texts."""

from types import SimpleNamespace

import pytest

from pyro_textvae.assessment.metrics import KnownLanguage, Summaries
from pyro_textvae.assessment.sentences import Sentences
from pyro_textvae.data import train_tokenizer
from pyro_textvae.data.world import open_world
from pyro_textvae.run_folder import RunFolder
from tests.assessment.texts import by_name, material, sentences, values


def test_a_summary_is_held_against_each_part_of_its_group_and_groups_count_alike():
    pytest.importorskip("rouge_score")
    groups = [["a b", "a c"], ["d e", "d e", "d f"], ["q"]]
    run = material((), ("", "", ""), groups=groups, summaries=sentences("a b", "d e", "q"))
    found = by_name(Summaries(), run)
    # F1 of one group 1 and 1/2, of the other 1, 1 and 1/2; a group of one says nothing.
    assert found["summary_rouge_1"].value == pytest.approx((3 / 4 + 5 / 6) / 2)
    assert found["summary_rouge_1"].num_sentences == 2
    assert found["first_part_rouge_1"].value == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert not any(name.endswith("of_best_reader") for name in found)
    run.model = SimpleNamespace()
    assert "has no summary_latent" in Summaries().why_not(run)


def test_on_the_world_the_reference_is_what_the_best_reader_says():
    pytest.importorskip("rouge_score")
    world = open_world("reviews", {"num_aspects": 2})
    group = ["the food is great", "the food is good"]
    run = material((), ("",), world=world, groups=[group], summaries=sentences("the food is good"))
    # The best reader adds "the room is good and": 4 of its 9 words are written.
    found = values(Summaries(), run)
    assert found["summary_rouge_1_of_best_reader"] == pytest.approx(2 * 4 / (4 + 9))


def test_a_document_is_one_text_and_a_world_reads_it_by_its_lines(tmp_path, monkeypatch):
    tokenizer = train_tokenizer(["the food is good", "the room is bad"])
    rows = [[[*tokenizer.encode(line), 2, 0] for line in ("the food is good", "the room is bad")]]
    rows[0].append([0] * len(rows[0][0]))
    read = Sentences.of_rows(rows, tokenizer)
    assert read.texts == ["the food is good the room is bad"]
    assert read[:1].lines == ("the food is good\nthe room is bad",)
    # Known to one draw of the lengths; 10,000 of them take a second.
    monkeypatch.setattr("pyro_textvae.assessment.metrics.known_language._DRAWS", 1)
    run = material(world=open_world("reviews", {}))
    run.folder, run.corpus.fingerprint, run.samples, run.real = RunFolder(tmp_path), "", read, read
    assert by_name(KnownLanguage(), run)["in_language"].value == 1.0
