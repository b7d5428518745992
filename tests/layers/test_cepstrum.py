"""DCT and Lifter: scipy, librosa and torchaudio are the judges."""

from __future__ import annotations

import re
from typing import Any

import librosa
import numpy as np
import pytest
import scipy.fft
import torch
from torch import Tensor

import speechconv as sc

EXACT = 1e-14  # float64: a sum of 128 products at most, relative to the largest expected value
FLOAT = 2e-6  # float32, likewise
PHASES = 4e-6  # of matrices whose phases, up to 40 radians, were rounded to float32


def log_mels(n_mels: int, frames: int = 7) -> Tensor:
    """Values as large and as far from zero as logarithms of real spectra."""
    return 8 + 4 * torch.randn(2, frames, n_mels, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def off(y: Tensor, expected: Any) -> float:
    expected = torch.as_tensor(np.asarray(expected))
    assert y.shape == expected.shape
    return float((y - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("norm", ["ortho", None])
@pytest.mark.parametrize(("n_mfcc", "n_mels"), [(13, 23), (20, 128), (40, 40), (1, 1), (5, 8)])
def test_dct_is_scipys(n_mfcc: int, n_mels: int, norm: Any) -> None:
    x = log_mels(n_mels)
    expected = np.asarray(scipy.fft.dct(x.numpy(), type=2, norm=norm))[..., :n_mfcc]
    dct = sc.DCT(n_mfcc, n_mels=n_mels, norm=norm)
    assert off(dct(x.float()).double(), expected) <= FLOAT
    assert off(dct.double()(x), expected) <= EXACT


@pytest.mark.parametrize("norm", ["ortho", None])
def test_dct_is_torchaudios(norm: Any) -> None:
    """It rounds phases of up to 40 radians to float32, which moves a cosine by 2e-6."""
    from torchaudio.functional import create_dct

    ours = sc.DCT(13, n_mels=23, norm=norm)(torch.eye(23)[None])[0]
    assert off(ours, create_dct(13, 23, norm)) <= PHASES


def test_ortho_is_kaldis_matrix() -> None:
    """Its column 0 is sqrt(1 / N), the others sqrt(2 / N) cosines."""
    from torchaudio.compliance.kaldi import _get_dct_matrix

    ours = sc.DCT(13, n_mels=23)(torch.eye(23)[None])[0]
    assert off(ours, _get_dct_matrix(13, 23)) <= PHASES


@pytest.mark.parametrize("coefficient", [22, 10.5, 40])
def test_librosas_lifter_is_the_one_of_its_mfcc(coefficient: float) -> None:
    x = log_mels(32)
    expected = np.stack(
        [librosa.feature.mfcc(S=row.T, n_mfcc=20, dct_type=2, norm="ortho", lifter=coefficient).T for row in x.numpy()]
    )
    net = sc.Sequential(sc.DCT(20, n_mels=32), sc.Lifter(coefficient=coefficient, kind="librosa")).double()
    assert off(net(x), expected) <= 1e-13  # sine and product on top of the sum


@pytest.mark.parametrize("coefficient", [22.0, 10.5])
def test_kaldis_lifter_is_torchaudios(coefficient: float) -> None:
    """Judge in float32: 1e-6 of the largest weight."""
    from torchaudio.compliance.kaldi import _get_lifter_coeffs

    ours = sc.Lifter(coefficient=coefficient)(torch.ones(1, 1, 13))[0]
    assert off(ours, _get_lifter_coeffs(13, coefficient)[None]) <= 1e-6
    assert ours[0, 0] == 1


@pytest.mark.parametrize("layer", [sc.DCT(5, n_mels=8), sc.DCT(8, n_mels=8, norm=None)], ids=str)
def test_the_cepstrum_keeps_the_contract(layer: sc.Layer) -> None:
    assert sc.check_streaming(layer).worst <= 1e-12
    assert sc.check_streaming(sc.Sequential(layer, sc.Lifter(coefficient=9.0))).worst <= 1e-12


@pytest.mark.parametrize("kind", ["kaldi", "librosa"])
def test_gradients_are_those_of_the_matrix(kind: Any) -> None:
    """Judge: finite differences in float64."""
    net = sc.Sequential(sc.DCT(4, n_mels=6), sc.Lifter(coefficient=7.0, kind=kind)).double()
    assert torch.autograd.gradcheck(net, torch.randn(1, 3, 6, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (sc.DCT, {"n_mfcc": 0, "n_mels": 4}, "n_mfcc (=0) must be an integer >= 1."),
        (sc.DCT, {"n_mfcc": 1, "n_mels": 4.0}, "n_mels (=4.0) must be an integer >= 1."),
        (sc.DCT, {"n_mfcc": 5, "n_mels": 4}, "n_mfcc (=5) must not be above n_mels (=4)."),
        (sc.DCT, {"n_mels": 40, "norm": "slaney"}, "norm (='slaney') must be one of 'ortho', None."),
        (sc.Lifter, {"coefficient": 0}, "coefficient (=0) must be above 0; leave the lifter out to weigh nothing."),
        (sc.Lifter, {"coefficient": float("nan")}, "coefficient (=nan) must be above 0;"),
        (sc.Lifter, {"kind": "htk"}, "kind (='htk') must be one of 'kaldi', 'librosa'."),
    ],
    ids=str,
)
def test_a_refused_argument_is_named(kind: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}"):
        kind(**arguments)
