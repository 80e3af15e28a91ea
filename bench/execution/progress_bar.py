"""The progress bar of every command that reads many cases."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Tick(Protocol):
    """Counts one more case as done, or sets the number done and the total."""

    def __call__(self, done: int | None = None, total: int | None = None) -> None: ...


@contextmanager
def progress_bar(doing: str, total: int, console: Console | None = None) -> Iterator[Tick]:
    """Show a description, a bar and the remaining time while the block runs; nothing if the
    console, by default standard error, is not a terminal.
    """
    console = console or Console(stderr=True, markup=False, emoji=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        task = bars.add_task(doing, total=total)

        def tick(done: int | None = None, total: int | None = None) -> None:
            if done is None:
                bars.advance(task)
            else:
                bars.update(task, completed=done, total=total)

        yield tick
