"""PNG pictures of matrices; Pillow, which Matplotlib brings, reads them."""

from __future__ import annotations

import base64
import io

import matplotlib
import numpy as np
import torch
from PIL import Image

from speechconv.pages.png import png_data_uri


def test_pillow_reads_the_colours_that_matplotlib_gives_each_value() -> None:
    matrix = torch.rand(7, 300, dtype=torch.float64) * 60 - 60
    picture = Image.open(io.BytesIO(base64.b64decode(png_data_uri(matrix, -60.0, 0.0).split(",")[1])))
    index = np.round((matrix.numpy() + 60) / 60 * 255).astype(int)
    expected = matplotlib.colormaps["magma"](index, bytes=True)[..., :3]
    np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), expected)


def test_values_beyond_the_scale_take_its_ends() -> None:
    inside, beyond = torch.tensor([[0.0, 1.0]]), torch.tensor([[-5.0, 9.0]])
    assert png_data_uri(beyond, 0.0, 1.0) == png_data_uri(inside, 0.0, 1.0)
