"""WaveNetStack against the paper's equations written out with torch's own convolutions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import speechconv as sc
from speechconv.layers import wavenet
from speechconv.layers.wavenet import DILATIONS, WaveNetStack
from tests.law import stream

# Tolerances are DESIGN's, relative to the largest expected value.
EXACT, FLOAT, HALF = 1e-12, 1e-5, 0.02

STACKS: dict[str, dict[str, Any]] = {
    "causal": {"dilations": (1, 2, 4), "stacks": 2},
    "causal, three taps": {"kernel_size": 3, "dilations": (1, 3), "skip_channels": 5},
    "causal, conditioned": {"dilations": (1, 2), "stacks": 2, "condition_channels": 3},
    "centred": {"kernel_size": 3, "dilations": (1, 2, 4), "stacks": 2, "causal": False},
    "centred, conditioned": {
        "kernel_size": 5,
        "dilations": (2, 1),
        "stacks": 2,
        "skip_channels": 7,
        "condition_channels": 2,
        "causal": False,
    },
    "centred, even taps": {"kernel_size": 4, "dilations": (1, 2, 3), "condition_channels": 1, "causal": False},
    "one layer": {"dilations": (3,)},
    "one centred layer": {"kernel_size": 3, "dilations": (3,), "condition_channels": 2, "causal": False},
}
each_stack = pytest.mark.parametrize("options", STACKS.values(), ids=STACKS.keys())


def paper(stack: WaveNetStack, x: Tensor) -> Tensor:
    """Equation 2 of the paper, filter by filter, channels second as torch has them; skips summed at the end."""
    weights = {name: weight.to(x.dtype) for name, weight in stack.state_dict().items()}
    c, k = stack.channels, stack.kernel_size
    h, x = x[..., c:].transpose(1, 2), x[..., :c].transpose(1, 2)
    skips = []
    for number, dilation in enumerate([*stack.dilations] * stack.stacks):
        own = {name: weights.get(f"layers.{number}.{name}") for name in ("dilated.weight", "condition.weight")}
        span = (k - 1) * dilation
        left = span if stack.causal else span // 2
        padded = F.pad(x, (left, span - left))
        gates = []
        for half, squash in ((slice(0, c), torch.tanh), (slice(c, 2 * c), torch.sigmoid)):
            w, b = own["dilated.weight"], weights[f"layers.{number}.dilated.bias"]
            assert w is not None
            a = F.conv1d(padded, w[half], b[half], dilation=dilation)
            if (v := own["condition.weight"]) is not None:
                a = a + torch.einsum("oc,bct->bot", v[half], h)
            gates.append(squash(a))
        mixed = torch.einsum("oc,bct->bot", weights[f"layers.{number}.mix.weight"], gates[0] * gates[1])
        mixed = mixed + weights[f"layers.{number}.mix.bias"][:, None]
        if number < stack.stacks * len(stack.dilations) - 1:
            x, mixed = x + mixed[:, :c], mixed[:, c:]
        skips.append(mixed)
    return torch.stack(skips).sum(0).transpose(1, 2)


def off(y: Tensor, expected: Tensor) -> float:
    """Largest difference, as a share of the largest expected value."""
    assert y.shape == expected.shape
    return float((y - expected).detach().abs().max() / expected.detach().abs().max())


@each_stack
@pytest.mark.parametrize("frames", [1, 4, 60])
def test_the_stack_is_the_papers_equation(options: dict[str, Any], frames: int) -> None:
    stack = WaveNetStack(4, **options).double()
    x = torch.randn(2, frames, stack.in_channels or 0, dtype=torch.float64)
    assert off(stack(x), paper(stack, x)) <= EXACT


@pytest.mark.parametrize("causal", [True, False])
def test_a_stack_of_real_size_keeps_float32_and_bfloat16_precision(causal: bool) -> None:
    stack = WaveNetStack(64, kernel_size=3, skip_channels=128, condition_channels=80, causal=causal)
    x = torch.randn(1, 1500, 144)
    expected = paper(stack, x.double())
    with torch.no_grad():
        assert off(stack(x).double(), expected) <= FLOAT
        y = stack.bfloat16()(x.bfloat16()).double()
    assert y.shape == expected.shape
    assert (y - expected).norm() <= HALF * expected.norm()


@each_stack
@pytest.mark.parametrize("behind", [False, True])
def test_tiles_give_the_same_numbers(options: dict[str, Any], behind: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With gradients the stack goes through at once; without, in tiles, rows of unequal length among them."""
    monkeypatch.setattr(wavenet, "TILE_FRAMES", 10)
    steps = 0
    step = WaveNetStack.step

    def counted(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        return step(*arguments)

    monkeypatch.setattr(WaveNetStack, "step", counted)
    stack = WaveNetStack(4, **options)
    conv = [sc.Conv1d(stack.in_channels or 0, stack.in_channels or 0, 3, padding="same")] if behind else []
    net = sc.Sequential(*conv, stack).double()
    x, lengths = torch.randn(3, 41, stack.in_channels or 0, dtype=torch.float64), torch.tensor([41, 0, 18])
    x[2, 18:] = torch.nan
    whole, _ = net(x, lengths)
    alone = net(x[:1])
    assert steps == 0
    with torch.no_grad():
        assert off(net(x, lengths)[0], whole) <= EXACT
        assert steps == -(-(41 + stack.geometry.lookahead) // 3)
        assert off(net(x[:1]), alone) <= EXACT


@each_stack
def test_live_equals_offline_each_frame_as_early_as_its_input_permits(options: dict[str, Any]) -> None:
    assert sc.check_streaming(WaveNetStack(4, **options)).worst <= EXACT


@each_stack
def test_the_law_holds_between_layers_that_stride_and_shift(options: dict[str, Any]) -> None:
    """Here frames before the first and behind the last are not zero but hold biases, so every conv must mask them."""
    stack = WaveNetStack(4, **options)
    before = sc.Conv1d(2, stack.in_channels or 0, 7, stride=2, padding=(1, 2))
    behind = sc.Conv1d(stack.out_channels or 0, 3, 4, stride=3, padding="same")
    assert sc.check_streaming(sc.Sequential(before, stack, nn.GELU(), behind)).worst <= EXACT
    inside = sc.Sequential(
        before, sc.Residual(sc.Sequential(stack, nn.Linear(stack.out_channels or 0, before.out_channels or 0)))
    )
    assert sc.check_streaming(inside).worst <= EXACT


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, FLOAT), (torch.bfloat16, HALF)])
def test_a_live_stack_of_real_size_equals_the_offline_one(dtype: torch.dtype, tolerance: float) -> None:
    stack = WaveNetStack(64, condition_channels=80).to(dtype)
    x = torch.randn(1300, 144).to(dtype)
    with torch.no_grad():
        expected = stack(x[None])[0].float()
    y = stream(sc.Session(stack), x, [0, 1, 2, 2, 700, 0, 595]).float()
    if dtype == torch.float32:
        assert off(y, expected) <= tolerance
    assert (y - expected).norm() <= tolerance * expected.norm()


@each_stack
def test_streams_of_any_age_share_a_batch(options: dict[str, Any]) -> None:
    """The second joins late, the third takes the row that the first leaves."""
    stack = WaveNetStack(4, **options).double()
    pool = sc.SessionPool(stack, max_sessions=2)
    rows = [torch.randn(n, stack.in_channels or 0, dtype=torch.float64) for n in (17, 40, 25)]
    given: dict[int, list[Tensor]] = {}

    def pump() -> None:
        for handle, frames in pool.pump().items():
            given.setdefault(handle, []).append(frames)

    first = pool.open()
    pool.push(first, rows[0][:6])
    pump()
    second = pool.open()
    pool.push(second, rows[1][:3])
    pool.push(first, rows[0][6:])
    pool.close(first)
    pump()
    third = pool.open()
    pool.push(third, rows[2][:1])
    pool.push(second, rows[1][3:])
    pump()
    pool.push(third, rows[2][1:])
    pool.close(second)
    pool.close(third)
    pump()
    for handle, x in zip((first, second, third), rows, strict=True):
        assert off(torch.cat(given[handle]), stack(x[None])[0]) <= EXACT


def test_the_conditioning_may_come_from_a_branch_that_looks_further_ahead() -> None:
    """One tensor holds both, so Parallel aligns them and the stack stays a layer like any other."""
    pair = sc.Parallel(sc.Conv1d(2, 4, 3, padding="causal"), sc.Conv1d(2, 3, 9, padding="same"), join="cat")
    stack = WaveNetStack(4, kernel_size=3, dilations=(1, 2), condition_channels=3, causal=False)
    net = sc.Sequential(pair, stack).double()
    x = torch.randn(1, 30, 2, dtype=torch.float64)
    assert off(net(x), paper(stack, torch.cat([branch(x) for branch in pair.children()], 2))) <= EXACT
    assert net.geometry.lookahead == 4 + 3
    assert sc.check_streaming(net).worst <= EXACT


@each_stack
def test_the_declared_receptive_field_is_that_of_the_jacobian(options: dict[str, Any]) -> None:
    stack = WaveNetStack(4, **options).double()
    g = stack.geometry
    layers = [*stack.dilations] * stack.stacks
    assert g.receptive_field == 1 + (stack.kernel_size - 1) * sum(layers)
    first, last = g.span(g.pad_left + 3)
    x = torch.randn(1, last + 10, stack.in_channels or 0, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(stack(x)[0, g.pad_left + 3].sum(), x)
    touched = gradient[0, :, : stack.channels].abs().sum(1).nonzero().flatten()
    assert (int(touched[0]), int(touched[-1])) == (first, last)


def test_an_odd_centred_stack_looks_as_far_ahead_as_back() -> None:
    g = WaveNetStack(4, kernel_size=3, dilations=(1, 2, 4), stacks=2, causal=False).geometry
    assert (g.pad_left, g.pad_right, g.lookahead) == (14, 14, 14)
    g = WaveNetStack(4, kernel_size=2, dilations=(1, 2, 5), causal=False).geometry
    assert (g.pad_left, g.pad_right) == (0 + 1 + 2, 1 + 1 + 3)


def test_the_default_is_the_papers_stack() -> None:
    stack = WaveNetStack(64)
    assert stack.dilations == DILATIONS == tuple(2**i for i in range(10))
    assert stack.geometry == sc.Geometry(receptive_field=1024, pad_left=1023)


@each_stack
def test_every_weight_learns(options: dict[str, Any]) -> None:
    stack = WaveNetStack(4, **options)
    stack(torch.randn(2, 40, stack.in_channels or 0)).square().sum().backward()
    for name, parameter in stack.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().min() > 0, name


@each_stack
def test_gradients_through_a_stream_equal_offline_gradients(options: dict[str, Any]) -> None:
    stack = WaveNetStack(4, **options).double()
    x = torch.randn(1, 33, stack.in_channels or 0, dtype=torch.float64, requires_grad=True)
    leaves = (x, *stack.parameters())
    probe = torch.randn(33, stack.out_channels or 0, dtype=torch.float64)
    offline = torch.autograd.grad((stack(x)[0] * probe).sum(), leaves)

    core = sc.Streamer(stack)
    state = core.end(core.init(1), 0, 33)
    frames = []
    for chunk in F.pad(x, (0, 0, 0, core.delay)).split(5, 1):
        y, first, valid, state = core.step(chunk, state)
        frames.append(y[0, int(first) : int(first + valid)])
    live = torch.autograd.grad((torch.cat(frames) * probe).sum(), leaves)
    for gradient, expected in zip(live, offline, strict=True):
        assert off(gradient, expected) <= 1e-11  # sums of 33 frames in another order


@each_stack
def test_a_batch_padded_with_nan_equals_its_rows_and_so_do_weight_gradients(options: dict[str, Any]) -> None:
    stack = WaveNetStack(4, **options).double()
    lengths = [23, 0, 7, 40]
    rows = [torch.randn(n, stack.in_channels or 0, dtype=torch.float64) for n in lengths]
    batch = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=torch.nan)
    y, frames = stack(batch, torch.tensor(lengths))
    y.square().sum().backward()
    together = [p.grad.clone() for p in stack.parameters() if p.grad is not None]
    stack.zero_grad()

    assert frames.tolist() == lengths
    for i, row in enumerate(rows):
        alone = stack(row[None])[0]
        alone.square().sum().backward()
        assert not y[i, len(row) :].any()
        if len(row):
            assert off(y[i, : len(row)], alone) <= EXACT
    for parameter, gradient in zip(stack.parameters(), together, strict=True):
        assert parameter.grad is not None
        assert off(gradient, parameter.grad) <= 1e-11  # sums of 70 frames in another order


def test_a_stream_remembers_what_the_convolutions_will_read_again_and_no_more() -> None:
    causal = sc.Streamer(WaveNetStack(64, condition_channels=80))
    shapes = {memory.name: memory.shape for memory in causal.state_spec}
    assert shapes == {f"layers.{i}.dilated.history": (2**i, 64) for i in range(10)}

    centred = sc.Streamer(WaveNetStack(4, kernel_size=3, dilations=(1, 2), condition_channels=3, causal=False))
    shapes = {memory.name: memory.shape for memory in centred.state_spec}
    assert shapes == {
        "layers.0.residual": (1, 4),
        "layers.0.condition": (1, 3),
        "layers.1.skips": (2, 4),
        "layers.1.condition": (2, 3),
        "layers.0.dilated.history": (2, 4),
        "layers.1.dilated.history": (4, 4),
    }


KEYWORDS: dict[str, Any] = {
    "kernel_size": 3,
    "dilations": [1, 2],
    "stacks": 2,
    "skip_channels": 6,
    "condition_channels": 1,
    "causal": False,
}


def test_keywords_are_kept_as_they_were_given_with_tuples_for_lists() -> None:
    stack = WaveNetStack(4, **KEYWORDS)
    assert {name: getattr(stack, name) for name in KEYWORDS} == KEYWORDS | {"dilations": (1, 2)}
    assert WaveNetStack(4).skip_channels is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, r"channels \(=0\) must be an integer >= 1"),
        ({"kernel_size": 1}, r"kernel_size \(=1\) must be an integer >= 2"),
        ({"dilations": ()}, r"dilations \(=\(\)\) must be a tuple of integers >= 1, one for each layer"),
        ({"dilations": 4}, r"dilations \(=4\) must be a tuple"),
        ({"dilations": (1, 0)}, r"dilations\[1\] \(=0\) must be an integer >= 1"),
        ({"stacks": 0}, r"stacks \(=0\)"),
        ({"skip_channels": 0}, r"skip_channels \(=0\)"),
        ({"condition_channels": -1}, r"condition_channels \(=-1\) must be an integer >= 0"),
        ({"causal": "no"}, r"causal \(='no'\) must be True or False"),
    ],
)
def test_impossible_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"channels": 4, **options}
    with pytest.raises(ValueError, match=message):
        WaveNetStack(**arguments)


def test_an_input_without_its_conditioning_is_refused() -> None:
    with pytest.raises(ValueError, match=r"WaveNetStack expected \(batch, frames, 7\), got \(1, 5, 4\)"):
        WaveNetStack(4, condition_channels=3)(torch.zeros(1, 5, 4))
