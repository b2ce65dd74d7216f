# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from sklearn.manifold import trustworthiness

from pyro_textvae.errors import UserError
from pyro_textvae.evaluation import log_likelihood
from pyro_textvae.evaluation.sentences import batch_of
from pyro_textvae.generation import encode, interpolate
from pyro_textvae.generation.latent_space import neighbours, traverse
from tests.explore.conftest import SENTENCES, make_collection


def text_of(collection, ids):
    return collection._tokenizer.decode(ids.tolist())


def test_sentences_stand_in_their_order_with_their_posterior_means(collection):
    assert collection.texts[:36] == tuple(SENTENCES)
    for place in (0, 17, 36):
        (mean,) = encode(collection._guide, collection._fields[place]).values()
        assert np.allclose(collection.vectors[place], mean[0].double(), atol=1e-6)
    assert collection.labels[:3] == ("<i>good</i>", "bad", "<i>good</i>")
    assert collection.labels[-1] is None
    assert collection.lengths[0] == 7


def test_neighbours_are_those_of_the_command(collection):
    sentence = collection.sentence(9)
    found = collection.neighbours(sentence, 4)
    # The command finds the sentence itself too, as it is among those that are looked at.
    nearest = neighbours(collection._guide, sentence.fields, collection.batches(), size=5)
    assert nearest.indices.tolist() == [9, *(place for place, _ in found)]
    # Terms of the size of 1 cancel to a hundredth, in float32: another batch rounds otherwise.
    distances = [distance for _, distance in found]
    assert np.allclose(nearest.distances[1:], distances, rtol=0, atol=3e-6)
    assert len(collection.neighbours(sentence, 99)) == len(collection) - 1


def test_a_typed_sentence_falls_where_the_same_sentence_is(collection):
    typed, same = collection.typed(SENTENCES[4]), collection.sentence(4)
    assert typed.index is None
    assert typed.text == same.text
    assert np.allclose(typed.vector, same.vector, atol=1e-6)
    place, distance = collection.neighbours(typed, 1)[0]
    assert place == 4
    assert distance < 1e-6
    unknown = collection.typed("the wolf sat")
    assert (unknown.text, unknown.num_unknown, unknown.num_tokens) == ("the <unk> sat", 1, 4)


@pytest.mark.parametrize("text", ["", "   ", "the cat " * 20])
def test_what_cannot_be_typed(collection, text):
    with pytest.raises(UserError, match="no word|tokens, <eos> counted, and the model takes 12"):
        collection.typed(text)


def test_a_walk_goes_from_one_to_the_other(collection):
    start, end = collection.sentence(0), collection.typed("the fox sang")
    walk = collection.walk(start, end, steps=5)
    ends = batch_of([start.fields, end.fields])
    expected = interpolate(collection._model, collection._guide, ends, steps=5)
    assert walk.texts == tuple(text_of(collection, row) for row in expected)
    assert walk.texts[0] == collection.decoded(start)
    line = np.linspace(start.vector[0], end.vector[0], 5)
    assert np.allclose(walk.vectors, line, atol=1e-5)


def test_sliders_move_the_latent_they_name(collection):
    sentence = collection.sentence(2)
    stays = collection.moved(sentence, {})
    assert stays.texts == (collection.decoded(sentence),)
    assert np.allclose(stays.vectors, sentence.vector, atol=1e-6)
    moved = collection.moved(sentence, {0: 2.0, 2: -1.5})
    assert np.allclose(moved.vectors - sentence.vector, [[2.0, 0.0, -1.5]], atol=1e-5)
    alone = collection.moved(sentence, {1: 2.5})
    arguments = (collection._model, collection._guide, sentence.fields)
    walked = traverse(*arguments, 1, torch.tensor([2.5]))
    assert alone.texts == (text_of(collection, walked.tokens[0]),)


def test_sliders_are_the_dimensions_that_vary_most(collection):
    spread = collection.vectors.var(0)
    assert collection.moving_dimensions == np.argsort(-spread).tolist()


def test_a_score_is_the_likelihood_of_the_text(collection):
    sentence = collection.sentence(3)
    score = collection.score(sentence)
    fields = {"tokens": sentence.fields["tokens"]}
    result = log_likelihood(collection._model, collection._guide, [fields], 4000, seed=5)
    errors = np.hypot(score.standard_error, result.standard_error.item())
    # Two estimates by draws of their own.
    assert abs(score.nll + result.log_px.item()) < 4 * errors + 0.01
    assert np.isfinite(score.khat)
    assert score.settled


def test_maps_have_every_sentence_and_place_others(collection):
    pca = collection.plane("pca")
    assert pca is collection.plane("pca")
    assert np.allclose(pca.place(collection.vectors), pca.positions, atol=1e-6)
    tsne = collection.plane("tsne")
    assert tsne.positions.shape == (len(collection), 2)
    # A latent of a sentence of the collection stands where that sentence does.
    assert np.allclose(tsne.place(collection.vectors[5:7]), tsne.positions[5:7], atol=1e-3)
    assert "nearest" in tsne.note


@pytest.mark.slow
def test_umap_keeps_neighbours(collection):
    pytest.importorskip("umap")
    plane = collection.plane("umap")
    assert plane.positions.shape == (len(collection), 2)
    assert plane.title == "UMAP, 15 neighbours"
    shuffled = np.random.default_rng(0).permutation(plane.positions)
    kept, by_chance = (
        trustworthiness(collection.vectors, positions) for positions in (plane.positions, shuffled)
    )
    assert by_chance < 0.65 < 0.8 < kept


def test_clusters_are_the_largest_first_and_cover_all(collection):
    grouping = collection.grouping(3)
    sizes = np.bincount(grouping.assigned)
    assert [cluster.size for cluster in grouping.clusters] == sizes.tolist()
    assert sizes.tolist() == sorted(sizes, reverse=True)
    assert sizes.sum() == len(collection)
    for number, cluster in enumerate(grouping.clusters):
        members = collection.vectors[grouping.assigned == number]
        far = np.linalg.norm(collection.vectors - members.mean(0), axis=1)
        nearest = [place for place in np.argsort(far) if grouping.assigned[place] == number]
        assert list(cluster.central) == nearest[: len(cluster.central)]


def test_nothing_to_draw():
    with pytest.raises(UserError, match="fewer than 5"):
        make_collection(SENTENCES[:4])
    with pytest.raises(UserError, match="all coincide"):
        make_collection(SENTENCES[:1] * 9)
