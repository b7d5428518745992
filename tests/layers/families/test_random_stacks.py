"""The law on random stacks of families and other layers, as tests/test_law.py has it for each layer alone."""

from __future__ import annotations

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import speechconv as sc
from tests.law import (
    assert_close,
    assert_gradients_through_a_stream,
    assert_rows_stand_alone,
    cuts,
    largest,
    signal,
    stream,
)
from tests.layers.families.stacks import family_stack
from tests.stacks import LARGEST_EXACT, Kind

EXACT, SMOOTH = Kind(exact=True), Kind(exact=False)
some = settings(max_examples=max(1, settings().max_examples // 4))


def draw_signal(data: st.DataObject, net: sc.Sequential, *, exact: bool) -> torch.Tensor:
    return signal(net, data.draw(st.integers(0, 3 * net.geometry.receptive_field), label="samples"), exact=exact)


@some
@given(st.data(), family_stack(EXACT))
def test_live_equals_offline_bit_by_bit_where_sums_are_exact(data: st.DataObject, net: sc.Sequential) -> None:
    x = draw_signal(data, net, exact=True)
    with torch.no_grad():
        expected = net(x[None])[0]
    assume(largest(expected) < LARGEST_EXACT)
    assert torch.equal(stream(sc.Session(net), x, data.draw(cuts(len(x)))), expected)


@some
@given(st.data(), family_stack(SMOOTH))
def test_live_equals_offline_within_rounding(data: st.DataObject, net: sc.Sequential) -> None:
    x = draw_signal(data, net, exact=False)
    with torch.no_grad():
        expected = net(x[None])[0]
    assert_close(stream(sc.Session(net), x, data.draw(cuts(len(x)))), expected, 1e-12)


@some
@given(st.data(), family_stack(SMOOTH))
def test_one_block_a_step_is_bitwise_independent_of_chunking(data: st.DataObject, net: sc.Sequential) -> None:
    net = net.float()
    x = draw_signal(data, net, exact=False).float()
    whole = stream(sc.Session(net, max_blocks=1), x, [len(x)])
    assert torch.equal(stream(sc.Session(net, max_blocks=1), x, data.draw(cuts(len(x)))), whole)


@some
@given(family_stack(SMOOTH))
def test_every_frame_is_emitted_with_the_sample_that_completes_it(net: sc.Sequential) -> None:
    """And depends on nothing later: that is NaN, in the very chunk that completes the frame."""
    g = net.geometry
    x = signal(net, g.emitted_at(3) + 1, exact=False)
    due = [g.emitted_at(frame) for frame in range(5)]
    session = sc.Session(net)
    for count, sample in enumerate(x.split(1), start=1):
        session.push(sample)
        assert session.num_frames == sum(at <= count for at in due)
    x = torch.cat((x[: due[3]], torch.full((g.receptive_field, 1), torch.nan, dtype=x.dtype)))
    with torch.no_grad():
        assert net(x[None])[0, :4].isfinite().all()
    assert sc.Session(net).push(x)[:4].isfinite().all()


@some
@given(family_stack(EXACT))
def test_num_frames_equals_the_frames_of_every_length(net: sc.Sequential) -> None:
    x = signal(net, net.geometry.receptive_field + 3 * net.geometry.stride, exact=True)
    with torch.no_grad():
        for count in range(len(x) + 1):
            assert net(x[None, :count]).shape[1] == net.geometry.num_frames(count)


@some
@given(st.data(), family_stack(SMOOTH))
def test_a_batch_padded_with_nan_equals_its_rows(data: st.DataObject, net: sc.Sequential) -> None:
    assert_rows_stand_alone(net, [draw_signal(data, net, exact=False) for _ in range(3)])


@some
@given(st.data(), family_stack(SMOOTH))
def test_gradients_through_a_stream_equal_offline_gradients(data: st.DataObject, net: sc.Sequential) -> None:
    x = draw_signal(data, net, exact=False)
    assume(net.geometry.num_frames(len(x)))
    assert_gradients_through_a_stream(net, x)
