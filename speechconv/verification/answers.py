"""What `verify` answers: one frozen record per question; its fields are the keys of the JSON.

Frequencies in Hz, lengths in samples, everything else without unit. Names as the literature's: rho, kappa, A, B.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StftAnswer:
    """Is it an STFT?

    Attributes:
        is_stft: yes or no.
        rho: 1 - sigma_1^2(D) / |D|^2 of the demodulated filters; 0 for an STFT, sqrt(rho) is a relative error.
        n_fft: samples of a full turn of bin 1; None where the frequencies lie on no such grid.
        win_length: samples of the window's support.
        window: such as "periodic hann"; None where no known window comes near.
        window_error: 1 - |cos| between the window found and the named one.
        sign: -1 for e^(-j ...), 1 for the other convention, 0 for real-only filters.
        frequencies_hz: fitted centre of each filter.
        verdict: the answer in words.
    """

    is_stft: bool
    rho: float
    n_fft: int | None
    win_length: int
    window: str | None
    window_error: float | None
    sign: int
    frequencies_hz: list[float]
    verdict: str


@dataclass(frozen=True)
class DriftAnswer:
    """How far from the reference?

    Attributes:
        reference: what it was compared with, in words.
        total: |Z - Z0| / |Z0| over all filters.
        change, cosine, gain, rotation, angle, jsd: of each filter: relative change, phase-free cosine, gain, rotation
            and subspace angle (radians), Jensen-Shannon distance of the normalised responses (0 ... 1).
    """

    reference: str
    total: float
    change: list[float]
    cosine: list[float]
    gain: list[float]
    rotation: list[float]
    angle: list[float]
    jsd: list[float]


@dataclass(frozen=True)
class FilterAnswer:
    """What is this filter? Hz; leakage and sinusoid are shares of its energy; see filter_shape.py for each formula."""

    index: int
    peak_hz: float
    centroid_hz: float
    bandwidth_3db_hz: float
    erb_hz: float
    q: float
    leakage: float
    effective_bins: float
    sinusoid: float


@dataclass(frozen=True)
class ScalesAnswer:
    """On which frequency scale do the sorted peaks lie?

    Attributes:
        best: name of the scale of the smallest residual.
        residual: of each scale by name ("linear", "mel_htk", "mel_slaney", "bark", "erb"): root mean square distance
            of the peaks from a straight line on it, as a share of their range on it.
    """

    best: str
    residual: dict[str, float]


@dataclass(frozen=True)
class BankAnswer:
    """What is the bank? The first block needs a hop and is None without one.

    Attributes:
        hop_length: samples.
        A, B, kappa: frame bounds and B / A of the rows as they are.
        kappa_two_sided: of the pairs with interior rows times sqrt 2; None for real-only filters.
        aliasing: sum_j>=1 |G_j| / |G_0|.
        parseval: largest deviation of the frame operator / B from the identity.
        reconstruction_error: relative L2 of noise through the bank and its dual.
        coherence: largest |cos| of two rows.
        effective_rank: exp of the entropy of the squared singular values.
        rows, taps: of the bank.
        response_hz, cumulative_response: mean_m |H_m(f)|, largest 1.
    """

    hop_length: int | None
    A: float | None
    B: float | None
    kappa: float | None
    kappa_two_sided: float | None
    aliasing: float | None
    parseval: float | None
    reconstruction_error: float | None
    coherence: float
    effective_rank: float
    rows: int
    taps: int
    response_hz: list[float]
    cumulative_response: list[float]


@dataclass(frozen=True)
class PairsAnswer:
    """Are the pairs analytic? The whole bank first, then each pair. Bins without a second half are left out.

    Attributes:
        analyticity: energy on the wrong side of the spectrum / on the side where the bank turns: 0 analytic, 1 real.
        orthogonality: mean |<a, b>| / (|a| |b|).
        balance: mean |a| / |b|.
        hilbert_error: mean of min over both signs of |b -+ Hilbert(a)| / |b|.
        time_reversed: mean |cos| of b and a reversed in time; 1 beside a large analyticity: no quadrature but a mirror.
        verdict: in words.
        each_analyticity: of each pair; NaN where it has no second half.
    """

    analyticity: float
    orthogonality: float
    balance: float
    hilbert_error: float
    time_reversed: float
    verdict: str
    each_analyticity: list[float]


@dataclass(frozen=True)
class SoundAnswer:
    """What does it do to sound? Log magnitudes against the reference STFT's, cells within 70 dB of the peak.

    Attributes:
        audio: the file.
        reference: what it was compared with.
        mean_db, max_db, rms_db: absolute differences.
        per_bin_db: mean difference of each bin.
    """

    audio: str
    reference: str
    mean_db: float
    max_db: float
    rms_db: float
    per_bin_db: list[float]


@dataclass(frozen=True)
class LevelAnswer:
    """What an encoder makes of the same sines at another level; a linear one has 0 and 0.

    Attributes:
        level: amplitude of the sines.
        gain_db: root mean square answer for each unit of amplitude, against that at the probe's own level.
        moved: share of the channels whose peak is at another frequency.
    """

    level: float
    gain_db: float
    moved: float


@dataclass(frozen=True)
class ProbeAnswer:
    """What does an encoder of several layers answer to? Measured, not computed: it has no single filter.

    Attributes:
        level: amplitude of the sines and impulses.
        frequencies_hz: of the sines.
        response: (channels, frequencies) root mean square change of each channel against silence.
        peak_hz: of each channel; NaN where it answers to no sine.
        receptive_field: samples that have a gradient.
        stride: samples between two frames.
        time_resolution_ms: width at half height of the mean answer to an impulse.
        levels: how the answers to every fourth sine change with the amplitude.
    """

    level: float
    frequencies_hz: list[float]
    response: list[list[float]]
    peak_hz: list[float]
    receptive_field: int
    stride: int
    time_resolution_ms: float
    levels: list[LevelAnswer]


@dataclass(frozen=True)
class Check:
    """One threshold: `value` of `name` ("bank.kappa") must be at most `limit`, or at least, for `at_least`."""

    name: str
    value: float | None
    limit: float
    passed: bool
    at_least: bool = False


@dataclass(frozen=True)
class Verification:
    """Every answer about one bank; None where a question does not apply."""

    source: str
    tensor: str
    layout: str
    sample_rate: int
    sample_rate_assumed: bool
    verdict: str
    stft: StftAnswer | None
    drift: DriftAnswer | None
    filters: list[FilterAnswer]
    scales: ScalesAnswer | None
    bank: BankAnswer | None
    pairs: PairsAnswer | None
    sound: SoundAnswer | None
    probe: ProbeAnswer | None
    checks: list[Check]

    @property
    def passed(self) -> bool:
        """Within every threshold that was given."""
        return all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The JSON object; infinite and NaN numbers are null."""
        return {"passed": self.passed, **_finite(dataclasses.asdict(self))}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
