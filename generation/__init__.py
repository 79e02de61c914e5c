"""Evaluation-time generation hooks: context managers and caches around `generate`, without training code.

Imported at once, not on demand: `xquant` names a folder here and the context manager in it, and the latter is meant.
"""

from setaria.generation.xquant import XQuantCache, XQuantConfig, xquant


__all__ = ["XQuantCache", "XQuantConfig", "xquant"]
