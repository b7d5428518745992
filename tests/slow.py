"""Tests that only `make slow` runs; a skip says so."""

from __future__ import annotations

import os

import pytest

only_slow = pytest.mark.skipif("SPEECHCONV_SLOW" not in os.environ, reason="takes minutes or a training; see make slow")
only_chaos = pytest.mark.skipif("SPEECHCONV_CHAOS" not in os.environ, reason="kills workers for long; see make slow")
