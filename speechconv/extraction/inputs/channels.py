"""An input for each channel of a sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from speechconv.audio.error import AudioError
from speechconv.extraction.inputs.item import Input


def each_channel_of(items: Iterable[Input]) -> Iterator[Input]:
    """ID -> ID_ch0, ID_ch1, ... of every input whose channel is open, by the header of its sound.

    An input with a problem stays as it is, and so does one whose header cannot be read: it fails when it is.
    """
    before, channels = None, 0
    for item in items:
        if item.problem is not None or item.channel is not None:
            yield item
            continue
        # segments of one sound stand one after the other; one that lies outside it tells nothing of the next
        if not channels or before != (item.audio, item.is_command):
            before, channels = (item.audio, item.is_command), _channels(item)
        if not channels:
            yield item
        yield from (replace(item, id=f"{item.id}_ch{channel}", channel=channel) for channel in range(channels))


def _channels(item: Input) -> int:
    """Of the sound; 0 where it, or the segment of it, cannot be opened."""
    try:
        with item.open() as sound:
            return sound.channels
    except AudioError:
        return 0
