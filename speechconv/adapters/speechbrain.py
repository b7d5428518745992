"""A pipeline as SpeechBrain's `compute_features`, or as its whole encoder, named in hyperpyyaml:

    compute_features: !new:speechconv.adapters.speechbrain.FrontEnd
        source: logmel                  # or FILE.toml, FILE.safetensors, or !ref <a module>
        overrides: {stft: {learn: delta}, mel: {n_mels: 40}}

SpeechBrain's lengths are relative: 1.0 is the longest row, and everyone takes them back by round(r T). Frames of a row
are not that share of the batch's frames, so what comes behind must be told `relative_lengths`, not `wav_lens`:

    feats = self.modules.compute_features(wavs, wav_lens)
    feat_lens = self.modules.compute_features.relative_lengths(wav_lens, wavs.shape[1])

What SpeechBrain itself does not take:
    (batch, samples, channels)          mix it first, or take one channel
    a batch without a single frame      its CTC loss refuses it; one such row among others counts as a loss of 0
    rows above 2^24 samples             1,048 s at 16 kHz: a float32 share does not tell their number
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from speechconv.adapters.plug import Plug, Source, open_encoder
from speechconv.streamer import Streamer

try:
    from speechbrain.utils.filter_analysis import FilterProperties
except ImportError as error:
    raise ImportError(
        f"speechbrain does not load ({error}); pip install 'speechconv[speechbrain]', 1.1 or newer."
    ) from None


class FrontEnd(Plug):
    """A pipeline, or a layer that takes a waveform, with SpeechBrain's lengths.

    Args:
        source: a preset such as "logmel", FILE.toml, FILE.safetensors, a training run's folder, or the module itself.
        overrides: other values for the keys of a preset or TOML: {"mel": {"n_mels": 40}}.

    Shape:
        (batch, samples) -> (batch, frames, output_dim)

    Raises:
        TypeError, ValueError, FileNotFoundError: as `plug.open_encoder`.

    Example:
        >>> features = FrontEnd("logmel", overrides={"mel": {"n_mels": 40}})
        >>> features(torch.zeros(2, 16000), torch.tensor([1.0, 0.5])).shape
        torch.Size([2, 101, 40])
        >>> (features.relative_lengths(torch.tensor([1.0, 0.5]), 16000) * 101).round()
        tensor([101.,  51.])
    """

    def __init__(self, source: Source, overrides: Mapping[str, Any] | None = None) -> None:
        super().__init__(open_encoder(source, overrides))

    def __call__(self, wav: Tensor, lengths: Tensor | None = None) -> Tensor:
        """As `forward`, with its argument's name: LengthsCapableChain looks for it here, and drops lengths else."""
        return super().__call__(wav, lengths=lengths)

    def forward(self, wav: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Frames; those past a row's length are 0.

        Args:
            wav: (batch, samples).
            lengths: (batch,) relative, 0 ... 1 of `samples`; None: all rows are full. SpeechBrain passes them to an
                argument of this very name.

        Raises:
            ValueError: lengths outside 0 ... 1.
        """
        if lengths is None:
            return self.encoder(wav)
        return self.encoder(wav, absolute_lengths(lengths, wav.shape[1]))[0]

    def relative_lengths(self, lengths: Tensor, num_samples: int) -> Tensor:
        """Relative lengths of the frames: `round(r * T)` is each row's number of frames, exactly.

        Args:
            lengths: (batch,) relative lengths of the waveforms.
            num_samples: of the longest, `wav.shape[1]`.

        Returns:
            (batch,) of the type of `lengths`.
        """
        frames = self.encoder.num_frames(absolute_lengths(lengths, num_samples))
        return relative_to(frames, self.encoder.num_frames(num_samples)).to(lengths.dtype)

    def get_filter_properties(self) -> FilterProperties:
        """Window and stride for SpeechBrain's StreamingFeatureWrapper, in which frames that see neither end of the
        signal are then those of `forward`. `speechconv.Session` streams without that exception, and without a window.

        The window is the smallest symmetric one that holds what a frame depends on; a causal encoder says so, which the
        wrapper refuses (`get_noncausal_equivalent()` helps). A chunk of m strides gives m frames; where N samples give
        N // stride + 1 frames, as of a centred STFT of even n_fft, SpeechBrain's own among them, one more: the next
        chunk's first.

        Raises:
            NotStreamable: statistics over the utterance.
            ValueError: a memory without end (PCEN, cumulative norms); mirrored ends; an encoder that does not pad its
                input, so that each chunk would lose a frame.
        """
        g = self.encoder.geometry
        endless = [memory.name for memory in Streamer(self.encoder).state_spec if memory.dtype]
        if endless or g.mirror:
            what = f"a memory without end ({', '.join(endless)})" if endless else "mirrored ends"
            raise ValueError(f"FilterProperties have a window, and this encoder has {what}; stream it by its Session.")
        if g.pad_left + g.pad_right < g.receptive_field - g.stride:
            raise ValueError(
                f"FilterProperties are those of a filter that pads: N samples give N / {g.stride} frames. This encoder "
                f"(receptive field {g.receptive_field}, stride {g.stride}, pads {g.pad_left} and {g.pad_right}) gives "
                "fewer, so each chunk would lose some; pad it, or stream it by its Session."
            )
        if g.lookahead <= 0:
            return FilterProperties(g.receptive_field, g.stride, causal=True)
        return FilterProperties(2 * max(g.pad_left, g.lookahead) + 1, g.stride)


def absolute_lengths(lengths: Tensor, num_samples: int) -> Tensor:
    """int64 lengths in samples, exact for float32 shares of up to 2^24 samples.

    >>> absolute_lengths(torch.tensor([1.0, 1 / 3]), 48000)
    tensor([48000, 16000])
    """
    if not bool(((lengths >= 0) & (lengths <= 1)).all()):
        raise ValueError(f"lengths (={lengths.tolist()}) must be relative, 0 ... 1 of the longest row.")
    return (lengths.double() * num_samples).round().long()


def relative_to(counts: Tensor, total: int) -> Tensor:
    """float32 shares r of `total` with round(r * total) == counts, and r * total never above them: SpeechBrain's
    length_to_mask compares without rounding.

    >>> r = relative_to(torch.arange(50), 49)
    >>> torch.equal((r * 49).round(), torch.arange(50.0)), bool((r * 49 <= torch.arange(50)).all())
    (True, True)
    """
    exact = counts.float()
    share = exact / max(total, 1)
    return torch.where(share * total > exact, share.nextafter(torch.zeros_like(share)), share)
