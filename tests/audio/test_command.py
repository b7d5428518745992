"""Sound out of shell commands: the samples of the file they read, their words when they fail, no process left."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speechconv.audio.command import AudioCommand
from speechconv.audio.error import AudioError
from speechconv.audio.files import AudioFile
from tests.sounds import noise, s16, wav_bytes


def read(sound: AudioFile | AudioCommand) -> tuple[int, int | None, NDArray[np.float32]]:
    with sound:
        blocks = list(sound.blocks())
        assert {len(block) for block in blocks[:-1]} <= {65_536 // sound.channels}
        return sound.sample_rate, sound.num_samples, np.concatenate(blocks)


def cat(path: Path) -> str:
    return f"cat {shlex.quote(str(path))}"


def failure(command: str, start: float = 0.0, duration: float | None = None) -> AudioError:
    with pytest.raises(AudioError) as raised:
        read(AudioCommand(command, start, duration))
    return raised.value


def ends_soon(pid: int) -> bool:
    """Whether a process is gone, or waits to be reaped, within five seconds."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(("start", "duration"), [(0.0, None), (1.5, None), (0.5, 4.25), (6.0, 0.6)])
@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "ulaw"])
def test_a_command_gives_what_its_file_gives(tmp_path: Path, kind: str, start: float, duration: float | None) -> None:
    path = tmp_path / f"a b.{'wav' if kind == 'ulaw' else kind}"
    soundfile.write(path, noise(100_000, 2), 16000, subtype="ULAW" if kind == "ulaw" else None)
    rate, length, samples = read(AudioCommand(cat(path), start, duration))
    expected_rate, expected_length, expected = read(AudioFile(path, start, duration))
    assert (rate, length) == (expected_rate, expected_length)
    np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_whose_header_does_not_know_the_length_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(wav_bytes(s16(noise(70_000)), data_size=size, riff_size=size))
    rate, length, samples = read(AudioCommand(cat(path)))
    assert (rate, length) == (16000, None)
    np.testing.assert_array_equal(samples, read(AudioFile(path))[2])
    assert "begins behind the end of the sound at 4.375 s" in str(failure(cat(path), 5.0))
    assert "ends more than 0.5 s behind the end of the sound at 4.375 s" in str(failure(cat(path), 1.0, 3.9))


def test_a_failing_command_is_told_by_its_status_and_last_words(tmp_path: Path) -> None:
    error = failure("echo first >&2; echo 'no such recording' >&2; echo >&2; exit 3")
    assert (str(error), error.stage) == ("the command failed with exit status 3: no such recording", "open")
    assert str(failure("exit 4")) == "the command failed with exit status 4: it said nothing on stderr."
    assert "failed with exit status 127" in str(failure("no-such-program-as-this"))
    assert str(failure("kill -9 $$")) == "the command was ended by signal 9: it said nothing on stderr."


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_command_that_fails_behind_its_last_sample_fails(tmp_path: Path, kind: str) -> None:
    soundfile.write(tmp_path / f"x.{kind}", noise(100_000), 16000)
    error = failure(f"{cat(tmp_path / f'x.{kind}')}; echo disk error >&2; exit 2")
    assert str(error) == "the command failed with exit status 2: disk error"


def test_a_command_that_is_cut_off_is_told_by_its_status_where_it_has_one(tmp_path: Path) -> None:
    (tmp_path / "cut.wav").write_bytes(wav_bytes(s16(noise(100_000)))[:150_000])
    assert str(failure(f"{cat(tmp_path / 'cut.wav')}; exit 5")).startswith("the command failed with exit status 5")
    assert "declares 100000 samples" in str(failure(cat(tmp_path / "cut.wav")))
    assert len(read(AudioCommand(cat(tmp_path / "cut.wav"), 0.5, 1.0))[2]) == 16_000


def test_no_sound_is_an_error_in_words() -> None:
    assert str(failure("true")) == "wrote nothing to its stdout; expected a sound."
    assert "is not a sound file that can be read" in str(failure("echo hello"))
    assert "ends inside its header" in str(failure("printf 'RIFF\\0\\0\\0\\0WAVE'"))
    assert "cannot be started" in str(failure("echo \0"))
    assert "cannot be started" in str(failure("echo \ud800"))


def test_much_talk_on_stderr_does_not_block(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav_bytes(s16(noise(100))))
    talk = f"{shlex.quote(sys.executable)} -c \"import sys; sys.stderr.write('talk ' * 100_000)\""
    assert len(read(AudioCommand(f"{talk}; {cat(tmp_path / 'x.wav')}"))[2]) == 100


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks at processes and descriptors in /proc")
def test_everything_that_a_command_started_ends_with_the_context(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(wav_bytes(s16(noise(100_000))))
    before = len(os.listdir("/proc/self/fd"))
    numbers = tmp_path / "pids"
    command = f"sleep 300 & echo $! $$ > {shlex.quote(str(numbers))}; {cat(tmp_path / 'x.wav')}; sleep 300"
    with AudioCommand(command, 0.5, 0.25) as sound:
        assert sum(map(len, sound.blocks())) == 4000
    for pid in map(int, numbers.read_text().split()):
        assert ends_soon(pid)
    for bad in ("echo no sound", "exit 3"):
        with pytest.raises(AudioError):
            AudioCommand(bad)
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(sound._process.pid, os.WNOHANG)


def test_a_command_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = f"sleep 100 & echo $$ $! > {shlex.quote(str(pids))}; wait"
    code = "import sys; from speechconv.audio.command import AudioCommand; AudioCommand(sys.argv[1])"
    with subprocess.Popen([sys.executable, "-c", code, command]) as process:
        while not (pids.exists() and pids.read_text()):
            time.sleep(0.02)
        process.kill()
    assert all(ends_soon(int(pid)) for pid in pids.read_text().split())


def test_a_command_that_writes_for_ever_can_be_left(tmp_path: Path) -> None:
    (tmp_path / "head").write_bytes(wav_bytes(b"", data_size=0xFFFFFFFF, riff_size=0xFFFFFFFF))
    with AudioCommand(f"{cat(tmp_path / 'head')} /dev/zero", 1.0, 2.0) as sound:
        assert sum(map(len, sound.blocks())) == 32_000
