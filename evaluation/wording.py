"""How results are worded for people: numbers with about four digits, and text that is safe in a Markdown table."""

import html
import re


def as_number(value: float) -> str:
    """A value with about four digits: 0.5123, 12.35, 1,235, 1.2e-05."""
    size = abs(value)
    if size == 0 or size >= 1000:
        return f"{value:,.0f}"
    if size < 0.001:
        return f"{value:.1e}"
    return f"{value:.{3 if size < 10 else 2 if size < 100 else 1}f}"


def as_cell(text: str) -> str:
    """A text inside a Markdown table: one line, and no character that means something there."""
    line = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_{}\[\]|~])", r"\\\1", line)
