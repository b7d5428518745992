"""What calls on a cluster are told, and what they do.

    OUT/.speechconv-order-HEX.tmp      the pickled recipe, and the facts that it came to

A pipeline may be large, and what a cluster has in hand cannot be taken back. So the recipe lies in a file of the output
folder, which is the same on all machines; each process builds the pipeline once, and looks before each input whether
the file is still there. It goes when the run ends, or the next one in that folder begins: then nothing is begun.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechconv.extraction.in_hand import InHand
from speechconv.extraction.recipe import Facts, Recipe
from speechconv.extraction.supervisor import DEATHS
from speechconv.extraction.task import Task
from speechconv.stores.feature_file import SUFFIX, remove_temporaries
from speechconv.stores.ids import TEMPORARY
from speechconv.stores.manifest import ErrorLine, Line

if TYPE_CHECKING:
    from speechconv.extraction.worker import Extractor


@dataclass(frozen=True)
class Order:
    """The file that says what to do, and that it is still wanted.

    Args:
        path: of the file.
        sha256: of its content: nothing else is unpickled.
    """

    path: Path
    sha256: str

    @property
    def holds(self) -> bool:
        """Whether the run goes on."""
        return os.path.exists(self.path)

    def mark(self, packed: bytes) -> Path:
        """Where a call with these tasks tells what it has in hand."""
        number = hashlib.sha256(self.sha256.encode() + packed).hexdigest()[:16]
        return self.path.with_name(f"{TEMPORARY}hand-{number}{SUFFIX}")

    def withdraw(self) -> None:
        """Have nothing begun any more."""
        self.path.unlink(missing_ok=True)


class Hand:
    """What a process, or a thread, of a cluster keeps between two calls.

    Args:
        order: what to do.

    Raises:
        FileNotFoundError: the order does not hold, or its folder is not the same here.
        RuntimeError: the pipeline cannot be made here, or is another one here.
    """

    def __init__(self, order: Order) -> None:
        from speechconv.extraction.worker import Extractor

        packed = order.path.read_bytes()
        if hashlib.sha256(packed).hexdigest() != order.sha256:
            raise RuntimeError(f"{order.path} is not what the run wrote; start it again.")
        self.order = order
        try:
            recipe, facts = pickle.loads(packed)
            with _one_torch_thread():
                self._extractor: Extractor = Extractor(pickle.loads(recipe))
        except Exception as error:
            raise RuntimeError(
                f"a worker on {os.uname().nodename} cannot make the pipeline: {type(error).__name__}: {error}"
            ) from error
        _check_same(facts, self._extractor.facts)

    def __call__(self, packed: bytes) -> list[tuple[int, Line]]:
        """(index, line) of each task; those that were not begun when the order went have none.

        Where this is a repeat, because a process died with a task in hand, that task comes last, and is given up when
        DEATHS of them have.

        Raises:
            OSError: the disk is full.
        """
        tasks: list[Task] = pickle.loads(packed)
        with InHand(self.order.mark(packed)) as in_hand, _one_torch_thread():
            given_up = [task for task in tasks if in_hand.deaths[task.index] >= DEATHS]
            rest = sorted((task for task in tasks if task not in given_up), key=lambda task: in_hand.deaths[task.index])
            lines: list[tuple[int, Line]] = [(task.index, lost_line(task)) for task in given_up]
            return lines + list(self._extractor.lines(self._wanted(rest, in_hand)))

    def _wanted(self, tasks: Sequence[Task], in_hand: InHand) -> Iterator[Task | None]:
        for task in tasks:
            if not self.order.holds:
                return
            in_hand.begin(task.index)
            yield task
            if in_hand.deaths:
                yield None  # each by itself, so that the next death has one cause


_own = threading.local()
"""Each thread's hand: threads share a process's memory, not the state of a stream."""


def work_through(order: Order, packed: bytes) -> list[tuple[int, Line]]:
    """(index, line) of each task that was begun, in whatever process or thread this is.

    Raises:
        OSError: the disk is full.
        RuntimeError: see `Hand`.
    """
    hand: Hand | None = getattr(_own, "hand", None)
    if hand is None or hand.order != order:
        try:
            hand = _own.hand = Hand(order)
        except FileNotFoundError:
            return []
    return hand(packed)


def facts_of(packed: bytes) -> Facts:
    """What a packed recipe comes to, here.

    Raises:
        ValueError, TypeError, FileNotFoundError: it cannot be made.
    """
    from speechconv.extraction.worker import Extractor

    with _one_torch_thread():
        return Extractor(pickle.loads(packed)).facts


@contextlib.contextmanager
def placed(recipe: Recipe, packed: bytes, facts: Facts) -> Iterator[Order]:
    """The order while a run goes on; what killed workers were writing goes with it."""
    folder = recipe.folder
    content = pickle.dumps((packed, facts))
    order = Order(folder / f"{TEMPORARY}order-{uuid.uuid4().hex[:8]}{SUFFIX}", hashlib.sha256(content).hexdigest())
    half = order.path.with_suffix(f".half{SUFFIX}")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        half.write_bytes(content)
        os.replace(half, order.path)
        yield order
    finally:
        order.withdraw()
        remove_temporaries(folder)


def anywhere(recipe: Recipe) -> Recipe:
    """The same recipe for a process that works in another folder."""
    pipeline = recipe.pipeline
    if isinstance(pipeline, str | os.PathLike) and Path(pipeline).suffix:  # a preset's name has none
        pipeline = os.path.abspath(pipeline)
    cmvn = None if recipe.cmvn is None else recipe.cmvn.absolute()
    return replace(recipe, folder=recipe.folder.absolute(), pipeline=pipeline, cmvn=cmvn)


def pack_recipe(recipe: Recipe, dumps: Callable[[Any], bytes]) -> bytes:
    """The recipe as bytes.

    Raises:
        TypeError: a pipeline that cannot be sent to another process.
    """
    try:
        return dumps(recipe)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"the pipeline cannot be sent to workers ({error}); define its layers in a module that they can import."
        ) from error


def pack_tasks(tasks: Sequence[Task]) -> bytes:
    """Tasks as bytes, for a process that works in another folder."""
    return pickle.dumps([Task(task.index, _absolute(task), task.deaths) for task in tasks])


def as_found(task: Task, line: Line) -> Line:
    """A line from elsewhere with the input's own name of its sound."""
    return line if line.audio == task.item.audio else replace(line, audio=task.item.audio)


def lost_line(task: Task) -> ErrorLine:
    """What becomes of an input that takes workers down."""
    message = f"the worker process died while it worked on this input, {DEATHS} times; the others went on."
    return ErrorLine(task.item.id, task.item.audio, "worker", "ChildProcessError", message)


def _absolute(task: Task) -> Any:
    item = task.item
    return item if item.is_command or os.path.isabs(item.audio) else replace(item, audio=os.path.abspath(item.audio))


def _check_same(ours: Facts, theirs: Facts) -> None:
    """Features of one run are of one recipe, on whatever machine."""
    names = [name for name in ours.ingredients if ours.ingredients[name] != theirs.ingredients.get(name)]
    if names:
        words = ", ".join(f"{name}: {ours.ingredients[name]!r} and {theirs.ingredients.get(name)!r}" for name in names)
        raise RuntimeError(
            f"workers differ in what they make of the recipe ({words[:300]}); name the device (device='cpu' or 'cuda') "
            "and give them all the same files."
        )


def _one_torch_thread() -> contextlib.AbstractContextManager[None]:
    from speechconv.extraction.pipelines import one_torch_thread

    return one_torch_thread()
