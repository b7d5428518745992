"""Modules on meta tensors: what cannot be copied or run there is told with its cause."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

import speechconv as sc


def test_training_that_meta_tensors_cannot_tell_is_said() -> None:
    """A batch norm behind Linear takes no variance of a batch of 1."""
    sheet = sc.describe(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), (4,))
    assert sheet.total.training_bytes is None
    last = str(sheet).splitlines()[-1]
    assert last.startswith("training memory not told: ValueError: Expected more than 1 value per channel")


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")  # what is tested
def test_weight_norm_of_old_is_described() -> None:
    """It keeps the normed weight as a plain attribute, which no copy of a module takes along."""
    conv = nn.utils.weight_norm(nn.Conv1d(4, 6, 3))
    sheet = sc.describe(nn.Sequential(conv, nn.ReLU()), (4, 9))
    assert (sheet.total.multiply_adds, sheet.unknown) == (7 * 6 * 4 * 3, ())
    assert sheet.total.training_bytes is not None


class Wordless(nn.Module):
    """Gives up in training, or in inference, without a message."""

    def __init__(self, *, training: bool) -> None:
        super().__init__()
        self.refused, self.inner = training, nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        if self.training == self.refused:
            raise NotImplementedError
        return self.inner(x)


def test_an_error_without_a_message_is_told_by_its_kind() -> None:
    sheet = sc.describe(Wordless(training=True), (4,))
    assert sheet.training_obstacle == "NotImplementedError"
    assert str(sheet).splitlines()[-1] == "training memory not told: NotImplementedError"
    message = r"^Wordless does not run on a meta tensor of shape \(1, 4\): NotImplementedError$"
    with pytest.raises(ValueError, match=message):
        sc.describe(Wordless(training=False), (4,))


def test_a_module_that_cannot_be_copied_is_refused_with_the_cause() -> None:
    class Stubborn(nn.ReLU):
        def __deepcopy__(self, memo: object) -> nn.Module:
            raise RuntimeError("there is only one of me")

    message = r"^Stubborn does not run on a meta tensor of shape \(1, 4\): RuntimeError: there is only one of me$"
    with pytest.raises(ValueError, match=message):
        sc.describe(Stubborn(), (4,))
