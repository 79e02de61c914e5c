"""The table of what was built: rows per role, and how the Judger's answers are balanced."""

from collections import Counter

from datasets import Dataset
from rich.console import Console
from rich.table import Table

from setaria.datasets_builders.gui.rows import NO, YES


def count_rows(rows: Dataset) -> dict[str, Counter[str]]:
    """Per role, how many rows there are (`rows`) and, for the Judger, how many of each answer."""
    counts: dict[str, Counter[str]] = {}
    for row in rows.select_columns(["role", "completion"]):
        of_role = counts.setdefault(row["role"], Counter())
        of_role["rows"] += 1
        if row["role"] == "judger":
            of_role[row["completion"][-1]["content"][0]["text"]] += 1
    return counts


def print_rows(rows: Dataset, title: str) -> None:
    """Print the counts."""
    table = Table(title=title)
    table.add_column("role")
    for column in ("rows", YES, NO):
        table.add_column(column, justify="right")
    for role, counts in sorted(count_rows(rows).items()):
        answers = [str(counts[answer]) if role == "judger" else "" for answer in (YES, NO)]
        table.add_row(role, str(counts["rows"]), *answers)
    Console().print(table)
