"""How a name becomes a thing: a registry is a dict of parts, loaded when picked. Standard library only."""

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar


@dataclass(frozen=True, slots=True)
class Part:
    """One entry of a registry.

    target is "module:name", imported by load() and not before, so that reading a registry loads no torch;
    or the function itself. tuned names the hyperparameters a search varies besides the learning rate;
    about is one line for `segbench ls`.
    """

    target: str | Callable[..., Any]
    tuned: tuple[str, ...] = ()
    about: str = ""

    def load(self) -> Callable[..., Any]:
        """Import and return the function this part names."""
        if callable(self.target):
            return self.target
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)


P = TypeVar("P", bound=Part)


def pick(registry: Mapping[str, P], kind: str, name: str) -> P:
    """Return the part of that name; kind is the word for it in the error ("loss"). Raises ValueError."""
    if name in registry:
        return registry[name]
    raise ValueError(unknown(kind, name, registry))


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is not known, what was probably meant, and what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"unknown {kind} {name!r}; {hint}known: {', '.join(known)}"
