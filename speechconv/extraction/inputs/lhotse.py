"""lhotse's manifests: recordings, and cuts out of them.

    recording   {"id", "sources": [{"type": "file" | "command", "channels", "source"}], ...}
    MonoCut     {"id", "start", "duration", "channel": 1, "recording", "type": "MonoCut"}
    MultiCut    the same with a list of channels: all of the sound, or one of it

A recording or a MultiCut with all channels is read as the run says (`channel`), a MonoCut has its own. The transform
"Resample" is left to the run, which resamples anyway; other transforms (speed, volume) and mixes are problems, since
the sound they describe is in no file. A relative path counts from the working directory, as in lhotse, else from the
folder of the manifest.
"""

from __future__ import annotations

from typing import Any

from speechconv.extraction.inputs.item import Input, listed
from speechconv.extraction.inputs.json_lines import number, parse
from speechconv.extraction.inputs.lines import Reading, at_home, inputs_of

CUTS = ("MonoCut", "MultiCut", "MixedCut", "PaddingCut")


def is_lhotse(entry: dict[str, Any]) -> bool:
    """Whether a line of JSON is one of lhotse's."""
    return entry.get("type") in CUTS or "sources" in entry


def read_lhotse(path: str, first: dict[str, Any], allow_commands: bool) -> Reading:
    """The sounds of a manifest whose first entry is `first`."""
    kind = "lhotse recordings" if "sources" in first else "lhotse cuts"
    return Reading(kind, inputs_of(path, lambda line: _entry(parse(line), path, allow_commands)))


def _entry(entry: dict[str, Any], path: str, allow_commands: bool) -> Input:
    if "sources" in entry:
        return _sound(entry.get("id"), entry, None, path, allow_commands)
    kind = entry.get("type")
    if kind not in ("MonoCut", "MultiCut"):
        raise ValueError(f"{kind} {entry.get('id')!r} is in no file; save its audio first (cut.save_audio).")
    recording = entry.get("recording")
    if not isinstance(recording, dict) or "sources" not in recording:
        raise ValueError(f"the cut {entry.get('id')!r} has no recording with sources.")
    start, duration = number(entry, "start"), number(entry, "duration")
    wanted = entry.get("channel")
    channels = wanted if isinstance(wanted, list) else [wanted]
    return _sound(entry.get("id"), recording, channels, path, allow_commands, start or 0.0, duration)


def _sound(
    id: object,
    recording: dict[str, Any],
    wanted: list[Any] | None,
    path: str,
    allow_commands: bool,
    start: float = 0.0,
    duration: float | None = None,
) -> Input:
    """The channels `wanted` of a recording; None for all."""
    _check_transforms(recording)
    source, channel = _source(recording, wanted)
    kind, place = source.get("type"), source.get("source")
    if kind not in ("file", "command") or not isinstance(place, str):
        raise ValueError(f"the recording's source is of type {kind!r}; expected 'file' or 'command'.")
    return listed(
        id,
        place if kind == "command" else at_home(place, path),
        start=start,
        duration=duration,
        channel=channel,
        is_command=kind == "command",
        allow_commands=allow_commands,
    )


def _source(recording: dict[str, Any], wanted: list[Any] | None) -> tuple[dict[str, Any], int | None]:
    """The one source that holds `wanted`, and its channel in there; None for all that it has."""
    sources = recording["sources"]
    if not isinstance(sources, list) or not all(
        isinstance(source, dict) and isinstance(source.get("channels"), list) for source in sources
    ):
        raise ValueError("expected a list of sources, each with a list of channels.")
    if wanted is None:
        if len(sources) != 1:
            raise ValueError(f"the recording has {len(sources)} sources; expected one. Cuts may name a channel of one.")
        return sources[0], None
    for source in sources:
        channels = source["channels"]
        if len(wanted) == 1 and wanted[0] in channels:
            return source, channels.index(wanted[0])
        if sorted(map(str, wanted)) == sorted(map(str, channels)):
            return source, None
    have = [channel for source in sources for channel in source["channels"]]
    raise ValueError(f"the cut wants the channels {wanted} of {have}; expected one of them, or all of one source.")


def _check_transforms(recording: dict[str, Any]) -> None:
    transforms = recording.get("transforms") or []
    if not isinstance(transforms, list):
        raise ValueError(f"expected a list of transforms, got {type(transforms).__name__}.")
    names = [step.get("name") if isinstance(step, dict) else step for step in transforms]
    others = [str(name) for name in names if name != "Resample"]
    if others:
        raise ValueError(f"the recording has transforms ({', '.join(others)}); save its audio first (cut.save_audio).")
