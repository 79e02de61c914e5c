"""The contract of prompts: what each role sees, in which order, and in whose numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.prompts import DESCRIBE, Prompts, name_of_page
from setaria.datasets_builders.gui.rows import row_dataset, training_row, without_images
from setaria.models.box_codec import CODECS
from setaria.models.qwen_vl import image_only_processor
from setaria.models.tiny import byte_tokenizer
from setaria.rewards.gui.actions import (
    ActionError,
    Click,
    Complete,
    Input,
    LongPress,
    Open,
    Press,
    Scroll,
    Wait,
)


XML = """<a package="p">
<android.widget.TextView class="android.widget.TextView" text="Title" bounds="[0,0][200,40]"/>
<android.widget.Button class="android.widget.Button" text="Go" clickable="true" bounds="[20,40][100,80]"/>
<android.widget.EditText class="android.widget.EditText" text="Name" bounds="[0,100][200,140]"/>
<android.widget.Button class="android.widget.Button" text="Below" clickable="true" bounds="[0,390][200,430]"/>
<android.widget.ListView class="android.widget.ListView" scrollable="true" bounds="[0,200][200,400]"/>
</a>"""
PAGE = Page("a0", Image.new("RGB", (200, 400), "white"), XML)
AFTER = Page("a0_1", Image.new("RGB", (200, 400), "red"))
GO = Click((20, 40, 100, 80), "Go")
TYPED = Input((0, 100, 200, 140), "Name", "Ann")


def text(conversation):
    (turn,) = conversation
    assert turn["role"] == "user"
    *images, written = turn["content"]
    assert all(part["type"] == "image" for part in images)
    return written["text"]


def images(conversation):
    return [part["image"] for part in conversation[0]["content"] if part["type"] == "image"]


CONTEXT = """Task: Greet Ann.
Done:
{done}
Actions:
click(<ref>Go</ref><box>[100,100][500,200]</box>)
input(<ref>Name</ref><box>[0,250][1000,350]</box>, "")
scroll(<box>[0,500][1000,1000]</box>,up)
scroll(<box>[0,500][1000,1000]</box>,down)
scroll(<box>[0,500][1000,1000]</box>,left)
scroll(<box>[0,500][1000,1000]</box>,right)
"""


def test_generator():
    """Boxes of Qwen2-VL in thousandths: 20, 40, 100, 80 of 200 x 400 is 100, 100, 500, 200. What lies below the screen
    with its middle is no candidate."""
    conversation = Prompts().generator("Greet Ann.", PAGE, [])
    assert text(conversation) == CONTEXT.format(done="nothing") + "Next action?"
    assert images(conversation) == [PAGE.image]


def test_judger():
    conversation = Prompts().judger("Greet Ann.", PAGE, [GO], TYPED, AFTER)
    assert text(conversation) == CONTEXT.format(done="click(<ref>Go</ref><box>[100,100][500,200]</box>)") + (
        'Action: input(<ref>Name</ref><box>[0,250][1000,350]</box>, "Ann")\n'
        "The second screen came after it. Does it help with the task? Answer Yes or No.\n"
        "Task: Greet Ann."
    )
    assert images(conversation) == [PAGE.image, AFTER.image]


def test_reflector_sees_all_attempts_and_the_candidates_that_are_left():
    conversation = Prompts().reflector("Greet Ann.", PAGE, [], [GO, TYPED, Press("back"), GO], AFTER)
    context = CONTEXT.format(done="nothing").replace("click(<ref>Go</ref><box>[100,100][500,200]</box>)\n", "")
    tried = 'These did not help:\nclick Go\ninput Name "Ann"\npress(back)\nclick Go\nActions:\n'
    question = "The second screen came after the last attempt. Give another action."
    assert text(conversation) == context.replace("Actions:\n", tried) + question
    assert images(conversation) == [PAGE.image, AFTER.image]


def test_beginnings_of_what_is_left():
    """An input's value is open; what was tried is not there, and on a page without candidates nothing is."""
    scrolls = tuple(f"scroll(<box>[0,500][1000,1000]</box>,{way})" for way in ("up", "down", "left", "right"))
    name = 'input(<ref>Name</ref><box>[0,250][1000,350]</box>, "'
    prompts = Prompts()
    assert prompts.beginnings(PAGE, [GO]) == (name, *scrolls, "complete()")
    assert prompts.beginnings(PAGE, [TYPED, Complete()]) == (
        "click(<ref>Go</ref><box>[100,100][500,200]</box>)",
        name,
        *scrolls,
    )
    assert prompts.beginnings(AFTER, []) == ()


def test_naming():
    conversation = Prompts().naming([AFTER, PAGE])
    assert text(conversation) == "Name what can be used on the last screen."
    assert images(conversation) == [AFTER.image, PAGE.image]
    assert name_of_page(PAGE) == "Title(1) Go(2) Name(3) Below(4)"
    assert name_of_page(AFTER) == ""


def test_images_come_before_the_text_in_order():
    for conversation in (
        Prompts().judger("X", PAGE, [], GO, AFTER),
        Prompts().reflector("X", PAGE, [], [GO], AFTER),
    ):
        assert [part["type"] for part in conversation[0]["content"]] == ["image", "image", "text"]


HISTORY = {
    # kept, done, shown
    "none done": (8, 0, ["nothing"]),
    "fewer": (3, 2, ["open(\"0\")", "open(\"1\")"]),
    "as many": (3, 3, ["open(\"0\")", "open(\"1\")", "open(\"2\")"]),
    "more": (3, 5, ["open(\"2\")", "open(\"3\")", "open(\"4\")"]),
    "one": (1, 5, ["open(\"4\")"]),
    "no history": (0, 5, ["nothing"]),
}  # fmt: skip


@pytest.mark.parametrize(("kept", "done", "shown"), HISTORY.values(), ids=HISTORY)
def test_history_is_cut_to_the_last_actions(kept, done, shown):
    actions = [Open(str(number)) for number in range(done)]
    prompts = Prompts(history=kept)
    for conversation, after_it in (
        (prompts.generator("X", AFTER, actions), "Actions:"),
        (prompts.judger("X", AFTER, actions, GO, PAGE), "Actions:"),
        (prompts.reflector("X", AFTER, actions, [GO], PAGE), "These did not help:"),
        (prompts.reflector("X", AFTER, actions, [], PAGE), "Actions:"),
    ):
        assert text(conversation).splitlines()[2 : 3 + len(shown)] == [*shown, after_it]
    assert Prompts().history == 8


def test_history_from_a_screen_that_was_turned():
    """What was done at the bottom of an upright screen is written at the edge of the flat one."""
    flat = Page("a0", Image.new("RGB", (400, 200)))
    assert "\nclick(<ref></ref><box>[100,1000][200,1000]</box>)\n" in text(
        Prompts().generator("X", flat, [Click((40, 300, 80, 390))])
    )


def test_instructions_are_written_as_they_are():
    assert text(Prompts().generator("a\n{b} <box>", AFTER, [])).startswith("Task: a\n{b} <box>\nDone:\n")


@pytest.fixture(scope="module")
def processor():
    """Images become multiples of 8 pixels: 200 x 400 stays, 201 x 397 becomes 200 x 400."""
    size = {"shortest_edge": 64, "longest_edge": 200 * 400}
    return image_only_processor(byte_tokenizer(), patch_size=4, merge_size=2, size=size)


WRITTEN = {
    # family, width and height: the box (20, 40, 100, 80) in its numbers
    "qwen2_vl": ("qwen2_vl", (200, 400), "[100,100][500,200]"),
    "qwen3_vl": ("qwen3_vl", (200, 400), "[100,100][500,200]"),
    "qwen2_5_vl": ("qwen2_5_vl", (200, 400), "[20,40][100,80]"),
    # 201 x 397: 20 / 201 * 1000 = 99.5, 40 / 397 * 1000 = 100.8, 100 / 201 * 1000 = 497.5, 80 / 397 * 1000 = 201.5
    "qwen2_vl, odd size": ("qwen2_vl", (201, 397), "[100,101][498,202]"),
    # 20 / 201 * 200 = 19.9, 40 / 397 * 400 = 40.3, 100 / 201 * 200 = 99.5, 80 / 397 * 400 = 80.6
    "qwen2_5_vl, odd size": ("qwen2_5_vl", (201, 397), "[20,40][100,81]"),
    # 400 x 800 is shrunk to 200 x 400 by the budget of pixels
    "qwen2_5_vl, shrunk": ("qwen2_5_vl", (400, 800), "[10,20][50,40]"),
}


@pytest.mark.parametrize(("family", "size", "numbers"), WRITTEN.values(), ids=WRITTEN)
def test_boxes_are_in_the_numbers_of_the_family(processor, family, size, numbers):
    prompts = Prompts.of_processor(family, processor)
    page = Page("a0", Image.new("RGB", size), XML)
    written = f"click(<ref>Go</ref><box>{numbers}</box>)"
    assert prompts.write(GO, page) == written
    assert prompts.read(written, page) == GO
    conversation = prompts.judger("X", page, [GO], GO, AFTER)
    lines = text(conversation).splitlines()
    assert lines.count(written) == 2  # done, candidate
    assert f"Action: {written}" in lines
    assert f"Action: {written}\n" in text(prompts.judger("X", page, [], GO, AFTER))


def test_images_are_shown_as_the_processor_would(processor):
    prompts = Prompts.of_processor("qwen2_5_vl", processor, history=2)
    large = Page("a0", Image.new("RGB", (400, 800)))
    sizes = [image.size for image in images(prompts.judger("X", PAGE, [], GO, large))]
    assert sizes == [(200, 400), (200, 400)]
    assert large.size == (400, 800)
    assert prompts.history == 2
    assert Prompts().generator("X", large, [])[0]["content"][0]["image"].size == (400, 800)


def test_a_family_in_pixels_needs_the_size_that_the_model_sees():
    with pytest.raises(ValueError, match="processed_size is missing"):
        Prompts(CODECS["qwen2_5_vl"]).write(GO, PAGE)
    assert Prompts(CODECS["qwen2_5_vl"]).write(Wait(), PAGE) == "wait()"


sides = st.tuples(st.integers(0, 160), st.integers(0, 340), st.integers(0, 40), st.integers(0, 60))
boxes = sides.map(lambda side: tuple(map(float, (side[0], side[1], side[0] + side[2], side[1] + side[3]))))
actions = st.one_of(
    st.builds(Click, boxes, st.text()),
    st.builds(LongPress, boxes, st.text()),
    st.builds(Input, boxes, st.text(), st.text()),
    st.builds(Scroll, boxes, st.sampled_from(["up", "down", "left", "right"])),
    st.builds(Open, st.text()),
    st.sampled_from([Press("back"), Wait(), Complete(), Complete(success=False)]),
)


@pytest.mark.parametrize("family", CODECS)
@given(action=actions)
def test_reading_inverts_writing(processor, family, action):
    """Whole pixels of a screen of up to 999 pixels a side, not shrunk, survive in every family."""
    prompts = Prompts.of_processor(family, processor)
    assert prompts.read(prompts.write(action, PAGE), PAGE) == action


@given(action=actions)
def test_reading_a_larger_screen_is_off_by_a_unit_at_most(processor, action):
    """2.5 pixels of 500 x 2500 are a unit: written to the nearest, and read as a whole pixel."""
    large = Page("a0", Image.new("L", (500, 2500)))
    read = Prompts().read(Prompts().write(action, large), large)
    assert type(read) is type(action)
    if hasattr(action, "box"):
        assert all(abs(one - other) <= 2.5 / 2 + 0.5 for one, other in zip(read.box, action.box, strict=True))


def test_what_a_model_writes_outside_the_screen_is_at_its_edge():
    assert Prompts().read("click(<box>[-5,900][1200,1001]</box>)", PAGE) == Click((0, 360, 200, 400))
    with pytest.raises(ActionError, match="inverted"):
        Prompts().read("click(<box>[900,0][100,10]</box>)", PAGE)
    with pytest.raises(ActionError, match="no action"):
        Prompts().read("Yes", PAGE)


def test_a_box_over_the_edge_is_cut_off():
    """Below ends at 430 on a screen of 400: 390 is 975."""
    assert Prompts().write(Click((0, 390, 200, 430), "Below"), PAGE) == (
        "click(<ref>Below</ref><box>[0,975][1000,1000]</box>)"
    )


def test_rows_keep_the_images_in_order():
    conversation = Prompts().judger("X", PAGE, [], GO, AFTER)
    row = training_row("judger", conversation, "Yes", page="a0")
    assert set(row) == {"role", "prompt", "completion", "images", "page"}
    assert row["images"] == [PAGE.image, AFTER.image]
    assert row["prompt"] == [
        {
            "role": "user",
            "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": text(conversation)}],
        }
    ]
    assert row["completion"] == [{"role": "assistant", "content": [{"type": "text", "text": "Yes"}]}]
    assert images(conversation) == [PAGE.image, AFTER.image]  # the conversation is not changed


def test_rows_as_a_dataset():
    prompts = Prompts()
    rows = [
        training_row("generator", prompts.generator("X", PAGE, []), prompts.write(GO, PAGE), gold="a0"),
        training_row("judger", prompts.judger("X", PAGE, [], GO, AFTER), "No", gold=None),
    ]
    read = row_dataset(rows)
    assert read.column_names == ["role", "prompt", "completion", "images", "gold"]
    assert [[image.convert("RGB").getpixel((0, 0)) for image in row["images"]] for row in read] == [
        [(255, 255, 255)],
        [(255, 255, 255), (255, 0, 0)],
    ]
    assert read[1]["completion"][0]["content"][0]["text"] == "No"


def test_the_processor_sees_as_many_image_tokens_as_the_prompt_has_images(processor):
    """200 x 400 in squares of 8 pixels are 25 x 50 = 1250 tokens for each of two images."""
    prompts = Prompts.of_processor("qwen2_5_vl", processor)
    prompt, shown = without_images(prompts.judger("X", PAGE, [], GO, AFTER))
    rendered = processor.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
    encoded = processor(text=[rendered], images=shown)
    assert encoded["image_grid_thw"].tolist() == [[1, 100, 50], [1, 100, 50]]
    image_pad = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert encoded["input_ids"][0].count(image_pad) == 2 * 1250


def test_a_described_verdict_numbers_names_and_those_in_the_task():
    described = Prompts(described=True)
    names = "Title(1) Go(2) Name(3) Below(4)"
    assert described.judged("Go to Name.", PAGE, "Yes") == f"{names}\nGo(2) to Name(3).\nYes"
    assert described.judged("Names below", PAGE, "No") == f"{names}\nNames below\nNo"
    assert described.judged("Go.", AFTER, "No") == "\nGo.\nNo"
    assert Prompts().judged("Go to Name.", PAGE, "Yes") == "Yes"
    question = described.judger("Go.", PAGE, [], Click((0, 0, 10, 10)), AFTER)
    assert DESCRIBE in question[0]["content"][-1]["text"]
