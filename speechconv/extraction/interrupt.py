"""Ctrl-C, and SIGTERM, as a wish: the first one finishes what is in hand, the second one does not wait."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from speechconv.extraction.task import Stop

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """A stop that the first signal requests. Only the main thread hears signals; elsewhere nothing requests it."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def hear(number: int, frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True
        _say(f"{signal.Signals(number).name}: finishing the files in hand; once more to leave at once.")

    before = {number: signal.signal(number, hear) for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(words: str) -> None:
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(f"\nspeechconv extract: {words}\n")
