"""A finding of `setaria check`: what is wrong with data or a recipe, how much of it, where, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass


SEVERITIES = ("error", "warning", "info")
ROWS_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One line of a report.

    Attributes:
        check: short name of the check.
        severity: `error` (training on it is wrong), `warning` (probably not what is wanted) or `info`.
        message: what was found.
        remedy: what to do about it, in one line; empty where nothing is to be done.
        count: number of rows concerned, None where the finding is not about rows.
        share: `count` over the rows checked.
        rows: indices of the first rows concerned.
    """

    check: str
    severity: str
    message: str
    remedy: str
    count: int | None = None
    share: float | None = None
    rows: tuple[int, ...] = ()

    @classmethod
    def of_rows(
        cls, check: str, severity: str, message: str, remedy: str, rows: Sequence[int], total: int
    ) -> list["Finding"]:
        """The finding that `rows` out of `total` have this problem, as a list that is empty if none has."""
        if not rows:
            return []
        return [cls(check, severity, message, remedy, len(rows), len(rows) / total, tuple(rows[:ROWS_SHOWN]))]
