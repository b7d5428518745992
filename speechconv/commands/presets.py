"""`speechconv presets`: the ready-made pipelines."""

from __future__ import annotations

import argparse
from typing import Any

from speechconv.commands.options import add_command
from speechconv.commands.output import print_result
from speechconv.commands.status import OK
from speechconv.presets import preset_names


def add(commands: Any) -> None:
    command = add_command(commands, "presets", run, "list the ready-made pipelines", "speechconv presets")
    command.description = "Every ready-made pipeline with one line about it; --pipeline takes its name."


def run(_: argparse.Namespace) -> int:
    presets = preset_names()
    width = max(map(len, presets))
    print_result("".join(f"{name:<{width}}  {description}\n" for name, description in presets.items()))
    return OK
