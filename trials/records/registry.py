"""How a name becomes a thing: a registry is a dict of parts, loaded when picked. Standard library
only.
"""

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a registry.

    target is "module:name", imported by load() and not before, so that reading a registry loads no
    torch; or the function itself. tuned names the hyperparameters a search varies besides the
    learning rate; about is one line for `segbench ls`.
    """

    target: str | Callable[..., Any]
    tuned: tuple[str, ...] = ()
    about: str = ""

    def load(self) -> Callable[..., Any]:
        """Import and return the function this part names. Raises ValueError where it names none."""
        if callable(self.target):
            return self.target
        module, _, name = str(self.target).partition(":")
        try:
            found = getattr(importlib.import_module(module), name)
        except Exception as error:  # a user's own module runs here, and raises what it likes
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(
                f"target {self.target!r} names no function ({reason}); write 'module:function'"
            ) from error
        if not callable(found):
            raise ValueError(
                f"target {self.target!r} must name a function, not {found!r}; write "
                "'module:function'"
            )
        return found


P = TypeVar("P", bound=Entry)


def pick(registry: Mapping[str, P], kind: str, name: str) -> P:
    """Return the part of that name; kind is the word for it in the error ("loss"). Raises
    ValueError.
    """
    if name in registry:
        return registry[name]
    raise ValueError(unknown(kind, name, registry))


def unknown(kind: str, name: object, known: Iterable[object]) -> str:
    """Say that a name is not known, what was probably meant, and what is known."""
    known = sorted(map(str, known))
    close = difflib.get_close_matches(str(name), known, 1, 0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"unknown {kind} {name!r}; {hint}known: {', '.join(known)}"
