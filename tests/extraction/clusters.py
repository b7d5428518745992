"""Corpora for clusters: sounds of commands that tell in which worker they run, and may kill it."""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import soundfile

from speechconv.extraction.inputs import Input
from speechconv.extraction.recipe import Recipe
from speechconv.extraction.run import Run
from speechconv.extraction.summary import Summary
from speechconv.extraction.workforce import Workforce
from tests.extraction.runs import check_truth, errors, features, manifest, temporaries, without_seconds
from tests.sounds import noise

OPTIONS: dict[str, Any] = {
    "store": "npy",
    "shard": None,
    "overwrite": False,
    "resume_mixed": False,
    "shard_bytes": 1 << 20,
}


class Corpus:
    """Sounds of different lengths, every fifth bad.

    Args:
        folder: for the sounds and what is known about the workers.
        size: sounds.
        seconds: that each takes.
    """

    def __init__(self, folder: Path, size: int, seconds: float = 0.0) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._pids = folder / "pids"
        self.items = [self._item(number, seconds) for number in range(size)]

    def _item(self, number: int, seconds: float) -> Input:
        path = self.folder / f"{number}.wav"
        if number % 5 == 4:
            path.write_bytes(b"RIFF, it says" * (number % 2))
            return Input(f"bad/{number}", str(path))
        soundfile.write(path, noise(4000 + 100 * number, seed=number), 16000)
        wait = f"sleep {seconds}; " if seconds else ""
        return self._command(number, f"{wait}cat {shlex.quote(str(path))}")

    def _command(self, number: int, words: str) -> Input:
        return Input(f"good/{number}", f"echo $PPID >> {shlex.quote(str(self._pids))}; {words}", is_command=True)

    def kill_once(self, number: int) -> None:
        """A worker that takes this sound is killed, but only one."""
        marker = shlex.quote(str(self.folder / f"{number}.killed"))
        sound = shlex.quote(str(self.folder / f"{number}.wav"))
        self.items[number] = self._command(number, f"mkdir {marker} 2>&- && kill -9 $PPID; cat {sound}")

    def kill_always(self, number: int) -> None:
        """Every worker that takes this sound is killed."""
        self.items[number] = self._command(number, "kill -9 $PPID; sleep 1")

    def workers(self) -> list[int]:
        """Numbers of all processes that worked, the newest last."""
        if not self._pids.exists():
            return []
        return list(dict.fromkeys(int(line) for line in self._pids.read_text().split()))

    @contextlib.contextmanager
    def random_kills(self, count: int, seed: int, least: float, most: float) -> Iterator[list[int]]:
        """While inside, `count` workers of ours are killed at random moments, `least` to `most` seconds apart."""
        killed: list[int] = []
        ended = threading.Event()

        def kill() -> None:
            chance = random.Random(seed)
            while len(killed) < count and not ended.wait(0.02):
                alive = [pid for pid in self.workers() if pid not in killed and _alive(pid)]
                if not alive or ended.wait(chance.uniform(least, most)):
                    continue
                victim = chance.choice(alive)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    killed.append(victim)

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            yield killed
        finally:
            ended.set()
            thread.join()


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z" and pid != os.getpid()
    except FileNotFoundError:
        return False


def run(items: list[Input], out: Path, engine: Any = "local", jobs: int = 1, *, pipeline: str = "logmel") -> Summary:
    """Features of `items` into `out`."""
    return Run(out, items, Recipe(Path(), pipeline), OPTIONS, [], "off")(Workforce(jobs, None, engine))


def check_same(corpus: Corpus, out: Path, killers: Sequence[str] = ()) -> None:
    """Every good sound once with the bytes of a serial run, every bad one once with its words, no more.

    The serial run comes last, in this process: by then no sound kills but the `killers`, which it leaves out.
    """
    serial = out.with_name(f"{out.name}-serial")
    run([item for item in corpus.items if item.id not in killers], serial)
    assert len(manifest(serial)) == len([item for item in corpus.items if item.is_command]) - len(killers)
    check_truth(out)
    assert without_seconds(manifest(out)) == without_seconds(manifest(serial))
    assert features(out) == features(serial)
    assert [line for line in errors(out) if line["stage"] != "worker"] == errors(serial)
    lost = [line for line in errors(out) if line["stage"] == "worker"]
    assert [line["id"] for line in lost] == list(killers)
    assert {line["error"] for line in lost} <= {"ChildProcessError"}
    assert temporaries(out) == []
