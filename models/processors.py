"""The processor of a vision-language checkpoint, without torchvision where it is absent and can be."""

from importlib.util import find_spec

from transformers import AutoConfig, AutoProcessor, AutoTokenizer, ProcessorMixin
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from setaria.models.qwen_vl import ImageOnlyQwenVLProcessor


QWEN_VL = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


def load_processor(checkpoint: str, revision: str = "main") -> ProcessorMixin:
    """The processor of a checkpoint, padding on the left."""
    processor = image_only_processor_for(checkpoint, revision) or AutoProcessor.from_pretrained(
        checkpoint, revision=revision
    )
    processor.tokenizer.padding_side = "left"
    return processor


def image_only_processor_for(checkpoint: str, revision: str) -> ImageOnlyQwenVLProcessor | None:
    """Image processor and tokenizer of a Qwen-VL checkpoint without torchvision; `None` where TRL loads its own."""
    if find_spec("torchvision") is not None:
        return None
    if AutoConfig.from_pretrained(checkpoint, revision=revision).model_type not in QWEN_VL:
        return None
    tokenizer = AutoTokenizer.from_pretrained(checkpoint, revision=revision)
    images = Qwen2VLImageProcessorPil.from_pretrained(checkpoint, revision=revision)
    return ImageOnlyQwenVLProcessor(images, tokenizer, chat_template=tokenizer.chat_template)
