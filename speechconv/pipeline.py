"""Pipeline: stages in the order of the signal, by preset, TOML or Python; saved with its weights as one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor, nn

from speechconv import __version__
from speechconv.checks import check_count, check_known
from speechconv.combine import Sequential, named_parts
from speechconv.fuse import fused_parts
from speechconv.geometry import Counts
from speechconv.layer import placement
from speechconv.layers.mel import Mel
from speechconv.layout import WAVEFORM, check_input, check_lengths
from speechconv.pipeline_source import source_file
from speechconv.pipeline_toml import describe_stages, named_by_kind, read_toml, stage_names, write_toml
from speechconv.presets import preset_names, preset_text, preset_weights
from speechconv.session import Session, SessionPool
from speechconv.stages import OWNERS, Table, build_stages, check_tables
from speechconv.utterance import freeze_on, layers_of_policy

CALIBRATION_CHUNK = 1 << 20


class Pipeline(Sequential):
    """From waveform to frame features.

    Args:
        stages: layers, the first of which takes a waveform; a mapping also names them.
        sample_rate: of the waveform it expects, Hz.

    Attributes:
        sample_rate: Hz.
        hop_length: samples between two frames.
        output_dim: channels of a frame.
        geometry: receptive field, stride, pads and lookahead, in samples.
        fresh_random: True while the weights are those that were drawn at random when a preset or TOML was built; any
            training or loading makes it False. A pipeline built in Python is its maker's to judge.

    Shape:
        (batch, samples) -> (batch, output_lengths(samples), output_dim)

    Raises:
        ValueError: stages that do not fit each other, or made for another sample rate.

    Example:
        >>> pipe = Pipeline.from_preset("logmel")
        >>> pipe(torch.zeros(1, 16000)).shape, pipe.hop_length, pipe.geometry.lookahead
        (torch.Size([1, 101, 80]), 160, 199)
    """

    def __init__(self, stages: Sequence[nn.Module] | Mapping[str, nn.Module], *, sample_rate: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate = check_count("sample_rate", sample_rate)
        self._drawn: tuple[float, ...] | None = None
        named = dict(stages) if isinstance(stages, Mapping) else named_by_kind(stages)
        if not named:
            raise ValueError("a pipeline needs at least one stage.")
        for name in named:
            if not isinstance(name, str) or not name or "." in name or hasattr(self, name):
                raise ValueError(f"{name!r} cannot name a stage; take a word without dots that Pipeline does not use.")
            if isinstance(named[name], Mapping):
                raise TypeError(
                    f"stage {name!r} is a table, not a layer; Pipeline.from_tables builds layers of tables."
                )
        for name, layer in named.items():
            _check_sample_rate(layer, name, sample_rate)
        self._chain(named)
        _check_n_fft(self)
        if self.in_channels != WAVEFORM:
            first = type(self[0]).__name__
            raise ValueError(f"the first stage must take a waveform, as ConvSTFT does; {first} takes frames.")

    @property
    def fresh_random(self) -> bool:
        return self._drawn is not None and self._drawn == self._fingerprint()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Pipeline:
        """torch's one door for `.to`, `.bfloat16`, `.cuda`: random weights of another type are as random."""
        fresh = self.fresh_random
        super()._apply(fn, recurse)
        self._drawn = self._fingerprint() if fresh else None
        return self

    def _fingerprint(self) -> tuple[float, ...]:
        """Changes with the weights, but not with their device."""
        return tuple(float(p.detach().double().sum()) for p in self.parameters())

    @property
    def hop_length(self) -> int:
        return self.geometry.stride

    @property
    def output_dim(self) -> int:
        return self.channels_after(WAVEFORM)

    @overload
    def output_lengths(self, num_samples: int) -> int: ...
    @overload
    def output_lengths(self, num_samples: Counts) -> Counts: ...
    def output_lengths(self, num_samples: Any) -> Any:
        """Frames that `num_samples` samples give: an int for an int, an int64 tensor for a tensor."""
        return self.num_frames(num_samples)

    def stream(self, *, max_blocks: int | None = None) -> Session:
        """A live stream of this pipeline; see `Session`."""
        return Session(self, max_blocks=max_blocks)

    def stream_pool(self, *, max_sessions: int = 32, max_blocks: int | None = None) -> SessionPool:
        """Many live streams of this pipeline in one batch; see `SessionPool`."""
        return SessionPool(self, max_sessions=max_sessions, max_blocks=max_blocks)

    def fuse(self) -> Pipeline:
        """An equal pipeline for inference, faster live: weight norm computed once, batch norm folded away; see `fused`.

        Stages keep their names; a batch norm that is a stage itself, behind a convolution, is gone.

        Raises:
            ValueError: in training mode.
        """
        if self.training:
            raise ValueError("fuse() is for inference: call .eval() first.")
        twin = Pipeline(fused_parts(named_parts(self)), sample_rate=self.sample_rate)
        twin.training = False
        twin._drawn = twin._fingerprint() if self.fresh_random else None
        return twin

    def calibrate(self, wav: Tensor, lengths: Tensor | None = None) -> Pipeline:
        """Freeze every statistic that is otherwise taken over the utterance, so that the pipeline can stream.

        Args:
            wav: (batch, samples) audio like that to come; all rows together give the statistics.
            lengths: (batch,) int64 valid samples of each row; None: all.

        Returns:
            This pipeline.

        Raises:
            ValueError: audio too short for one frame, or with NaN in it; lengths that do not fit it.

        >>> from speechconv import FeatureEncoder
        >>> pipe = Pipeline([FeatureEncoder(channels=8)], sample_rate=16000).calibrate(torch.randn(4, 16000))
        >>> pipe[0].group_norm, len(pipe.stream().push(torch.randn(16000)))
        ('frozen', 49)
        """
        check_input(wav, WAVEFORM, type(self).__name__)
        if lengths is not None:
            check_lengths(lengths, wav)
        samples = [wav.shape[1]] * len(wav) if lengths is None else lengths.tolist()
        signals = [row[:length] for row, length in zip(wav, samples, strict=True)]
        for number, signal in enumerate(signals):
            if not bool(signal.isfinite().all()):
                raise ValueError(f"row {number} of the audio holds NaN or infinite samples; leave it out, or mend it.")
        if not any(self.output_lengths(count) for count in samples):
            raise ValueError(f"calibrate needs audio of at least {self.geometry.emitted_at(0)} samples, got {samples}.")
        read = [partial(signal.split, CALIBRATION_CHUNK) for signal in signals]
        freeze_on(self, layers_of_policy(self, "utterance", "frozen"), read, dtype=wav.dtype)
        return self

    @classmethod
    def from_preset(cls, name: str, /, **overrides: Any) -> Pipeline:
        """A preset, in eval mode; `speechconv presets` lists them.

        Args:
            name: such as "logmel".
            overrides: other values for its keys: sample_rate=8000, mel={"n_mels": 40}, or **{"mel.n_mels": 40}.

        Raises:
            ValueError: an unknown preset, stage or key; names the accepted ones and the nearest match. Overrides of a
            preset with trained weights.

        >>> Pipeline.from_preset("logmel", mel={"n_mels": 40}).output_dim
        40
        """
        check_known([name], preset_names(), "preset", "speechconv")
        weights = preset_weights(name)
        if weights is None:
            return parse_pipeline(preset_text(name), f"preset {name!r}", overrides)
        if overrides:
            raise ValueError(f"preset {name!r} is trained, its values are fixed; drop {', '.join(overrides)}.")
        return _trained(name, weights)

    @classmethod
    def from_toml(cls, text: str, /, **overrides: Any) -> Pipeline:
        """A pipeline from TOML text, in eval mode, its weights fresh; overrides and errors as `from_preset`."""
        return parse_pipeline(text, "the TOML text", overrides)

    @classmethod
    def from_tables(cls, tables: Sequence[Mapping[str, Any]], /, *, sample_rate: int) -> Pipeline:
        """A pipeline from the tables of its stages, as the `scale_` functions give them; in eval mode, weights fresh.

        Args:
            tables: each as [[stages]] in a preset: the key "stage", the stage's arguments, a "name" if it has one.
            sample_rate: of the waveform it expects, Hz.

        Raises:
            ValueError: no tables, an unknown stage or key, or stages that do not fit each other.

        >>> from speechconv import scale_width
        >>> small = scale_width(Pipeline.from_preset("separable-5").to_tables(), 0.5, keep_output=True)
        >>> pipe = Pipeline.from_tables(small, sample_rate=16000)
        >>> pipe.get_submodule("stem").out_channels, pipe.output_dim
        (208, 256)
        """
        where = "the tables"
        return _build({"sample_rate": sample_rate, "stages": check_tables(tables, where)}, where)

    def to_tables(self) -> list[Table]:
        """The table of each stage, as `from_tables` and the `scale_` functions take them.

        Raises:
            TypeError: a stage of one's own that has no stage name.
        """
        return describe_stages(named_parts(self))

    def to_toml(self) -> str:
        """Everything but the weights, as `from_toml` reads it.

        Raises:
            TypeError: a stage of one's own that has no stage name.
        """
        return write_toml(self.sample_rate, named_parts(self))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and TOML as one safetensors file (no pickle), whole or not at all."""
        from safetensors.torch import save

        weights = {key: tensor.clone().contiguous() for key, tensor in self.state_dict().items()}
        own = placement(self)
        dtype = str(own[0] if own else torch.get_default_dtype()).removeprefix("torch.")
        metadata = {"speechconv": __version__, "pipeline": self.to_toml(), "dtype": dtype}
        data = save(weights, metadata=metadata | ({"fresh_random": "true"} if self.fresh_random else {}))
        path = Path(path)
        if not path.parent.is_dir():
            raise FileNotFoundError(f"no folder {path.parent} to save {path.name} in; make it first.")
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Pipeline:
        """A saved pipeline, in eval mode, with the weights and the dtype that it had.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a file that `save` did not write.
        """
        from safetensors import SafetensorError, safe_open

        if not os.path.isfile(path):
            raise FileNotFoundError(f"no pipeline file at {os.fspath(path)}.")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        except SafetensorError as error:
            raise ValueError(f"{os.fspath(path)} is not a safetensors file: {error}") from None
        if "pipeline" not in metadata:
            raise ValueError(
                f"{os.fspath(path)} holds weights but no pipeline; expected a file that Pipeline.save wrote."
            )
        dtype = getattr(torch, metadata.get("dtype", "float32"), None)
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            raise ValueError(f"{os.fspath(path)} names no floating dtype: {metadata['dtype']!r}.")
        with torch.random.fork_rng(devices=[]):  # what is drawn for the weights is overwritten
            pipe = parse_pipeline(metadata["pipeline"], os.fspath(path), {})
        try:
            pipe.to(dtype).load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"the weights in {os.fspath(path)} do not fit its pipeline: {error}") from None
        pipe._drawn = pipe._fingerprint() if "fresh_random" in metadata else None
        return pipe


def open_pipeline(source: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> Pipeline:
    """A pipeline by preset name, TOML file, saved file (.safetensors), or folder of a training run.

    Raises:
        ValueError: none of these, or overrides of a saved file.
        FileNotFoundError: no such file.
    """
    path, overrides = source_file(source), overrides or {}
    if path is None:
        return Pipeline.from_preset(str(source), **overrides)
    if path.suffix == ".toml":
        return parse_pipeline(path.read_text("utf-8"), str(path), overrides)
    if overrides:
        raise ValueError(f"{path} is a saved pipeline, its values are fixed; drop {', '.join(overrides)}.")
    return Pipeline.load(path)


def parse_pipeline(text: str, where: str, overrides: Mapping[str, Any]) -> Pipeline:
    """The pipeline that TOML text describes, in eval mode; `where` names the text in messages.

    Raises:
        ValueError: no TOML, or an unknown or missing key, stage or value.
    """
    return _build(read_toml(text, where, overrides), where)


def _check_sample_rate(layer: nn.Module, name: str, sample_rate: int) -> None:
    for part in layer.modules():
        made_for = getattr(part, "sample_rate", sample_rate)
        if made_for != sample_rate:
            raise ValueError(f"stage {name!r} was made for {made_for} Hz, the pipeline is for {sample_rate} Hz.")


def _check_n_fft(pipe: nn.Module) -> None:
    """An even n_fft and the odd one behind it have equally many bins, at other frequencies."""
    n_fft = None
    for part in pipe.modules():
        if isinstance(part, OWNERS["n_fft"]):
            n_fft = part.n_fft
        elif isinstance(part, Mel) and n_fft not in (None, part.n_fft):
            raise ValueError(f"Mel was made for n_fft={part.n_fft}, the STFT before it has n_fft={n_fft}.")


def _trained(name: str, weights: bytes) -> Pipeline:
    from safetensors.torch import load

    with torch.random.fork_rng(devices=[]):  # what is drawn for the weights is overwritten
        pipe = parse_pipeline(preset_text(name), f"preset {name!r}", {})
    pipe.load_state_dict(load(weights))
    return pipe


def _build(spec: Table, where: str) -> Pipeline:
    """The pipeline that `spec` describes. Whether it drew random weights shows in torch's generator."""
    before = torch.random.get_rng_state()
    tables = [{key: value for key, value in table.items() if key != "name"} for table in spec["stages"]]
    layers = build_stages(tables, {"sample_rate": spec["sample_rate"]}, where)
    names = stage_names(spec["stages"], where)
    pipe = Pipeline(dict(zip(names, layers, strict=True)), sample_rate=spec["sample_rate"]).eval()
    if not torch.equal(before, torch.random.get_rng_state()):
        pipe._drawn = pipe._fingerprint()
    return pipe
