"""Preference data for TRL: any published layout becomes the columns `prompt`, `chosen`, `rejected`.

Images, `tools` and `chat_template_kwargs` stay where the source has them; every other column goes. What was a
conversation stays one, as messages: the trainer applies the chat template. The layouts are those of
`preference_layouts`.
"""

import logging
from pathlib import Path
from typing import TypeVar

from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict, load_from_disk

from setaria.datasets_builders.preference_layouts import MAPPERS, detect_layout, is_tie


PAIR_COLUMNS = ("prompt", "chosen", "rejected")
OTHER_COLUMNS = ("image", "images", "tools", "chat_template_kwargs")  # that TRL's preference trainers read
READERS = {
    ".json": Dataset.from_json,
    ".jsonl": Dataset.from_json,
    ".parquet": Dataset.from_parquet,
    ".csv": Dataset.from_csv,
}

AnyDataset = TypeVar("AnyDataset", Dataset, DatasetDict, IterableDataset, IterableDatasetDict)

logger = logging.getLogger(__name__)


def to_preference(dataset: AnyDataset) -> AnyDataset:
    """Map a dataset in any known layout to TRL's preference columns; splits of a dict are mapped one by one.

    AlpacaEval rows that prefer neither output are dropped, and their number logged.

    Raises:
        ValueError: the dataset is empty, its layout unknown, or a row is broken (naming row, column and remedy; for a
            streamed dataset when that row is reached).
    """
    if isinstance(dataset, dict):
        return type(dataset)({name: to_preference(split) for name, split in dataset.items()})
    first_row: dict | None = next(iter(dataset), None)
    if first_row is None:
        raise ValueError("the preference dataset is empty: check its path, split and filters")
    layout = detect_layout(first_row)
    options = {"desc": f"Reading layout {layout}"} if isinstance(dataset, Dataset) else {}
    columns: list[str] = list(first_row)
    kept: list[str] = [*PAIR_COLUMNS, *(name for name in OTHER_COLUMNS if name in columns)]
    dropped = [name for name in columns if name not in (*kept, "preference")]
    pairs = dataset.map(_map_row, with_indices=True, fn_kwargs={"layout": layout}, remove_columns=dropped, **options)
    if layout == "alpaca_eval":
        pairs = _without_ties(pairs)
    return pairs.select_columns(kept)


def read_preference_file(path: str | Path) -> Dataset:
    """Rows of a `.json`, `.jsonl`, `.parquet` or `.csv` file (also `.gz`) or of a `save_to_disk` folder, as they are.

    Raises:
        FileNotFoundError: there is no such path.
        ValueError: another kind of file, an unreadable one, or a folder of several splits.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if path.is_dir():
        return _read_folder(path)
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix not in READERS:
        raise ValueError(f"{path}: a preference file ends in {', '.join(READERS)}, or is a save_to_disk folder")
    try:
        return READERS[suffix](str(path))
    except Exception as error:  # the reader of each format has errors of its own
        raise ValueError(f"{path}: not readable as {suffix[1:]}: {error.__cause__ or error}") from error


def _map_row(row: dict, index: int, layout: str) -> dict:
    try:
        return MAPPERS[layout](row)
    except ValueError as error:
        raise ValueError(f"row {index} (layout {layout}): {error}") from error


def _without_ties(pairs: Dataset | IterableDataset) -> Dataset | IterableDataset:
    decided = pairs.filter(lambda preference: not is_tie(preference), input_columns=["preference"])
    if isinstance(pairs, Dataset):
        if len(decided) == 0:
            raise ValueError("every row is a tie: column 'preference' prefers no output anywhere")
        if len(decided) < len(pairs):
            logger.warning("dropped %d of %d rows that prefer neither output", len(pairs) - len(decided), len(pairs))
    return decided


def _read_folder(path: Path) -> Dataset:
    try:
        dataset = load_from_disk(str(path))
    except FileNotFoundError as error:
        raise ValueError(f"{path}: not a folder written by save_to_disk") from error
    if isinstance(dataset, DatasetDict):
        raise ValueError(
            f"{path}: holds the splits {', '.join(dataset)}: give {path / next(iter(dataset))} or another"
        )
    return dataset
