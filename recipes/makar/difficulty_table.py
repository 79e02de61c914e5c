"""The table of a split: what became of the rows, those with a box and those without."""

from rich.console import Console
from rich.table import Table

from setaria.datasets_builders.mner.difficulty import FATES, Difficulty


def print_difficulty(found: Difficulty, title: str) -> None:
    """Print the counts."""
    table = Table("", title=title)
    for fate in FATES:
        table.add_column(fate, justify="right")
    for kind, counts in found.counts.items():
        table.add_row(kind, *(str(counts[fate]) for fate in FATES))
    Console().print(table)
