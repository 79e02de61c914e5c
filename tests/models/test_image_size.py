"""Sizes that a Qwen-VL processor gives images, compared with the grids it returns, and its fixed points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from setaria.models.image_size import processed_size, to_fixed_point
from setaria.models.qwen_vl import image_only_processor
from setaria.models.tiny import byte_tokenizer


PROCESSORS = {
    # name: patch size, least and most pixels
    "Qwen2.5-VL": (14, 3136, 100352),
    "Qwen3-VL": (16, 65536, 200000),
    "tiny": (4, 256, 4096),
}
SIZES = [(300, 200), (200, 300), (42, 70), (98, 126), (640, 480), (33, 500), (720, 1280), (5, 9)]


def image_processor(name):
    patch, least, most = PROCESSORS[name]
    return Qwen2VLImageProcessorPil(patch_size=patch, size={"shortest_edge": least, "longest_edge": most})


def noise(size, mode="RGB"):
    width, height = size
    channels = {"RGB": 3, "RGBA": 4, "LA": 2}[mode]
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(pixels, mode)


def shown_size(processor, image):
    """(width, height) of what the model sees, from the processor's output."""
    _, rows, columns = processor(image)["image_grid_thw"][0].tolist()
    return columns * processor.patch_size, rows * processor.patch_size


LITERAL = {
    # sides to the nearest multiple of 28, half to even: 300 / 28 = 10.7 -> 11, 200 / 28 = 7.1 -> 7; 1.5 -> 2, 2.5 -> 2
    "near": ((300, 200), (308, 196)),
    "half to even": ((42, 70), (56, 56)),
    # 1288 x 728 is over 100352: beta = sqrt(1280 * 720 / 100352) = 3.030, 1280 / beta / 28 = 15.08, 720 / ... = 8.48
    "over the budget": ((1280, 720), (420, 224)),
    # 0 x 0 is under 3136: beta = sqrt(3136 / 45) = 8.35, 5 * beta / 28 = 1.49 -> 2, 9 * beta / 28 = 2.68 -> 3
    "under the budget": ((5, 9), (56, 84)),
}


@pytest.mark.parametrize(("size", "processed"), LITERAL.values(), ids=LITERAL)
def test_literal_sizes(size, processed):
    assert processed_size(image_processor("Qwen2.5-VL"), size) == processed


@pytest.mark.parametrize("name", PROCESSORS)
def test_size_is_that_of_the_grid(name):
    processor = image_processor(name)
    for size in SIZES:
        assert processed_size(processor, size) == shown_size(processor, noise(size))


def test_whole_processors_and_saved_ones(tmp_path):
    patch, least, most = PROCESSORS["tiny"]
    processor = image_only_processor(
        byte_tokenizer(), patch_size=patch, merge_size=4, size={"shortest_edge": least, "longest_edge": most}
    )
    processor.image_processor.save_pretrained(tmp_path)
    saved = Qwen2VLImageProcessorPil.from_pretrained(tmp_path)
    for size in SIZES:
        assert processed_size(processor, size) == processed_size(saved, size) == shown_size(saved, noise(size))
    image = noise((90, 70))
    assert to_fixed_point(image, processor).tobytes() == to_fixed_point(image, saved).tobytes()


def test_a_processor_that_does_not_resize():
    processor = Qwen2VLImageProcessorPil(do_resize=False)
    assert processed_size(processor, (56, 84)) == shown_size(processor, noise((56, 84))) == (56, 84)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
@pytest.mark.parametrize("name", PROCESSORS)
def test_the_model_sees_the_same_pixels(name, mode):
    processor = image_processor(name)
    for size in SIZES:
        fixed = to_fixed_point(noise(size, mode), processor)
        assert fixed.size == processed_size(processor, size) == shown_size(processor, fixed)
        if mode == "RGB":  # transformers 5.18 drops alpha, 5.23 puts white behind it
            expected = processor(noise(size))["pixel_values"]
            assert np.array_equal(processor(fixed)["pixel_values"], expected)


def test_transparent_pixels_show_white():
    fixed = to_fixed_point(Image.new("RGBA", (60, 60), (255, 0, 0, 0)), image_processor("tiny"))
    assert fixed.mode == "RGB"
    assert fixed.getcolors() == [(fixed.width * fixed.height, (255, 255, 255))]


def test_fixed_point_is_idempotent():
    processor = image_processor("Qwen2.5-VL")
    for size in SIZES:
        fixed = to_fixed_point(noise(size), processor)
        again = to_fixed_point(fixed, processor)
        assert again.size == fixed.size
        assert again.tobytes() == fixed.tobytes()


def test_stages_with_different_budgets_see_the_same_pixels():
    """What is at the fixed point of one stage is left alone by another with a wider budget; the raw image is not."""
    sft = Qwen2VLImageProcessorPil(min_pixels=3136, max_pixels=100352)
    grpo = Qwen2VLImageProcessorPil(min_pixels=3136, max_pixels=1003520)
    image = noise((1280, 720))
    assert shown_size(sft, image) != shown_size(grpo, image)
    fixed = to_fixed_point(image, sft)
    assert np.array_equal(sft(fixed)["pixel_values"], grpo(fixed)["pixel_values"])


SIDES = st.integers(40, 3000)


@given(st.tuples(SIDES, SIDES).filter(lambda size: max(size) < 10 * min(size)), st.sampled_from(sorted(PROCESSORS)))
def test_images_of_ordinary_shape_have_a_fixed_point(size, name):
    processor = image_processor(name)
    processed = processed_size(processor, size)
    assert processed_size(processor, processed) == processed


def test_a_budget_without_room_is_refused():
    """Under 262144 pixels, 512 x 512, an image of 1000 x 1000 becomes 504 x 504: now less than the least pixels."""
    processor = Qwen2VLImageProcessorPil(min_pixels=262144, max_pixels=262144)
    with pytest.raises(ValueError, match=r"becomes \(504, 504\), .* to \(532, 532\): widen .* of 262144..262144"):
        to_fixed_point(noise((1000, 1000)), processor)


def test_too_long_an_image_is_refused():
    with pytest.raises(ValueError, match="aspect ratio must be smaller than 200"):
        processed_size(image_processor("Qwen2.5-VL"), (2010, 10))


def test_other_processors_are_refused():
    with pytest.raises(TypeError, match="GotOcr2ImageProcessorPil is no image processor of Qwen-VL"):
        processed_size(GotOcr2ImageProcessorPil(), (300, 200))
