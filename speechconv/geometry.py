"""Receptive field, stride, pads and lookahead of a layer or of a whole chain, in exact integers.

A convolution has kernel k, stride s, dilation d and pads (l, r); its span is k_eff = (k - 1) d + 1. A chain of them
is again one such window on the raw input (S_i = product of the strides before layer i):

    S = prod s_i        R = 1 + sum (k_eff_i - 1) S_i        P = (sum l_i S_i, sum r_i S_i)

    frames(N)   = max(0, (N + P_l + P_r - R) // S + 1)   for N >= 1, and frames(0) = 0
    span(t)     = [S t - P_l, S t - P_l + R - 1]
    emitted(t)  = S t + R - P_l                          samples that must have arrived
    lookahead   = R - 1 - P_l

The closed form equals the nested one because every layer behind the raw input pads at most k_eff - 1 in all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, get_args, overload

from speechconv.checks import check_choice, check_count

Counts = TypeVar("Counts")  # an integer tensor or array

Padding = Literal["valid", "causal", "same"] | tuple[int, int]
MirrorKind = Literal["reflect", "symmetric"]


@dataclass(frozen=True)
class Mirror:
    """Padding that mirrors the signal around its ends instead of adding zeros.

        reflect     c b | a b c | b a          turns on the edge sample
        symmetric   b a | a b c | c b          repeats the edge sample (half-sample reflection)

    Args:
        left: samples before the signal, >= 0.
        right: samples behind it, >= 0.
        kind: "reflect" or "symmetric", as numpy.pad has them.

    Raises:
        ValueError: a number or word outside its range.

    >>> Mirror(200, 40).start, Mirror(120, 200, "symmetric").start, Mirror(120, 200, "symmetric").end
    (201, 120, 200)
    """

    left: int
    right: int
    kind: MirrorKind = "reflect"

    def __post_init__(self) -> None:
        check_count("left", self.left, 0)
        check_count("right", self.right, 0)
        check_choice("kind", self.kind, get_args(MirrorKind))

    @property
    def start(self) -> int:
        """Samples of the signal that its left mirror needs; a shorter signal is mirrored again and again."""
        return self._needed(self.left)

    @property
    def end(self) -> int:
        """Last samples of the signal that its right mirror needs."""
        return self._needed(self.right)

    def _needed(self, count: int) -> int:
        return count + 1 if count and self.kind == "reflect" else count


@dataclass(frozen=True)
class Geometry:
    """How frames lie on the samples they are made of.

    Args:
        receptive_field: samples that one frame depends on, >= 1.
        stride: samples between two frames, >= 1.
        pad_left: samples of padding before the first one, 0 ... receptive_field - 1.
        pad_right: samples of padding after the last one, likewise; both together at most receptive_field.
        mirror: how many of the pads on each side mirror the signal instead of adding zeros, and how; None: none. Only
            a layer at the raw input has any; nothing comes out before the mirror.start samples that it needs.

    Raises:
        ValueError: a number outside its range.
        TypeError: a mirror that is none.

    Example:
        >>> encoder = Geometry(receptive_field=400, stride=320)
        >>> encoder.num_frames(16000), encoder.span(1), encoder.emitted_at(1)
        (49, (320, 719), 720)
        >>> encoder.then(Geometry(128, pad_left=64, pad_right=63)).lookahead
        20559
    """

    receptive_field: int = 1
    stride: int = 1
    pad_left: int = 0
    pad_right: int = 0
    mirror: Mirror | None = None

    def __post_init__(self) -> None:
        for name, least in (("receptive_field", 1), ("stride", 1), ("pad_left", 0), ("pad_right", 0)):
            check_count(name, getattr(self, name), least)
        if max(self.pad_left, self.pad_right) >= self.receptive_field or self._slack > 0:
            raise ValueError(
                f"pads (={self.pad_left}, {self.pad_right}) must each be below the receptive field "
                f"(={self.receptive_field}) and together not above it."
            )
        if self.mirror is not None and not isinstance(self.mirror, Mirror):
            raise TypeError(f"mirror (={self.mirror!r}) must be None or a Mirror, such as Mirror(200, 200).")
        if self.mirror and (self.mirror.left > self.pad_left or self.mirror.right > self.pad_right):
            raise ValueError(
                f"mirror (={self.mirror.left}, {self.mirror.right}) is a part of the pads (={self.pad_left}, "
                f"{self.pad_right}) and must not be above them."
            )

    @property
    def _slack(self) -> int:
        """P_l + P_r - R: 0 for a centred even STFT, -1 where N samples give ceil(N / S) frames, else less."""
        return self.pad_left + self.pad_right - self.receptive_field

    @property
    def law(self) -> tuple[int, int]:
        """All that `num_frames` depends on."""
        return self.stride, self._slack

    @property
    def lookahead(self) -> int:
        """Samples after sample S t that frame t needs; 0 is causal."""
        return self.receptive_field - 1 - self.pad_left

    @overload
    def num_frames(self, num_samples: int) -> int: ...
    @overload
    def num_frames(self, num_samples: Counts) -> Counts: ...
    def num_frames(self, num_samples: Any) -> Any:
        """Frames that `num_samples` samples give: an int for an int, else an integer tensor or array, element by
        element.

        >>> Geometry(400, 160).num_frames(399), Geometry(400, 160).num_frames(400)
        (0, 1)
        """
        frames = (num_samples + self._slack) // self.stride + 1
        if isinstance(num_samples, int):
            return max(0, frames) if num_samples > 0 else 0
        return frames.clip(min=0) * (num_samples > 0)

    def span(self, frame: int) -> tuple[int, int]:
        """First and last sample that `frame` depends on; below 0 and past the end lies padding."""
        first = self.stride * frame - self.pad_left
        return first, first + self.receptive_field - 1

    def emitted_at(self, frame: int) -> int:
        """Samples that must have arrived before `frame` can be known; a live stream emits it exactly then."""
        arrived = self.stride * frame + self.receptive_field - self.pad_left
        return max(arrived, self.mirror.start) if self.mirror else arrived

    def on_mirrored(self) -> Geometry:
        """The same frames as seen from the signal with its mirrored ends, where only the zero pads are left."""
        if not self.mirror:
            return self
        left, right = self.pad_left - self.mirror.left, self.pad_right - self.mirror.right
        return replace(self, pad_left=left, pad_right=right, mirror=None)

    def then(self, other: Geometry) -> Geometry:
        """This followed by `other`, which sees this one's frames as its samples.

        Raises:
            ValueError: `other` pads its whole receptive field (a centred STFT of even n_fft) or mirrors its input, and
                what stands before it can lose samples. Such a layer belongs at the raw input.
        """
        if other.mirror and self != Geometry():
            raise ValueError(
                f"{other.mirror.kind} padding mirrors the raw input; it cannot stand behind another layer."
            )
        if other._slack == 0 and (self._slack != -1 or self.stride != 1):
            raise ValueError(
                f"pads (={other.pad_left}, {other.pad_right}) of a layer behind another must together be below its "
                f"receptive field (={other.receptive_field}); a centred STFT of even n_fft belongs at the raw input."
            )
        return Geometry(
            receptive_field=self.receptive_field + (other.receptive_field - 1) * self.stride,
            stride=self.stride * other.stride,
            pad_left=self.pad_left + other.pad_left * self.stride,
            pad_right=self.pad_right + other.pad_right * self.stride,
            mirror=self.mirror or other.mirror,
        )

    @staticmethod
    def union(*branches: Geometry) -> Geometry:
        """The one window that holds every branch of a parallel group (which as a whole mirrors nothing).

            P = the largest of each side        R = max P_l + max (R_b - P_l,b)

        Raises:
            ValueError: the branches do not give the same number of frames for every input, which needs one stride and
                one value of pad_left + pad_right - receptive_field.
        """
        rates = {(b.stride, b._slack) for b in branches}
        if len(rates) != 1:
            table = ", ".join(
                f"stride {b.stride} with receptive field {b.receptive_field} and pads ({b.pad_left}, {b.pad_right})"
                for b in branches
            )
            raise ValueError(
                "parallel branches must share their stride and pad_left + pad_right - receptive_field, "
                f"so that they give equally many frames; got {table}."
            )
        pad_left = max(b.pad_left for b in branches)
        return Geometry(
            receptive_field=pad_left + max(b.receptive_field - b.pad_left for b in branches),
            stride=branches[0].stride,
            pad_left=pad_left,
            pad_right=max(b.pad_right for b in branches),
        )


def resolve_padding(padding: Padding, span: int) -> tuple[int, int]:
    """(left, right) pads of a kernel that spans `span` = (k - 1) d + 1 samples.

    "valid" is (0, 0), "causal" (span - 1, 0) at any stride, "same" ((span - 1) // 2, the rest), as torch.

    Raises:
        ValueError: an unknown word, or pads outside 0 <= l, r and l + r <= span - 1.

    >>> resolve_padding("same", 128), resolve_padding("causal", 5), resolve_padding((64, 63), 128)
    ((63, 64), (4, 0), (64, 63))
    """
    words = {"valid": (0, 0), "causal": (span - 1, 0), "same": ((span - 1) // 2, span // 2)}
    if isinstance(padding, str):
        if padding not in words:
            raise ValueError(f"padding (={padding!r}) must be 'valid', 'causal', 'same' or a pair (left, right).")
        return words[padding]
    pads = tuple(padding) if isinstance(padding, tuple | list) else ()
    if len(pads) != 2 or not all(isinstance(pad, int) and pad >= 0 for pad in pads) or sum(pads) > span - 1:
        raise ValueError(
            f"padding (={padding!r}) must be a pair of integers (left, right) >= 0 with left + right <= {span - 1}, "
            "the kernel's span less one."
        )
    return pads[0], pads[1]


def frame_keeping_pads(padding: Padding, kernel_size: int) -> tuple[int, int]:
    """(left, right) pads under which as many frames go out as come in.

    Raises:
        ValueError: as `resolve_padding`, or pads that keep fewer.

    >>> frame_keeping_pads("valid", 31)
    Traceback (most recent call last):
    ValueError: padding (='valid') must keep the number of frames: left + right must be 30, kernel_size - 1, not 0.
    """
    pads = resolve_padding(padding, kernel_size)
    if sum(pads) != kernel_size - 1:
        raise ValueError(
            f"padding (={padding!r}) must keep the number of frames: left + right must be {kernel_size - 1}, "
            f"kernel_size - 1, not {sum(pads)}."
        )
    return pads
