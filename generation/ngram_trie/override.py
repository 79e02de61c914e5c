"""Replace methods of one object for a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def override(instance: object, **methods: Callable) -> Iterator[None]:
    """Set `methods` on `instance`, and afterwards what it had before, also after an exception."""
    outer = {name: vars(instance)[name] for name in methods if name in vars(instance)}
    vars(instance).update(methods)
    try:
        yield
    finally:
        for name in methods:
            del vars(instance)[name]
        vars(instance).update(outer)
