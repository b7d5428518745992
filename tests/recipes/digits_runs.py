"""Runs of recipes/digits_ctc that were never trained, for what reads metrics."""

from __future__ import annotations

from pathlib import Path

from recipes.ctc.run_folder import RunFolder


def write_metrics(run: Path, errors: list[int]) -> None:
    words = [4] * len(errors)
    wer = {"value": sum(errors) / sum(words)}
    figures = {"isolated_accuracy": 0.5, "live_differs_in": 1, "lookahead_samples": 800, "real_time_factor": 0.01}
    counts = {"parameters": {"front": 3, "all": 1234}}
    RunFolder(run).write(
        "metrics.json", {"connected": {"errors": errors, "words": words}, "wer": wer} | figures | counts
    )
