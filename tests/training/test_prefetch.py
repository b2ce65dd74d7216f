# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0
import io
import itertools
import threading
from contextlib import closing

import pytest
import torch
from tqdm import tqdm

from pyro_textvae.data import load_corpus
from pyro_textvae.training import trainer as trainer_module
from pyro_textvae.training.prefetch import batches_on, made_ahead, without_waiting

from .procedure_runs import make_trainer, same, values_of

CPU = torch.device("cpu")


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_items_come_in_order_from_another_thread():
    makers = set()

    def make(place):
        makers.add(threading.current_thread().name)
        return 10 * place

    assert list(made_ahead(make, range(20))) == [10 * place for place in range(20)]
    assert len(makers) == 1
    assert makers != {threading.current_thread().name}
    assert threads() == []


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_short_plans(length):
    assert list(made_ahead(str, range(length))) == [str(place) for place in range(length)]


def test_two_items_are_made_while_one_is_in_use():
    made, third, release = [], threading.Event(), threading.Event()

    def make(place):
        made.append(place)
        if place == 2:
            third.set()
        return place

    with closing(made_ahead(make, range(10))) as items:
        assert next(items) == 0
        assert third.wait(timeout=60)
        assert not release.wait(timeout=0.05), "time for the thread to go too far"
        assert made == [0, 1, 2]
        assert next(items) == 1


def test_error_comes_at_its_own_place_and_ends_the_thread():
    def make(place):
        if place == 3:
            raise LookupError("sentence 3 is damaged")
        return place

    items = made_ahead(make, range(9))
    assert list(itertools.islice(items, 3)) == [0, 1, 2]
    with pytest.raises(LookupError, match="sentence 3 is damaged"):
        next(items)
    assert threads() == []


def test_thread_ends_when_the_loop_is_left_early():
    with closing(made_ahead(str, range(1000))) as items:
        for item in items:
            assert len(threads()) == 1
            if item == "3":
                break
    assert threads() == []


def test_on_the_cpu_a_batch_is_made_when_it_is_asked_for():
    made = []
    batches = batches_on(CPU, [1, 2, 3], lambda place: made.append(place) or place)
    assert next(batches) == 1
    assert made == [1]
    assert list(batches) == [2, 3]
    assert threads() == []


def ahead_on_the_cpu(device, plan, make):
    return made_ahead(make, plan)


def test_run_that_is_fed_ahead_is_the_plain_one(tmp_path, monkeypatch):
    plain = make_trainer(tmp_path / "plain", epochs=2)
    plain.fit()
    monkeypatch.setattr(trainer_module, "batches_on", ahead_on_the_cpu)
    fed = make_trainer(tmp_path / "fed", epochs=2)
    fed.fit()
    assert fed.folder.metrics.read_text() == plain.folder.metrics.read_text()
    assert same(values_of(fed.modules), values_of(plain.modules))


def test_trainer_that_stops_in_an_epoch_leaves_no_thread(tmp_path, monkeypatch):
    def shown(items, **options):
        """As at a terminal, where the bar does not close what it counts."""
        del options["shown"]
        return tqdm(items, **options | {"disable": False, "file": io.StringIO()})

    monkeypatch.setattr(trainer_module, "batches_on", ahead_on_the_cpu)
    monkeypatch.setattr(trainer_module, "progress_bar", shown)
    trainer = make_trainer(tmp_path, batch_size=2)

    def stop(trainer, batch):
        assert len(threads()) == 1
        raise KeyboardInterrupt

    trainer.procedure.before_step = stop
    with pytest.raises(KeyboardInterrupt) as caught:
        trainer.fit()
    # The traceback still holds the loop, which must not keep the thread.
    assert caught.tb is not None
    assert threads() == []


def test_batch_on_the_cpu_stays_the_tensors_it_is():
    tokens = torch.ones(2, 3, dtype=torch.long)
    assert without_waiting({"tokens": tokens}, CPU)["tokens"] is tokens


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_on_a_gpu_are_those_of_the_plan():
    corpus = load_corpus("grammar", num_sentences=75)
    plan = corpus.plan("train", batch_size=8)
    device = torch.device("cuda", torch.cuda.current_device())
    moved = list(batches_on(device, plan, corpus.train.batch))
    for batch, indices in zip(moved, plan, strict=True):
        here = corpus.train.batch(indices)
        assert batch["tokens"].device == device
        assert torch.equal(batch["tokens"].cpu(), here["tokens"])
        assert torch.equal(batch.indices, here.indices)
    assert threads() == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_copying_a_batch_to_a_gpu_does_not_wait():
    device = torch.device("cuda", torch.cuda.current_device())
    batch = {"tokens": torch.arange(12).view(3, 4)}
    without_waiting(batch, device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        moved = without_waiting(batch, device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(moved["tokens"].cpu(), batch["tokens"])
