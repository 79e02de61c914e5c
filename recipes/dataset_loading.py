"""The dataset of a run: TRL's `datasets:` mixture, a folder of `save_to_disk`, a data file, or a name on the Hub."""

from pathlib import Path
from typing import TypeAlias

from datasets import Dataset, DatasetDict, IterableDataset, load_dataset, load_from_disk
from datasets.exceptions import DatasetGenerationError
from trl import DatasetMixtureConfig, ScriptArguments, get_dataset


FILE_BUILDERS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}
Split: TypeAlias = Dataset | IterableDataset


def load_splits(
    arguments: ScriptArguments, mixture: DatasetMixtureConfig, evaluate: bool
) -> tuple[Split, Split | None]:
    """Training split and, with `evaluate`, the test split.

    Raises:
        ValueError: if the data cannot be read, or a split is missing or empty; the dataset is named, and its splits.
    """
    name = "datasets" if mixture.datasets else f"dataset_name={arguments.dataset_name}"
    try:
        splits = get_dataset(mixture) if mixture.datasets else _load(arguments)
    except DatasetGenerationError as error:
        raise ValueError(f"{name} cannot be read: {error.__cause__}") from error
    train = _split(name, splits, arguments.dataset_train_split)
    return train, _split(name, splits, arguments.dataset_test_split) if evaluate else None


def _load(arguments: ScriptArguments):
    path = Path(arguments.dataset_name)
    if path.is_file():
        if path.suffix not in FILE_BUILDERS:
            raise ValueError(f"dataset_name={path}: a data file ends in {', '.join(FILE_BUILDERS)}")
        return load_dataset(FILE_BUILDERS[path.suffix], data_files=str(path), streaming=arguments.dataset_streaming)
    if (path / "dataset_dict.json").exists() or (path / "dataset_info.json").exists():
        try:
            saved = load_from_disk(str(path))
        except IndexError:  # datasets' own answer to a folder without a single row
            raise ValueError(f"dataset_name={path} is empty, there is nothing to train on") from None
        return saved if isinstance(saved, DatasetDict) else DatasetDict({arguments.dataset_train_split: saved})
    return load_dataset(arguments.dataset_name, name=arguments.dataset_config, streaming=arguments.dataset_streaming)


def _split(name: str, splits, split: str) -> Split:
    if split not in splits:
        raise ValueError(
            f"{name} has no split {split!r}, only {', '.join(splits)}: set dataset_train_split and "
            "dataset_test_split, or eval_strategy 'no'"
        )
    if next(iter(splits[split]), None) is None:
        raise ValueError(f"{name}: split {split!r} is empty, there is nothing to train on")
    return splits[split]
