"""SqueezeExcitation: SpeechBrain's block, with lengths, is the judge of an utterance; each prefix, as an utterance of
its own, is that of the cumulative form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from speechbrain.lobes.models.ECAPA_TDNN import SEBlock
from torch import nn

import speechconv as sc
from tests.layers.families.judges import EXACT, off


@torch.no_grad()
def theirs_of(ours: sc.SqueezeExcitation) -> nn.Module:
    theirs = SEBlock(ours.channels, ours.hidden_channels, ours.channels).double()
    for name, linear in (("conv1", ours.squeeze), ("conv2", ours.excite)):
        theirs.get_parameter(f"{name}.conv.weight").copy_(linear.weight[:, :, None])
        theirs.get_parameter(f"{name}.conv.bias").copy_(linear.bias)
    return theirs


def test_an_utterance_is_gated_as_speechbrain_does_each_row_by_its_own_frames() -> None:
    ours = sc.SqueezeExcitation(6, hidden_channels=4, statistics="utterance").double()
    x, lengths = torch.randn(3, 20, 6, dtype=torch.float64), torch.tensor([20, 7, 15])
    expected = theirs_of(ours)(x.transpose(1, 2), lengths / 20).transpose(1, 2)
    x[1, 7:] = torch.nan
    y, _ = ours(x, lengths)
    for row, length in enumerate(lengths.tolist()):
        assert off(y[row, :length], expected[row, :length]) <= EXACT
        assert not y[row, length:].any()
    assert off(ours(x[:1]), expected[:1]) <= EXACT


def test_the_cumulative_gate_of_a_frame_is_that_of_the_utterance_up_to_it() -> None:
    ours = sc.SqueezeExcitation(6, hidden_channels=4).double()
    whole = sc.SqueezeExcitation(6, hidden_channels=4, statistics="utterance").double()
    whole.load_state_dict(ours.state_dict())
    x = torch.randn(2, 20, 6, dtype=torch.float64)
    expected = torch.stack([whole(x[:, : end + 1])[:, end] for end in range(20)], 1)
    assert off(ours(x), expected) <= EXACT


def test_the_hidden_layer_is_a_sixteenth_by_default() -> None:
    assert [sc.SqueezeExcitation(channels).squeeze.out_features for channels in (8, 64, 100)] == [1, 4, 6]


def test_an_utterance_cannot_stream_and_says_what_can() -> None:
    with pytest.raises(sc.NotStreamable, match=r"takes its mean from the whole utterance\. Instead: statistics='cumul"):
        sc.Streamer(sc.Residual(sc.SqueezeExcitation(6, statistics="utterance")))


def test_no_frames_give_no_frames() -> None:
    for statistics in ("cumulative", "utterance"):
        assert sc.SqueezeExcitation(6, statistics=statistics)(torch.zeros(2, 0, 6)).shape == (2, 0, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"statistics": "frozen"}, r"^statistics \(='frozen'\) must be one of 'cumulative', 'utterance'\.$"),
        ({"hidden_channels": 0}, r"^hidden_channels \(=0\) must be an integer >= 1\.$"),
    ],
)
def test_arguments_outside_their_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sc.SqueezeExcitation(6, **options)
