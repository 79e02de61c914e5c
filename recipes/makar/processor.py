"""The processor of the grounding agent, whose budget of pixels all stages share, and the rows that suit it."""

from dataclasses import replace

from datasets import Dataset
from transformers import AutoConfig, ProcessorMixin, TrainingArguments
from trl import DatasetMixtureConfig, ScriptArguments

from setaria.datasets_builders.mner.grounding_rows import check_sizes, family_of
from setaria.models.box_codec import CODECS
from setaria.models.processors import load_processor
from setaria.recipes.dataset_loading import load_splits


def grounding_processor(
    checkpoint: str, revision: str = "main", image_max_pixels: int | None = None
) -> ProcessorMixin:
    """The processor of a checkpoint, padding on the left.

    Left padding is what GRPO needs: TRL pads prompts on the left itself, but takes the marks of image tokens as the
    processor pads them, and does not notice where the two disagree.

    Args:
        image_max_pixels: of an image as the model sees it, in place of the checkpoint's own bound. It is saved with
            the processor, beside a trained model too.

    Raises:
        ValueError: for a bound below the processor's least number of pixels.
    """
    processor = load_processor(checkpoint, revision)
    if image_max_pixels is not None:
        images = processor.image_processor
        if image_max_pixels < images.size.shortest_edge:
            raise ValueError(
                f"image_max_pixels={image_max_pixels}: images of {checkpoint} have {images.size.shortest_edge} pixels "
                "at least"
            )
        images.size = replace(images.size, longest_edge=image_max_pixels)
    return processor


def family_of_checkpoint(checkpoint: str, family: str | None = None, revision: str = "main") -> str:
    """The family whose numbers a checkpoint writes: the one that is named, or its architecture's.

    Raises:
        ValueError: if no family is named and that of the architecture is not known.
    """
    if family is None:
        family = AutoConfig.from_pretrained(checkpoint, revision=revision).model_type
        if family not in CODECS:
            raise ValueError(f"family is missing: {checkpoint} is a {family}, boxes of {', '.join(CODECS)} are known")
    return family


def checked_splits(
    script_args: ScriptArguments,
    mixture: DatasetMixtureConfig,
    training_args: TrainingArguments,
    processor: ProcessorMixin,
) -> tuple[Dataset, Dataset | None]:
    """Training rows and, if the run evaluates, test rows; all of one family, at the sizes of the processor.

    Raises:
        ValueError: for rows that are not, see `family_of` and `check_sizes`.
    """
    train, test = load_splits(script_args, mixture, evaluate=training_args.eval_strategy != "no")
    for rows in (train, test):
        if rows is not None:
            family_of(rows)
            check_sizes(rows, processor)
    return train, test
