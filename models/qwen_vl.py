"""Image-only Qwen-VL processor: Qwen2-VL's own classes without the video branch, which needs torchvision.

Torchvision has no build beside the CPU build of torch, and its absence stops `AutoProcessor` for every Qwen-VL
checkpoint although images need only Pillow and NumPy.
"""

from importlib.resources import files

from transformers import PreTrainedTokenizerBase, Qwen2VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil


class ImageOnlyQwenVLProcessor(Qwen2VLProcessor):
    """`Qwen2VLProcessor` with an image processor and a tokenizer only."""

    def __init__(self, image_processor=None, tokenizer=None, chat_template=None, **kwargs):
        super().__init__(image_processor, tokenizer, chat_template=chat_template, **kwargs)


def image_only_processor(tokenizer: PreTrainedTokenizerBase, **image_options) -> ImageOnlyQwenVLProcessor:
    """Processor for Qwen-VL images.

    Args:
        tokenizer: tokenizer with a chat template that writes `<|image_pad|>` where an image stands.
        image_options: fields of Qwen2-VL's image processor, such as `patch_size`, `merge_size` and `size`, in pixels.
    """
    return ImageOnlyQwenVLProcessor(
        Qwen2VLImageProcessorPil(**image_options), tokenizer, chat_template=tokenizer.chat_template
    )


def tool_chat_template() -> str:
    """Qwen3-VL's chat template, which writes tools, calls and images in their results, as the installed TRL knows it.

    TRL reads calls of tools only out of templates that it knows to the letter. Those of Qwen2-VL and Qwen2.5-VL have
    no tools.
    """
    return (files("trl") / "chat_templates" / "qwen3_vl.jinja").read_text(encoding="utf-8")
