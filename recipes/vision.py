"""The processor of a Qwen-VL checkpoint where torchvision is absent."""

from importlib.util import find_spec

from transformers import AutoConfig, AutoTokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from setaria.models.qwen_vl import ImageOnlyQwenVLProcessor


QWEN_VL = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


def image_only_processor_for(checkpoint: str, revision: str) -> ImageOnlyQwenVLProcessor | None:
    """Image processor and tokenizer of a Qwen-VL checkpoint without torchvision; `None` where TRL loads its own."""
    if find_spec("torchvision") is not None:
        return None
    if AutoConfig.from_pretrained(checkpoint, revision=revision).model_type not in QWEN_VL:
        return None
    tokenizer = AutoTokenizer.from_pretrained(checkpoint, revision=revision)
    images = Qwen2VLImageProcessorPil.from_pretrained(checkpoint, revision=revision)
    return ImageOnlyQwenVLProcessor(images, tokenizer, chat_template=tokenizer.chat_template)
