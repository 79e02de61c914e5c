"""The size at which a Qwen-VL processor shows an image to its model, and images that it no longer resizes.

A Qwen-VL processor resizes every image to multiples of `patch_size * merge_size` within a budget of pixels, `size`.
Stages with different budgets show one image at different sizes, and numbers in pixels of the processed image are then
wrong without a sign of it. An image brought to a processor's fixed point beforehand is left as it is by every stage
whose budget holds it: SFT, GRPO, vLLM and evaluation see the same pixels.
"""

from typing import TypeAlias

from PIL import Image
from transformers import ProcessorMixin
from transformers.image_processing_utils import BaseImageProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize


Size: TypeAlias = tuple[int, int]


def processed_size(processor: ProcessorMixin | BaseImageProcessor, image_size: Size) -> Size:
    """(width, height) in pixels of what `processor` makes of an image of that size: `image_grid_thw` times patches.

    Args:
        processor: processor or image processor of Qwen2-VL, Qwen2.5-VL or Qwen3-VL, which share one image processor.
        image_size: (width, height) in pixels, as `PIL.Image.Image.size`, which knows nothing of an EXIF orientation.

    Raises:
        TypeError: for the processor of another family, which resizes by other rules.
        ValueError: for an image more than 200 times as long as wide, which Qwen-VL refuses.
    """
    images = _image_processor(processor)
    if not images.do_resize:
        return image_size
    width, height = image_size
    processed_height, processed_width = smart_resize(
        height,
        width,
        factor=images.patch_size * images.merge_size,
        min_pixels=images.size.shortest_edge,
        max_pixels=images.size.longest_edge,
    )
    return processed_width, processed_height


def to_fixed_point(image: Image.Image, processor: ProcessorMixin | BaseImageProcessor) -> Image.Image:
    """`image` in RGB at the size and with the pixels that `processor` would give it, so that it resizes it no more.

    Idempotent. Transparent pixels show white, whatever the version of transformers makes of them. Boxes in pixels of
    `image` are encoded with the size of the result as `processed_size`.

    Raises:
        ValueError: where the processor would resize even the result, because its budget is so narrow that no multiple
            of `patch_size * merge_size` fits, or the image so long that it touches the smallest side.
    """
    size = processed_size(processor, image.size)
    if processed_size(processor, size) != size:
        budget = _image_processor(processor).size
        raise ValueError(
            f"an image of {image.size} becomes {size}, which the processor resizes again to "
            f"{processed_size(processor, size)}: widen its budget of {budget.shortest_edge}..{budget.longest_edge} "
            "pixels, or leave the image out"
        )
    return _on_white(image).resize(size, _image_processor(processor).resample)


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _image_processor(processor: ProcessorMixin | BaseImageProcessor) -> Qwen2VLImageProcessorPil:
    images = processor.image_processor if isinstance(processor, ProcessorMixin) else processor
    if type(images).__name__ not in ("Qwen2VLImageProcessor", "Qwen2VLImageProcessorPil"):
        raise TypeError(f"{type(images).__name__} is no image processor of Qwen-VL: its resizing rules are not known")
    return images
