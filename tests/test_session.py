"""Session and SessionPool: any chunks, close, reset, snapshot, slots that are used again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule
from torch import Tensor, nn

import speechconv as sc
from speechconv.session import Handle
from tests.law import signal, stream
from tests.stacks import Kind, spectral_stack, stack
from tests.traffic import Traffic
from tests.weights import fill

NET = sc.Sequential(
    sc.Conv1d(1, 4, 5, stride=3, padding=(1, 2)),
    nn.ReLU(),
    sc.Parallel(sc.Conv1d(4, 4, 7, stride=2, padding="same"), sc.Conv1d(4, 4, 4, stride=2, padding=(3, 0))),
)
fill(NET, exact=True, seed=6)
NET.double().eval()


def offline(x: Tensor) -> Tensor:
    with torch.no_grad():
        return NET(x[None])[0]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_streams_shorter_than_the_receptive_field_give_what_offline_gives(count: int) -> None:
    x = signal(NET, count, exact=True)
    assert torch.equal(stream(sc.Session(NET), x, [1] * count), offline(x))


def test_a_stream_too_short_for_one_frame_gives_none() -> None:
    session = sc.Session(sc.ConvSTFT(400, center=False, output="power"))
    assert session.push(torch.zeros(399)).shape == session.close().shape == (0, 201)


def test_empty_chunks_give_no_frames_of_the_right_width_and_type() -> None:
    session = sc.Session(NET)
    assert session.push(torch.zeros(0, 1)).shape == (0, 4)
    assert session.push(np.zeros((0, 1))).dtype == torch.float64
    assert sc.Session(sc.ConvSTFT(8)).push(torch.zeros(0)).dtype == torch.complex64


def test_closing_feeds_no_block_that_no_frame_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    session = sc.Session(NET, max_blocks=1)
    fed = []
    step = session.core.step
    monkeypatch.setattr(session.core, "step", lambda x, state: fed.append(x) or step(x, state))
    stream(session, signal(NET, 50, exact=True), [50])
    assert len(fed) == session.num_frames + session.core.delay


def test_a_second_close_gives_no_frames_and_push_after_close_is_refused() -> None:
    session = sc.Session(NET)
    session.push(signal(NET, 20, exact=True))
    assert len(session.close())
    assert session.close().shape == (0, 4)
    assert session.closed
    with pytest.raises(ValueError, match="this stream is closed; reset the session, or open another stream"):
        session.push(torch.zeros(1, 1))


def test_a_reset_session_is_as_new() -> None:
    x = signal(NET, 50, exact=True)
    session = sc.Session(NET)
    stream(session, signal(NET, 33, exact=True, seed=9), [30, 3])
    session.reset()
    assert (session.num_samples, session.num_frames, session.closed) == (0, 0, False)
    assert torch.equal(stream(session, x, [17, 33]), offline(x))


def test_a_snapshot_forks_a_stream_any_number_of_times() -> None:
    head, a, b = (signal(NET, n, exact=True, seed=n) for n in (23, 31, 40))
    session = sc.Session(NET)
    start = session.push(head)
    snapshot = session.snapshot()
    for tail in (a, b, a):
        session.restore(snapshot)
        assert session.num_samples == 23
        got = torch.cat([start, *(session.push(chunk) for chunk in tail.split(7)), session.close()])
        assert torch.equal(got, offline(torch.cat((head, tail))))


def test_a_snapshot_of_a_closed_stream_is_closed() -> None:
    session = sc.Session(NET)
    session.push(signal(NET, 9, exact=True))
    opened = session.snapshot()
    session.close()
    closed = session.snapshot()
    session.restore(opened)
    assert not session.closed
    session.restore(closed)
    assert session.closed


@pytest.mark.parametrize(("dtype", "scale"), [(np.int16, 2.0**15), (np.int32, 2.0**31)])
def test_integer_samples_are_scaled_to_one(dtype: type, scale: float) -> None:
    samples = np.array([-(2**15), 0, 1, 2**15 - 1] * 50).astype(dtype)
    stft = sc.ConvSTFT(16, hop_length=4, output="power").double()
    expected = stft(torch.tensor(samples / scale)[None])[0]
    for chunk in (samples, torch.from_numpy(samples)):
        session = sc.Session(stft)
        torch.testing.assert_close(torch.cat((session.push(chunk), session.close())), expected)


def test_bytes_of_a_sound_card_enter_as_they_are() -> None:
    """numpy.frombuffer gives read-only arrays; big-endian ones come from AIFF and the network."""
    samples = (1000 * np.random.default_rng(0).standard_normal(300)).astype(np.int16)
    stft = sc.ConvSTFT(16, hop_length=4, output="power")
    expected = stft(torch.tensor(samples / 2.0**15, dtype=torch.float32)[None])[0]
    floats = (samples / 2.0**15).astype(np.float32)
    for encoded, kind in (
        (samples.tobytes(), "<i2"),
        (samples.astype(">i2").tobytes(), ">i2"),
        (floats.tobytes(), "<f4"),
    ):
        session = sc.Session(stft)
        assert torch.equal(torch.cat((session.push(np.frombuffer(encoded, kind)), session.close())), expected)


def test_float64_chunks_enter_a_float32_stream() -> None:
    x = np.random.default_rng(0).standard_normal(300)
    stft = sc.ConvSTFT(16, hop_length=4, output="power")
    session = sc.Session(stft)
    got = torch.cat((session.push(x[:100]), session.push(x[100:]), session.close()))
    assert torch.equal(got, stft(torch.tensor(x, dtype=torch.float32)[None])[0])


@pytest.mark.parametrize(
    ("chunk", "kind", "message"),
    [
        (np.zeros(4, np.uint8), TypeError, "expected floating, int16 or int32 samples, got torch.uint8"),
        (torch.zeros(4, dtype=torch.int64), TypeError, "got torch.int64; scale other integers"),
        (torch.zeros(1, 4), ValueError, r"expected a chunk of shape \(samples,\), got \(1, 4\)"),
    ],
)
def test_chunks_of_another_kind_are_refused(chunk: Tensor, kind: type[Exception], message: str) -> None:
    session = sc.Session(sc.ConvSTFT(8))
    with pytest.raises(kind, match=message):
        session.push(chunk)
    assert session.num_samples == 0


def test_frame_layers_take_frames_of_their_channels_only() -> None:
    with pytest.raises(ValueError, match=r"expected a chunk of shape \(n, 1\), got \(5, 2\)"):
        sc.Session(NET).push(torch.zeros(5, 2).double())


def test_sessions_keep_no_graph() -> None:
    assert not sc.Session(NET).push(signal(NET, 60, exact=True)).requires_grad


def test_a_reflecting_session_keeps_no_graph_of_what_is_pushed() -> None:
    session = sc.Session(sc.ConvSTFT(8, hop_length=4, pad_mode="reflect", output="power"))
    for _ in range(3):
        session.push(torch.zeros(5, requires_grad=True))
    assert not session._inlet._ends.requires_grad


def test_reversed_arrays_enter_as_they_are() -> None:
    session = sc.Session(NET)
    x = np.arange(30.0)[:, None]
    assert torch.equal(stream(session, torch.from_numpy(x[::-1].copy()), [30]), _pushed(sc.Session(NET), x[::-1]))


def _pushed(session: sc.Session, x: np.ndarray) -> Tensor:
    return torch.cat((session.push(x), session.close()))


def test_a_snapshot_of_another_session_is_refused() -> None:
    with pytest.raises(ValueError, match="this snapshot is of another session"):
        sc.Session(NET).restore(sc.Session(NET).snapshot())


def test_max_blocks_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"max_blocks \(=0\) must be >= 1"):
        sc.Session(NET, max_blocks=0)


def test_a_full_pool_refuses_another_stream() -> None:
    pool = sc.SessionPool(NET, max_sessions=1)
    handle = pool.open()
    with pytest.raises(ValueError, match=r"the pool is full \(max_sessions=1\); close and pump"):
        pool.open()
    pool.close(handle)
    pool.pump()
    assert len(pool) == 0
    pool.open()


def test_pump_leaves_out_streams_without_frames_and_frees_closed_ones() -> None:
    pool = sc.SessionPool(NET, max_sessions=3)
    quiet, talking, ending = pool.open(), pool.open(), pool.open()
    pool.push(talking, signal(NET, 60, exact=True))
    pool.push(ending, signal(NET, 5, exact=True))
    pool.close(ending)
    pool.close(ending)
    assert set(pool.pump()) == {talking, ending}
    assert pool.pump() == {}
    assert len(pool) == 2
    pool.push(quiet, torch.zeros(1, 1).double())
    with pytest.raises(ValueError, match="no stream has the handle"):
        pool.push(ending, torch.zeros(1, 1).double())
    pool.close(quiet)
    with pytest.raises(ValueError, match="this stream is closed"):
        pool.push(quiet, torch.zeros(1, 1).double())


def test_a_pool_needs_a_row() -> None:
    with pytest.raises(ValueError, match=r"max_sessions \(=0\) must be >= 1"):
        sc.SessionPool(NET, max_sessions=0)


FORGETFUL = sc.Sequential(
    sc.Conv1d(1, 4, 5, stride=3, padding=(1, 2)),
    sc.CumulativeNorm(4),
    sc.WaveNetStack(4, kernel_size=3, dilations=(1, 2), causal=False),
    sc.Residual(sc.ConformerConvModule(4, kernel_size=5)),
)
fill(FORGETFUL, exact=False, seed=7)
FORGETFUL.double().eval()


@pytest.mark.parametrize("net", [NET, FORGETFUL], ids=["exact", "with statistics and skips"])
def test_nan_stays_in_its_stream_and_leaves_with_it(net: sc.Sequential) -> None:
    """Two rows: a neighbour lives beside NaN, then beside the free row that still holds it; then comes a new user."""
    traffic = Traffic(net)
    traffic.pool = sc.SessionPool(net, max_sessions=2)
    neighbour, former = traffic.open(), traffic.open()
    for seed in range(3):
        traffic.push(neighbour, signal(net, 20 + seed, exact=True, seed=seed))
        traffic.push(former, torch.full((31,), torch.nan).double()[:, None])
        traffic.pump()
    traffic.close(former)
    assert any(memory[1].isnan().any() for memory in traffic.pool._state.memories)
    traffic.push(neighbour, signal(net, 40, exact=True, seed=3))
    traffic.pump()  # all open streams step: the free row steps with them
    successor = traffic.open()
    traffic.push(successor, signal(net, 50, exact=True, seed=4))
    traffic.pump()
    traffic.push(neighbour, signal(net, 30, exact=True, seed=5))
    traffic.close(successor)
    traffic.close(neighbour)
    assert traffic.judged == 2


class PoolMachine(RuleBasedStateMachine):
    """Random open, push, pump, close and slot reuse: whatever happens, each stream gives its offline answer."""

    handles = Bundle("handles")

    @initialize(net=st.one_of(stack(Kind(exact=True)), spectral_stack(Kind(exact=False))), seed=st.integers(0, 99))
    def make(self, net: sc.Sequential, seed: int) -> None:
        self.traffic, self.seed = Traffic(net), seed

    @rule(target=handles)
    def open(self) -> Handle | None:
        if not self.traffic.full:
            return self.traffic.open()
        with pytest.raises(ValueError, match="the pool is full"):
            self.traffic.pool.open()
        return None

    @rule(handle=handles, count=st.integers(0, 200))
    def push(self, handle: Handle | None, count: int) -> None:
        if handle is not None and handle in self.traffic.sent:
            net, sent = self.traffic.net, self.traffic.sent[handle]
            self.traffic.push(handle, signal(net, count, exact=True, seed=self.seed + len(sent)))

    @rule()
    def pump(self) -> None:
        self.traffic.pump()

    @rule(handle=consumes(handles))
    def close(self, handle: Handle | None) -> None:
        if handle is not None and handle in self.traffic.sent:
            self.traffic.close(handle)

    def teardown(self) -> None:
        if hasattr(self, "traffic"):  # a run may end before it has begun
            for handle in list(self.traffic.sent):
                self.traffic.close(handle)


PoolMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=20)
test_a_pool_with_random_traffic_equals_offline_for_each_stream = PoolMachine.TestCase
