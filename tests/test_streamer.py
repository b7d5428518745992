"""The pure core: static shapes, counted validity, rows of any age in one batch."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import speechconv as sc
from speechconv.streamer import OPEN
from tests.law import signal
from tests.weights import fill


def strided_stack() -> sc.Sequential:
    net = sc.Sequential(
        sc.Conv1d(1, 4, 5, stride=3, padding=(1, 2)),
        nn.ReLU(),
        sc.Residual(sc.Conv1d(4, 4, 4, padding="same")),
        sc.Conv1d(4, 4, 2, stride=2, padding="causal"),
    )
    fill(net, exact=True, seed=4)
    return net.double().eval()


def test_block_preroll_and_delay_of_the_wav2vec2_encoder() -> None:
    """DESIGN's check values: 240 zeros before the first sample, one frame of delay, blocks of 320."""
    layers = [sc.Conv1d(1, 1, k, stride=s) for k, s in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True)]
    core = sc.Streamer(sc.Sequential(*layers))
    assert (core.block, core.preroll, core.delay) == (320, 240, 1)


def test_preroll_of_a_centred_stft_is_120() -> None:
    assert sc.Streamer(sc.ConvSTFT(400, hop_length=160)).preroll == 120


def test_state_keeps_its_shapes_types_and_names_for_ever() -> None:
    core = sc.Streamer(strided_stack())
    state = core.init(3)
    assert [m.name for m in core.state_spec] == ["0.history", "2.skip", "2.body.history"]
    shapes = [(m.shape, m.dtype) for m in (*state.memories, state.age, state.remain)]
    for blocks in (1, 2, 7):
        _, _, _, state = core.step(torch.randn(3, blocks * core.block, 1).double(), state)
        assert [(m.shape, m.dtype) for m in (*state.memories, state.age, state.remain)] == shapes


def test_a_step_changes_neither_its_input_nor_its_state() -> None:
    core = sc.Streamer(strided_stack())
    _, _, _, state = core.step(torch.randn(2, 5 * core.block, 1).double(), core.init(2))
    x = torch.randn(2, core.block, 1).double()
    tensors = (x, *state.memories, state.age, state.remain)
    before = [t.clone() for t in tensors]
    core.step(x, state, torch.tensor([True, False]))
    core.end(state, 0, 3)
    core.reset(state, 1)
    assert all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True))


def test_rows_that_are_not_active_keep_their_state_whatever_lies_in_them() -> None:
    core = sc.Streamer(strided_stack())
    _, _, _, state = core.step(torch.randn(2, 4 * core.block, 1).double(), core.init(2))
    x = torch.full((2, core.block, 1), torch.nan, dtype=torch.float64)
    x[0] = 1
    y, first, valid, after = core.step(x, state, torch.tensor([True, False]))
    assert valid.tolist() == [1, 0]
    assert y[0, int(first[0]) : int(first[0] + valid[0])].isfinite().all()
    for old, new in zip((*state.memories, state.age), (*after.memories, after.age), strict=True):
        assert torch.equal(old[1], new[1])
        assert not torch.equal(old[0], new[0])


def test_nan_in_a_neighbour_row_does_not_leak() -> None:
    core = sc.Streamer(strided_stack())
    alone, together = core.init(1), core.init(2)
    for _ in range(6):
        x = torch.randn(1, core.block, 1).double()
        y, _, _, alone = core.step(x, alone)
        both, _, _, together = core.step(torch.cat((torch.full_like(x, torch.nan), x)), together)
        torch.testing.assert_close(both[1:], y, rtol=0, atol=1e-12)


def test_nan_outside_the_signal_reaches_no_weight_gradient() -> None:
    """Behind a row's end, and in a row that is not active."""
    net = strided_stack()
    core = sc.Streamer(net)
    x = torch.randn(2, 6 * core.block, 1).double()
    x[0, 2 * core.block :] = torch.nan
    x[1] = torch.nan
    y, first, valid, _ = core.step(x, core.end(core.init(2), 0, 2 * core.block), torch.tensor([True, False]))
    y[0, int(first[0]) : int(first[0] + valid[0])].sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_a_reset_row_is_as_new_and_the_others_go_on() -> None:
    core = sc.Streamer(strided_stack())
    _, _, _, state = core.step(torch.randn(2, 4 * core.block, 1).double(), core.init(2))
    reset, fresh = core.reset(core.end(state, 1, 0), 1), core.init(2)
    for now, old, new in zip(_tensors(reset), _tensors(state), _tensors(fresh), strict=True):
        assert torch.equal(now[0], old[0])
        assert torch.equal(now[1], new[1])


def _tensors(state) -> tuple[Tensor, ...]:
    return (*state.memories, state.age, state.remain)


@pytest.mark.parametrize("end_block", [None, 50])
def test_a_stream_past_saturation_equals_a_young_one(end_block: int | None) -> None:
    """After 20 blocks `age` is set just below its limit and saturates; frames, validity and flush stay offline's."""
    net = strided_stack()
    core = sc.Streamer(net)
    x = signal(net, 60 * core.block + 5, exact=True)
    blocks = torch.cat((x.new_zeros(core.preroll, 1), x, x.new_zeros(40 * core.block, 1))).split(core.block)[:100]
    with torch.no_grad():
        expected = net(x[None])[0][20 - core.delay :]

    _, _, _, state = core.step(torch.cat(blocks[:20])[None], core.init(1))
    state = replace(state, age=torch.tensor([core.age_limit - 3 * core.block]))
    frames = []
    for number, block in enumerate(blocks[20:], start=20):
        if number == end_block:
            state = core.end(state, 0, core.preroll + len(x) - number * core.block)
        y, first, valid, state = core.step(block[None], state)
        frames.append(y[0, int(first) : int(first + valid)])
    live = torch.cat(frames)

    assert int(state.age) == core.age_limit
    assert (int(state.remain) == OPEN) == (end_block is None)
    assert len(live) == (80 if end_block is None else len(expected))
    known = 60 - 20 if end_block is None else len(expected)  # without an end, zeros behind the signal are signal
    assert torch.equal(live[:known], expected[:known])


def test_a_million_frames_keep_their_counters_valid() -> None:
    """The last frames against offline on the last samples, which are all that they depend on."""
    net = sc.Sequential(sc.Conv1d(1, 1, 3, padding="same"), nn.ReLU(), sc.Conv1d(1, 1, 4, stride=2, padding=(1, 2)))
    fill(net, exact=True, seed=5)
    net = net.double().eval()
    session = sc.Session(net, max_blocks=2000)
    generator = torch.Generator().manual_seed(0)
    samples, frames = torch.empty(0, 1), torch.empty(0, 1)
    for _ in range(500):
        chunk = torch.randint(-3, 4, (4000, 1), generator=generator).double()
        samples = torch.cat((samples, chunk))[-4000:]
        frames = torch.cat((frames, session.push(chunk)))[-1000:]
    frames = torch.cat((frames, session.close()))
    assert session.num_frames == net.geometry.num_frames(500 * 4000) == 1_000_000
    with torch.no_grad():
        assert torch.equal(frames, net(samples[None])[0, -len(frames) :])


def test_a_step_takes_whole_blocks_only() -> None:
    core = sc.Streamer(strided_stack())
    with pytest.raises(ValueError, match=r"x has 7 samples; a step takes a positive multiple of the block \(=6\)"):
        core.step(torch.zeros(1, 7, 1).double(), core.init(1))
    with pytest.raises(ValueError, match="x has 0 samples"):
        core.step(torch.zeros(1, 0, 1).double(), core.init(1))


def test_an_end_lies_ahead() -> None:
    core = sc.Streamer(strided_stack())
    with pytest.raises(ValueError, match=r"remaining \(=-1\) must lie in 0"):
        core.end(core.init(1), 0, -1)


def test_a_layer_of_any_width_asks_for_its_channels() -> None:
    with pytest.raises(ValueError, match=r"Log takes any number of channels; pass channels"):
        sc.Streamer(sc.Log())
    assert sc.Session(sc.Log(), channels=3).push(torch.ones(2, 3)).shape == (2, 3)


def test_dropout_that_is_on_refuses_to_stream() -> None:
    net = sc.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
    with pytest.raises(ValueError, match=r"Dropout is on: call .eval\(\) before streaming"):
        sc.Session(net)
    assert sc.Session(net.eval()).push(torch.ones(2, 3)).shape == (2, 3)


def test_not_streamable_names_layer_reason_and_alternatives() -> None:
    net = sc.Parallel(
        sc.Sequential(sc.ConvSTFT(8, hop_length=4, pad_mode="reflect", output="power")),
        sc.ConvSTFT(8, hop_length=4, output="power"),
    )
    with pytest.raises(sc.NotStreamable, match=r"0\.0 cannot stream: reflect padding .* Instead: pad_mode") as caught:
        sc.Streamer(net)
    assert caught.value.path == "0.0"
    assert caught.value.alternatives == ("pad_mode='constant'", "center=False")
    assert isinstance(caught.value, TypeError)


def test_a_random_order_of_rows_equals_offline() -> None:
    """Rows start, pause and end at will in one batch of pure steps; each equals its offline run bit by bit."""
    rng = random.Random(1)
    net = strided_stack()
    core = sc.Streamer(net)
    signals = [signal(net, rng.randint(0, 90), exact=True, seed=i) for i in range(3)]
    fed = [torch.cat((s.new_zeros(core.preroll, 1), s, s.new_zeros(30 * core.block, 1))) for s in signals]
    state = core.init(3)
    for row, s in enumerate(signals):
        state = core.end(state, row, core.preroll + len(s))
    got: list[list[Tensor]] = [[], [], []]
    position = [0, 0, 0]
    for _ in range(150):
        active = torch.tensor([rng.random() < 0.6 and position[row] + core.block <= len(fed[row]) for row in range(3)])
        x = torch.full((3, core.block, 1), torch.nan, dtype=torch.float64)
        for row in active.nonzero().flatten().tolist():
            x[row] = fed[row][position[row] : position[row] + core.block]
            position[row] += core.block
        y, first, valid, state = core.step(x, state, active)
        for row in range(3):
            got[row].append(y[row, int(first[row]) : int(first[row] + valid[row])])
    with torch.no_grad():
        for row, s in enumerate(signals):
            assert torch.equal(torch.cat(got[row]), net(s[None])[0])


@pytest.mark.parametrize(("module", "kind"), [(nn.Softmax(1), TypeError), (nn.Conv1d(4, 4, 3), TypeError)])
def test_what_no_composition_takes_does_not_stream_either(module: nn.Module, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="expected a speechconv layer, or torch's Linear"):
        sc.Session(module, channels=4)


def test_torchs_own_layers_tell_their_channels() -> None:
    assert sc.Session(nn.Linear(4, 2)).push(torch.ones(3, 4)).shape == (3, 2)
    assert sc.check_streaming(nn.ReLU(), channels=2).worst == 0


def test_inputs_of_another_batch_or_layout_are_refused() -> None:
    core = sc.Streamer(strided_stack())
    with pytest.raises(ValueError, match=r"expected an input of shape \(3, 'm \* block', 1\), got \(1, 6, 1\)"):
        core.step(torch.zeros(1, 6, 1).double(), core.init(3))
    with pytest.raises(ValueError, match=r"got \(1, 6\)"):
        core.step(torch.zeros(1, 6).double(), core.init(1))


def test_a_stream_has_the_type_of_its_layer() -> None:
    with pytest.raises(
        ValueError, match=r"the layer holds torch.float64, a stream of it cannot have dtype=torch.float32"
    ):
        sc.Streamer(strided_stack(), dtype=torch.float32)
