"""extract on Ray: what happens to actors does not show, and a cluster of the user's own stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from speechconv.extraction.on_ray import OnRay
from speechconv.extraction.recipe import Recipe
from speechconv.extraction.task import Stop, Task
from speechconv.stores.manifest import ManifestLine
from tests.extraction.clusters import Corpus, check_same, run
from tests.extraction.runs import features, temporaries
from tests.slow import only_chaos


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster that the program has before it calls us."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=200_000_000, log_to_driver=False)
    yield
    ray.shutdown()


@only_chaos
def test_ray_loses_nothing_when_workers_are_killed_by_inputs_and_at_random_and_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    corpus, out = Corpus(tmp_path, 60), tmp_path / "out"
    corpus.kill_once(5)
    corpus.kill_always(33)
    with corpus.random_kills(1, seed=1, least=0.05, most=0.2) as killed:
        summary = run(corpus.items, out, "ray", jobs=2)
    assert not ray.is_initialized()
    assert summary.exit_status == 3
    assert len(killed) == 1
    assert len(corpus.workers()) >= 5
    check_same(corpus, out, ["good/33"])
    said = capfd.readouterr()
    assert said.out == ""
    assert [line for line in said.err.splitlines() if "Set ray log level" not in line] == []


@pytest.mark.usefixtures("cluster")
def test_a_stop_lets_actors_finish_what_is_in_hand_and_begin_nothing(tmp_path: Path) -> None:
    corpus, out = Corpus(tmp_path, 80, seconds=0.03), tmp_path / "out"
    stop = Stop()
    results = OnRay(Recipe(folder=out), 2).run((Task(place, item) for place, item in enumerate(corpus.items)), stop)
    lines = [next(results)]
    stop.requested = True
    lines += results
    done = [line for _, line in lines if isinstance(line, ManifestLine)]
    assert 0 < len(done) < 50
    assert sorted(features(out)) == sorted(line.path for line in done)
    assert temporaries(out) == []
    assert ray.is_initialized()
    run(corpus.items, out)
    check_same(corpus, out)


def test_without_ray_the_error_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['ray'] = None\n"
        "from speechconv.extraction.on_ray import OnRay\n"
        "from speechconv.extraction.recipe import Recipe\n"
        "from pathlib import Path\n"
        "OnRay(Recipe(Path('out')), 2)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].startswith("ImportError: engine='ray' needs Ray Data (")
    assert done.stderr.splitlines()[-1].endswith("; pip install 'speechconv[ray]'")


def test_a_numbered_gpu_is_for_ray_to_choose(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'cuda:1'.*Ray chooses each actor's GPU; use 'cuda'"):
        OnRay(Recipe(tmp_path, device="cuda:1"), 2)
