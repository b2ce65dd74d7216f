# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
"""Metrics of texts with a source, on worlds whose truth is known."""

import numpy as np
import pytest
import torch

from pyro_textvae.assessment.metrics import Correction, Dialogue, Headlines, Paraphrase
from pyro_textvae.assessment.overlap import overlap, sentence_bleu
from pyro_textvae.data.world import open_world
from tests.assessment.texts import by_name, material, sentences, values

EVENTS = "{0} buys the bank . {1} opens the school . {2} builds the road ."


def test_models_without_a_source_are_told_so():
    for metric in (Correction(), Dialogue(), Headlines(), Paraphrase()):
        assert metric.why_not(material(("a",), ("a",))) == "the model takes no source"
        assert metric.why_not(material(("a",), ("a",), sources=("b",))) is None


def test_precision_is_the_mean_over_replies_and_recall_the_best():
    real = ("a b c d", "e f g h", "a b c x")
    replies = [
        sentences("a b c d", "e f g h", "q q"),
        sentences("q q", "e f g h", "q q"),
    ]
    # The first and the last have one source, so both texts are references of both.
    run = material((), real, sources=("s", "t", "s"), replies=replies)
    found = values(Dialogue(), run)
    near, _ = sentence_bleu(["a b c d"], [["a b c x"]], tokenizer="13a")
    assert found["bleu_precision"] == pytest.approx((50 + 100 + 0) / 3)
    assert found["bleu_recall"] == pytest.approx(((100 + near[0]) / 2 + 100 + 0) / 3)
    assert found["distinct_replies"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert "act_accuracy" not in found


def test_act_of_a_reply_is_judged_by_the_exact_posterior():
    world = open_world("dialogue", {"labels": True})
    source = "do you know the opera"
    posterior = world.act_posterior(source, "yes i know the opera")
    run = material(
        (),
        ("yes i know the opera",),
        sources=(source,),
        world=world,
        label_names=("no", "yes"),
        batch={"labels": torch.tensor([1])},
        replies=[sentences("yes i know the opera"), sentences("no such words")],
    )
    assert values(Dialogue(), run)["act_accuracy"] == pytest.approx(posterior["yes"] / 2)
    run.batch["labels"] = torch.tensor([0])
    assert values(Dialogue(), run)["act_accuracy"] == pytest.approx(posterior["no"] / 2)


def test_act_of_a_reply_elsewhere_is_judged_by_a_reader_of_another_split():
    texts = ["yes i do", "oh yes", "no not me", "oh no", "yes and yes", "no no"]
    labels = ["yes", "yes", "no", "no", "yes", "no"]
    run = material(
        (),
        ("oh yes", "not at all yes", "what"),
        sources=("a", "b", "c"),
        label_names=("no", "yes"),
        batch={"labels": torch.tensor([1, 0, -1])},
        replies=[sentences("yes", "no", "no"), sentences("yes yes", "yes", "no")],
        labelled_elsewhere=(texts, labels),
    )
    found = by_name(Dialogue(), run)["act_accuracy"]
    # Both of the first, one of the second, and the third has no act; its reference is not "no".
    assert found.value == pytest.approx((1 + 0.5) / 2)
    assert found.num_sentences == 2
    assert found.real == pytest.approx(0.5)
    assert "of 6 replies" in found.note
    run.labelled_elsewhere = (texts[:2], labels[:2])
    assert "act_accuracy" not in by_name(Dialogue(), run)


def test_ibleu_is_of_both_overlaps_and_equivalents_are_true():
    world = open_world("paraphrase", {})
    generator = np.random.default_rng(0)
    examples = [world.draw(generator) for _ in range(6)]
    real, sources = ([getattr(e, name) for e in examples] for name in ("text", "source"))
    # Two good paraphrases, a copy, two of other sources, and no sentence.
    texts = [*real[:2], sources[2], real[4], real[3], "no sentence at all"]
    found = by_name(Paraphrase(), material(texts, real, sources=sources, world=world))
    options = {"num_resamples": 100, "tokenizer": "13a"}
    to_reference = overlap("BLEU", texts, real, **options).score
    to_source = overlap("BLEU", texts, sources, **options).score
    assert found["bleu_to_reference"].value == pytest.approx(to_reference)
    assert found["bleu_to_source"].value == pytest.approx(to_source)
    assert found["bleu_to_source"].real == pytest.approx(
        overlap("BLEU", real, sources, **options).score
    )
    assert found["ibleu"].value == pytest.approx(0.8 * to_reference - 0.2 * to_source)
    assert "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp" in found["ibleu"].note
    assert found["copied_sources"].value == pytest.approx(1 / 6)
    expected = [world.is_paraphrase(*pair) for pair in zip(texts, sources, strict=True)]
    assert expected == [True, True, True, False, False, False]
    assert found["equivalent"].value == pytest.approx(0.5)


def test_headlines_are_held_against_the_lead():
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
    world = open_world("headlines", {})
    one, other, third = world.seen_names[:3]
    unseen = world.unseen_names[0]
    articles = [
        f"{EVENTS.format(one, name, other)} everyone talks of {name} ." for name in (third, unseen)
    ]
    real = [f"{one} buys bank", f"{unseen} opens school"]
    texts = [f"{one} purchases bank", f"{one} buys bank"]
    found = by_name(Headlines(), material(texts, real, sources=articles, world=world))
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
    for kind, name in {"rouge1": "rouge_1", "rouge2": "rouge_2", "rougeL": "rouge_l"}.items():
        pairs = list(zip(real, texts, strict=True))
        scores = [scorer.score(target, text)[kind].fmeasure for target, text in pairs]
        assert found[name].value == pytest.approx(np.mean(scores))
        leads = [scorer.score(target, f"{one} buys bank")[kind].fmeasure for target in real]
        assert found[f"{name}_of_lead"].value == pytest.approx(np.mean(leads))
    # The name and bank, of three words stand in the first source; all three in the second.
    assert found["copied_from_source"].value == pytest.approx((2 / 3 + 1) / 2)
    assert found["copied_from_source"].real == 1.0
    assert (found["names_right"].value, found["unseen_names_right"].value) == (0.5, 0.0)
    assert found["unseen_names_right"].num_sentences == 1


def test_lead_of_other_text_is_as_many_words_as_a_reference_has():
    found = values(Headlines(), material(("x",), ("a b",), sources=("a b c d",)))
    assert found["rouge_1_of_lead"] == pytest.approx(1.0)


def test_corrections_by_hand():
    real = ("a b c d", "e f g", "h i")
    sources = ("a x c y", "e f g", "h j")
    # One of two mistakes corrected; a right word spoilt; a mistake put right another way.
    texts = ("a b c y", "e f z", "h k")
    found = values(Correction(), material(texts, real, sources=sources))
    assert found["token_accuracy"] == pytest.approx((3 + 2 + 1) / 9)
    assert found["token_accuracy_of_source"] == pytest.approx((2 + 3 + 1) / 9)
    assert found["sentence_accuracy"] == 0.0
    # Right 1; wrong 2 (g to z, j to k); missing 2 (y to d, j to i).
    assert found["correction_f1"] == pytest.approx(2 / (2 + 2 + 2))


def test_corrections_of_another_length_are_edits():
    run = material(("a b c", "a"), ("a b c", "a d"), sources=("a c", "a d"))
    found = values(Correction(), run)
    # b put in, as wanted; d left out, as not.
    assert found["correction_f1"] == pytest.approx(2 / (2 + 1))


def test_gain_is_a_share_of_the_best_readers():
    world = open_world("typos", {})
    source, text = "this man sold the shoes with anna hid", "this man sold the shoes that anna hid"
    run = material((text, source), (text, text), sources=(source, source), world=world)
    found = values(Correction(), run)
    assert found["token_accuracy_of_best"] == 1.0
    assert found["gain_of_best"] == pytest.approx(0.5)
    assert found["as_the_best"] == 0.5


def test_gleu_is_nltks():
    from nltk.translate.gleu_score import sentence_gleu

    real, texts = ("a b c d", "e f"), ("a b x d", "")
    found = values(Correction(), material(texts, real, sources=("a b c", "e")))
    expected = sentence_gleu([real[0].split()], texts[0].split())
    assert found["gleu"] == pytest.approx(expected / 2)
