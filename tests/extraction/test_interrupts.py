"""Ctrl-C and SIGTERM: what is in hand gets done, what is packed stays whole, and the next run does the rest."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import soundfile
from torch import Tensor

import speechconv as sc
from speechconv.extraction import Interrupted
from speechconv.extraction.ledger import Ledger
from speechconv.stores.packer import Packer
from tests.extraction.runs import check_truth, manifest, run_json, temporaries
from tests.sounds import noise


class Bell(sc.Layer):
    """Sends a signal to its own process when it has seen enough sounds."""

    def __init__(self, number: int, sounds: int) -> None:
        super().__init__()
        self._number, self._left = number, sounds

    def valid(self, x: Tensor) -> Tensor:
        if x.shape[1]:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), self._number)
        return x


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """More sounds than go through a worker's hands at once."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(80):
        soundfile.write(folder / f"{number:02d}.wav", noise(800), 16000)
    return folder


def belled(number: int, sounds: int = 40) -> sc.Pipeline:
    return sc.Pipeline([sc.ConvSTFT(64, hop_length=32, output="power"), Bell(number, sounds)], sample_rate=16000)


def check_gone_on(corpus: Path, out: Path, done: int, **options: Any) -> None:
    summary = sc.extract(corpus, belled(signal.SIGINT, 999), out=out, **options)
    assert (summary.files_ok, summary.files_reused, summary.status) == (80, done, "finished")
    assert [line["id"] for line in manifest(out)] == [f"{number:02d}" for number in range(80)]
    assert sc.check(out).good
    assert [path for path in out.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("store", ["npy", "kaldi", "parquet"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_finishes_what_is_in_hand(
    corpus: Path, tmp_path: Path, store: str, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="left undone: the same command again goes on") as raised:
        sc.extract(corpus, belled(number), out=out, store=store)
    summary = raised.value.summary
    assert 40 <= summary.files_ok < 80
    assert (summary.exit_status, summary.files_left) == (130, 80 - summary.files_ok)
    assert f"{number.name}: finishing the files in hand; once more to leave at once." in capfd.readouterr().err
    assert run_json(out)["status"] == "interrupted"
    assert len(manifest(out)) == summary.files_ok
    assert temporaries(out) == []
    assert [problem.kind for problem in sc.check(out).problems] == ["unfinished"]
    assert signal.getsignal(number) is before
    check_gone_on(corpus, out, summary.files_ok, store=store)


@pytest.mark.parametrize("moment", ["takes", "packs"])
def test_a_second_signal_at_any_moment_loses_no_feature(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Twice at once: while a line is written, or while a shard is handed over."""
    out = tmp_path / "out"
    options: dict[str, Any] = {"store": "kaldi", "shard_bytes": 10 * 26 * 33 * 4}
    sc.extract(sorted(corpus.iterdir())[70:], belled(signal.SIGINT, 999), out=out, **options)
    owner, name = {"takes": (Ledger, "take"), "packs": (Packer, "_land")}[moment]
    method = getattr(owner, name)
    calls: list[object] = []

    def interrupted(self: Any, what: Any) -> Any:
        calls.append(what)
        if len(calls) == 3:
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
        return method(self, what)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        with pytest.raises(Interrupted) as raised:
            sc.extract(corpus, belled(signal.SIGINT, 999), out=out, **options)
    summary = raised.value.summary
    assert (summary.files_ok == 12) if moment == "takes" else (summary.files_ok < 80)
    ids = [line["id"] for line in manifest(out)]
    assert ids == sorted(set(ids))
    assert len((out / "feats.scp").read_text().splitlines()) == len(ids)
    check_gone_on(corpus, out, summary.files_ok, **options)


def test_a_run_in_a_thread_of_a_program_leaves_its_signals_alone(corpus: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(sc.extract(corpus, out=tmp_path / "out")))
    thread.start()
    thread.join()
    assert found[0].files_ok == 80
    assert signal.getsignal(signal.SIGINT) is before
    check_truth(tmp_path / "out")
