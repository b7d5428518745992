"""extract over executors of others: threads, processes, Dask's cluster; what they do to workers does not show."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import distributed
import pytest
import torch

import speechconv as sc
from speechconv.extraction.in_hand import InHand
from speechconv.extraction.inputs import Input
from speechconv.extraction.on_executor import OnExecutor
from speechconv.extraction.order import Order, facts_of, pack_tasks, placed, work_through
from speechconv.extraction.pipelines import one_torch_thread
from speechconv.extraction.recipe import Recipe
from speechconv.extraction.task import Stop, Task
from speechconv.stores.feature_file import FeatureFile
from speechconv.stores.manifest import ManifestLine
from tests.extraction.clusters import Corpus, check_same, run
from tests.extraction.runs import features, manifest, run_json, temporaries
from tests.slow import only_chaos


def processes() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))


@pytest.fixture(scope="module")
def dask() -> Iterator[distributed.Client]:
    """A cluster of two processes."""
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_threads_give_the_bytes_of_a_serial_run_and_leave_torch_as_it_was(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, 60)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(3) as executor:
            summary = run(corpus.items, tmp_path / "out", executor)
            counts = [executor.submit(torch.get_num_threads) for _ in range(8)]
            assert {count.result() for count in counts} == {2} == {torch.get_num_threads()}
    finally:
        torch.set_num_threads(before)
    assert summary.exit_status == 3
    check_same(corpus, tmp_path / "out")


def test_one_torch_thread_holds_in_each_thread_and_new_threads_begin_with_the_count_of_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    inside, first_is_out = threading.Barrier(2), threading.Event()
    counts: dict[str, int] = {}

    def later() -> None:
        with one_torch_thread():
            with one_torch_thread():
                inside.wait()
            first_is_out.wait()
            counts["inside"] = torch.get_num_threads()
        counts["behind"] = torch.get_num_threads()

    def new() -> None:
        counts["new"] = torch.get_num_threads()

    try:
        thread = threading.Thread(target=later)
        with one_torch_thread():
            thread.start()
            inside.wait()
        counts["first"] = torch.get_num_threads()
        first_is_out.set()
        thread.join()
        last = threading.Thread(target=new)
        last.start()
        last.join()
    finally:
        torch.set_num_threads(before)
    assert counts == {"first": 2, "inside": 1, "behind": 2, "new": 2}


@pytest.mark.usefixtures("forked_workers")
def test_a_process_pool_that_breaks_ends_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    corpus, out = Corpus(tmp_path, 100), tmp_path / "out"
    corpus.kill_once(60)
    with processes() as executor, pytest.raises(RuntimeError, match=r"the executor broke .* goes on from here"):
        run(corpus.items, out, executor)
    assert run_json(out)["status"] == "failed"
    done = manifest(out)
    assert 0 < len(done) < 80
    assert temporaries(out) == []
    with processes() as executor:
        summary = run(corpus.items, out, executor)
    assert summary.files_reused == len(done)
    assert len(corpus.workers()) >= 3
    check_same(corpus, out)


def test_a_stop_lets_calls_finish_what_is_in_hand_and_begin_nothing(dask: distributed.Client, tmp_path: Path) -> None:
    corpus, out = Corpus(tmp_path, 40, seconds=0.02), tmp_path / "out"
    stop = Stop()
    results = OnExecutor(Recipe(folder=out), dask.get_executor()).run(tasks(corpus.items), stop)
    lines = [next(results)]
    stop.requested = True
    begun = len(features(out)) + 2  # each worker may be about to begin one
    lines += results
    done = [line for _, line in lines if isinstance(line, ManifestLine)]
    assert 0 < len(done) <= begun + 2
    assert sorted(features(out)) == sorted(line.path for line in done)
    assert temporaries(out) == []
    check_resumed(corpus, out)


@only_chaos
def test_dask_loses_nothing_when_workers_are_killed_by_inputs_and_at_random(
    dask: distributed.Client, tmp_path: Path
) -> None:
    corpus, out = Corpus(tmp_path, 100), tmp_path / "out"
    corpus.kill_once(10)
    corpus.kill_always(33)
    with corpus.random_kills(1, seed=1, least=0.05, most=0.2) as killed:
        summary = run(corpus.items, out, dask.get_executor())
    assert summary.exit_status == 3
    assert len(killed) <= 1  # the moment may come after the end
    assert len(corpus.workers()) >= 4  # two at first, one for each input that kills; a later one may find no work
    check_same(corpus, out, ["good/33"])


def test_what_dask_gives_up_is_tried_again_alone(
    dask: distributed.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, out = Corpus(tmp_path, 24), tmp_path / "out"
    corpus.kill_once(3)
    corpus.kill_always(6)
    assert dask.cluster is not None
    monkeypatch.setattr(dask.cluster.scheduler, "allowed_failures", 0)
    run(corpus.items, out, dask.get_executor())
    check_same(corpus, out, ["good/6"])


def check_resumed(corpus: Corpus, out: Path) -> None:
    """The folder of a run that ended early is one that a run goes on in."""
    run(corpus.items, out)
    check_same(corpus, out)


def test_a_full_disk_in_a_worker_ends_the_run_with_exit_status_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, out = Corpus(tmp_path, 40), tmp_path / "out"
    commit = FeatureFile.commit

    def fail(file: FeatureFile) -> str:
        if file.path.name == "30.npy":
            raise OSError(errno.ENOSPC, "No space left on device")
        return commit(file)

    with monkeypatch.context() as patch, ThreadPoolExecutor(2) as executor:
        patch.setattr(FeatureFile, "commit", fail)
        assert run(corpus.items, out, executor).exit_status == 4
    assert temporaries(out) == []
    check_resumed(corpus, out)


def test_a_pipeline_with_a_layer_of_a_notebook_reaches_dask(dask: distributed.Client, tmp_path: Path) -> None:
    class Mine(sc.Log):
        """Not to be found in any module."""

    stages = [sc.ConvSTFT(output="power"), Mine(floor=1e-6)]
    sound = Corpus(tmp_path, 1).items
    engine = OnExecutor(Recipe(tmp_path / "out", sc.Pipeline(stages, sample_rate=16000)), dask.get_executor())
    ((_, line),) = engine.run(tasks(sound), Stop())
    assert isinstance(line, ManifestLine)
    stages[1] = sc.Log(floor=1e-6)
    engine = OnExecutor(Recipe(tmp_path / "own", sc.Pipeline(stages, sample_rate=16000)), AtOnce())
    ((_, own),) = engine.run(tasks(sound), Stop())
    assert isinstance(own, ManifestLine)
    assert line.sha256 == own.sha256


def test_what_no_worker_can_do_ends_the_run_in_words(tmp_path: Path) -> None:
    sound = Corpus(tmp_path, 1).items
    with pytest.raises(ValueError, match="noise"):
        run(sound, tmp_path / "out", AtOnce(), pipeline="wav2vec2-base")
    with pytest.raises(RuntimeError, match=r"does not see .*out as it is here; all machines must have it"):
        run(sound, tmp_path / "out", AtOnce(before=lambda order: order.withdraw()))
    with pytest.raises(RuntimeError, match="is not what the run wrote"):
        run(sound, tmp_path / "out", AtOnce(before=lambda order: order.path.write_bytes(b"cos\nsystem\n")))
    with pytest.raises(RuntimeError, match=r"executor broke .CancelledError.; the same call again"):
        run(sound, tmp_path / "out", AtOnce(cancels=True))
    with ThreadPoolExecutor(1) as executor:
        pass
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        run(sound, tmp_path / "out", executor)
    assert temporaries(tmp_path / "out") == []


def test_workers_of_another_device_are_refused(tmp_path: Path) -> None:
    recipe = Recipe(folder=tmp_path)
    packed = pickle.dumps(recipe)
    facts = facts_of(packed)
    other = replace(facts, ingredients={**facts.ingredients, "device": "cuda"})
    with (
        placed(recipe, packed, other) as order,
        pytest.raises(RuntimeError, match=r"differ in .*device: 'cuda' and 'cpu'"),
    ):
        work_through(order, pack_tasks([]))


@pytest.mark.usefixtures("forked_workers")
def test_relative_names_hold_in_workers_of_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Corpus(tmp_path, 1)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with processes() as executor:
        executor.submit(os.chdir, "elsewhere").result()
        run([Input("x", "0.wav")], Path("out"), executor)
    (line,) = manifest(tmp_path / "out")
    assert (line["audio"], line["path"]) == ("0.wav", "x.npy")
    assert list(features(tmp_path / "out")) == ["x.npy"]


def test_a_repeated_call_tells_the_task_that_its_process_died_of(tmp_path: Path) -> None:
    path = tmp_path / "hand"
    for begun in ([7, 8], [7, 9, 8], [7]):
        in_hand = InHand(path)
        for index in begun:
            in_hand.begin(index)
    with InHand(path) as in_hand:
        assert in_hand.deaths == {8: 2, 7: 1}
    assert not path.exists()


def tasks(items: list[Input]) -> list[Task]:
    return [Task(place, item) for place, item in enumerate(items)]


class AtOnce(Executor):
    """Runs each call when it is submitted.

    Args:
        before: what happens to the order before a call.
        cancels: calls are cancelled, but for the first.
    """

    def __init__(self, before: Callable[[Order], object] = lambda order: None, *, cancels: bool = False) -> None:
        self._before = before
        self._cancels = cancels

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        call: Future[Any] = Future()
        if fn is work_through:
            self._before(args[0])
            if self._cancels:
                call.cancel()
                call.set_running_or_notify_cancel()
                return call
        try:
            call.set_result(fn(*args, **kwargs))
        except Exception as error:
            call.set_exception(error)
        return call
