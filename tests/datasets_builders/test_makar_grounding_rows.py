"""Rows of the grounding agent: what is in them, which entities make none, and the sizes that they are written for."""

from dataclasses import replace
from pathlib import Path

import pytest
from mner_folders import LENA, TEXT, XML, write
from PIL import Image

from setaria.datasets_builders.gui.rows import row_dataset, save_rows
from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.datasets_builders.mner.grounding_prompts import QUESTION, GroundingPrompts
from setaria.datasets_builders.mner.grounding_rows import (
    GroundingSample,
    check_sizes,
    count_rows,
    family_of,
    grounding_rows,
    grounding_samples,
    question,
    rollout_rows,
    sft_rows,
    with_none_share,
    with_thoughts,
    write_left_out,
)
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.models.qwen_vl import image_only_processor
from setaria.models.tiny import byte_tokenizer
from setaria.rewards.grounded_entities import GoldEntity
from setaria.rewards.grounding import GroundingRewards


SIZES = {"O_1": (100, 80), "77": (640, 480)}


def processor_of(least=64, most=64 * 64):
    """Images become multiples of 8 pixels, 64 x 64 at most: 100 x 80 is shown at 64 x 56, 640 x 480 at 72 x 48."""
    size = {"shortest_edge": least, "longest_edge": most}
    return image_only_processor(byte_tokenizer(), patch_size=4, merge_size=2, size=size)


@pytest.fixture(scope="module")
def processor():
    return processor_of()


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, {"txt/train.txt": TEXT, "xml/O_1.xml": XML})
    (tmp_path / "images").mkdir()
    for name, size in SIZES.items():
        Image.effect_noise(size, 80).convert("RGB").save(tmp_path / "images" / f"{name}.jpg")
    return tmp_path


@pytest.fixture
def prompts(processor):
    return GroundingPrompts.of_processor("qwen2_5_vl", processor)


def rows_of(folder, prompts, **options):
    samples, left_out = grounding_samples(read_gmner(folder, "train"), prompts)
    assert not left_out
    return list(grounding_rows(samples, prompts, **options))


def reply_of(row):
    return row["completion"][0]["content"][0]["text"]


def test_one_row_per_entity(folder, prompts):
    """The larger of Lena's boxes, (50, 2, 100, 80) of 100 x 80, is shown at 64 x 56: 32, 1.4, 64, 56."""
    thoughts = {("O_1", "Lena Okoye"): "She sings.", ("O_1", "Brno"): "No town.", ("77", "Brno"): "No."}
    rows = rows_of(folder, prompts, thoughts=thoughts, knowledge={("77", "Brno"): "A town."})
    assert [(row["tweet"], row["entity"], row["type"]) for row in rows] == [
        ("O_1", "Lena Okoye", "PER"),
        ("O_1", "Lena Okoye", "PER"),
        ("O_1", "Brno", "LOC"),
        ("77", "Brno", "LOC"),
    ]
    assert [reply_of(row) for row in rows] == [
        *["<think>She sings.</think><answer>[32, 1, 64, 56]</answer>"] * 2,
        "<think>No town.</think><answer>None</answer>",
        "<think>No.</think><answer>None</answer>",
    ]
    assert rows[0]["gold_boxes"] == [list(LENA[1]), list(LENA[0])]
    assert rows[2]["gold_boxes"] == []
    assert [row["image_size"] for row in rows] == [[100, 80]] * 3 + [[640, 480]]
    assert [row["processed_size"] for row in rows] == [[64, 56]] * 3 + [[72, 48]]
    assert [list(image.size) for row in rows for image in row["images"]] == [row["processed_size"] for row in rows]
    assert {row["family"] for row in rows} == {"qwen2_5_vl"}
    asked = rows[3]["prompt"][0]["content"]
    assert asked[0] == {"type": "image"}
    assert asked[1]["text"] == f'{QUESTION}\nTweet: "Brno"\nSaid about it: "A town."\nEntity: "Brno", "LOC"'


def test_what_is_taught_gets_full_reward(folder, prompts):
    rows = rows_of(folder, prompts)
    rewards = GroundingRewards("qwen2_5_vl", "soft")
    columns = {name: [row[name] for row in rows] for name in ("gold_boxes", "image_size", "processed_size")}
    replies = [row["completion"] for row in rows]
    assert rewards.format(replies) == [1.0] * 4
    # 1.4 pixels become 1, which is 1.43 of 80: the box is 0.57 pixels higher than gold's 78
    assert rewards.accuracy(replies, **columns) == pytest.approx([78 / 79, 78 / 79, 1, 1], abs=1e-9)
    assert all("<think></think>" in reply_of(row) for row in rows)


def test_a_missing_thought_is_not_taught(folder, prompts):
    samples, _ = grounding_samples(read_gmner(folder, "train"), prompts)
    kept, left_out = with_thoughts(samples, {("O_1", "Lena Okoye"): "She sings."})
    assert [sample.key for sample in kept] == [("O_1", "Lena Okoye")] * 2
    assert [str(one) for one in left_out] == [
        "tweet O_1: 'Brno': no reasoning that can be taught",
        "tweet 77: 'Brno': no reasoning that can be taught",
    ]
    with pytest.raises(KeyError):
        list(grounding_rows(samples, prompts, thoughts={}))


def entity(*boxes, text="x"):
    return GoldEntity(0, 1, text, "PER", boxes=boxes)


def test_boxes_are_cut_at_the_edges_and_the_largest_comes_first(folder, prompts):
    """Of 100 x 80 pixels: one box half outside, one empty, two of equal area in their order."""
    several = entity((90, 0, 120, 10), (5, 5, 5, 9), (0, 0, 20, 10), (30, 0, 50, 10))
    tweet = Tweet("O_1", ("x",), (several,), folder / "images" / "O_1.jpg", (100, 80))
    (sample,), left_out = grounding_samples([tweet], prompts)
    assert sample.entity.boxes == ((0, 0, 20, 10), (30, 0, 50, 10), (90, 0, 100, 10))
    assert sample.box == (0, 0, 20, 10)
    assert not left_out


def test_entities_that_make_no_row_are_listed(folder, prompts, tmp_path):
    images = folder / "images"
    (images / "broken.jpg").write_text("no image")
    tweets = [
        Tweet("a", ("x", "y"), (entity(text="x"), entity(text="y")), images / "absent.jpg"),
        Tweet("b", ("x",), (entity(),), images / "broken.jpg"),
        Tweet("c", ("x",), (entity((0, 0, 9, 9)),), images / "77.jpg", (100, 80)),
        Tweet("d", ("x",), (entity((700, 0, 720, 9), (5, 5, 5, 9)), entity()), images / "77.jpg", (640, 480)),
        Tweet("e", ("x",), (), images / "absent.jpg"),
    ]
    samples, left_out = grounding_samples(tweets, prompts)
    assert [(sample.key, sample.box) for sample in samples] == [(("d", "x"), None)]
    assert [(one.tweet, one.entity, one.kind) for one in left_out] == [
        ("a", "x", "image"),
        ("a", "y", "image"),
        ("b", "x", "image"),
        ("c", "x", "image"),
        ("d", "x", "boxes"),
    ]
    assert left_out[0].reason.endswith("absent.jpg: missing image")
    assert left_out[3].reason.endswith("the image has 640 x 480 pixels, 100 x 80 in the xml")
    assert "is in the image of 640 x 480 pixels" in left_out[4].reason
    write_left_out(left_out, tmp_path / "left_out.txt")
    assert len((tmp_path / "left_out.txt").read_text().splitlines()) == 5


def samples_of(boxes: int, nones: int) -> list[GroundingSample]:
    """None first, so that an order by kind would show."""
    tweet = Tweet("a", ("x",), (), Path("absent.jpg"))
    made = [GroundingSample(tweet, entity(text=f"none {number}")) for number in range(nones)]
    return made + [GroundingSample(tweet, entity((0, 0, 1, 1), text=f"box {number}")) for number in range(boxes)]


SHARES = {
    # boxes, nones, share: None kept
    "all": (10, 30, None, 30),
    "as in the data": (10, 30, 0.75, 30),
    "fewer": (10, 30, 0.5, 10),
    "rounded": (10, 30, 0.4, 7),  # 10 * .4 / .6 = 6.67
    "without": (10, 30, 0.0, 0),
    "too few": (10, 3, 0.5, 3),
}


@pytest.mark.parametrize(("boxes", "nones", "share", "kept"), SHARES.values(), ids=SHARES)
def test_a_stated_share_of_none_is_kept(boxes, nones, share, kept):
    samples = samples_of(boxes, nones)
    chosen = with_none_share(samples, share, seed=1)
    assert sum(sample.box is None for sample in chosen) == kept
    assert sum(sample.box is not None for sample in chosen) == boxes
    numbers = [samples.index(sample) for sample in chosen]
    assert numbers == sorted(numbers)
    assert with_none_share(samples, share, seed=1) == chosen
    if 0 < kept < nones:
        assert with_none_share(samples, share, seed=2) != chosen


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_shares_that_are_none(share):
    with pytest.raises(ValueError, match="none_share="):
        with_none_share([], share)


def test_rows_on_disk_whose_first_hundred_have_no_box(folder, prompts, tmp_path):
    """The types of columns are read off the first rows: an empty list alone would make a column of nothing."""
    image = folder / "images" / "77.jpg"
    tweets = [Tweet(str(number), ("x",), (entity(),), image) for number in range(100)]
    tweets.append(Tweet("last", ("x",), (entity((0, 0, 64, 48)),), image, (640, 480)))
    rows = save_rows(grounding_rows(grounding_samples(tweets, prompts).samples, prompts), tmp_path / "rows")
    assert rows["tweet"] == ["last", *map(str, range(100))]
    assert rows["gold_boxes"][:2] == [[[0.0, 0.0, 64.0, 48.0]], []]
    assert count_rows(rows) == {"rows": 101, "None": 100, "several boxes": 0}


def test_columns_of_the_trainers(folder, prompts):
    rows = row_dataset(rows_of(folder, prompts))
    assert sft_rows(rows).column_names == ["prompt", "completion", "images"]
    assert rollout_rows(rows).column_names == ["prompt", "images", "gold_boxes", "image_size", "processed_size"]
    assert family_of(rows) == "qwen2_5_vl"
    assert count_rows(rows) == {"rows": 4, "None": 2, "several boxes": 2}


def test_the_question_of_a_row_is_what_the_agent_asks(folder, prompts):
    rows = row_dataset(rows_of(folder, prompts))
    shown = prompts.show(folder / "images" / "77.jpg")
    (asked,), (again,) = prompts.ask(shown, "Brno", "Brno", "LOC"), question(rows[3])
    assert again["content"][1]["text"] == asked["content"][1]["text"]
    assert again["content"][0]["image"].tobytes() == shown.image.tobytes()


def test_rows_of_several_families_or_of_something_else(folder, prompts, processor):
    rows = rows_of(folder, prompts)
    with pytest.raises(ValueError, match="for several families: qwen2_5_vl, qwen3_vl"):
        family_of(row_dataset([*rows, rows[0] | {"family": "qwen3_vl"}]))
    with pytest.raises(ValueError, match="there is no column family, gold_boxes"):
        family_of(row_dataset([{"prompt": "x"}]))


def test_rows_suit_the_processor_that_they_were_made_with(folder, prompts, processor):
    check_sizes(row_dataset(rows_of(folder, prompts)), processor)


BUDGETS = {
    "larger": ((64, 128 * 128), r"image of \(64, 56\), but this processor makes \(96, 80\) of \(100, 80\)"),
    "smaller": ((64, 32 * 32), r"image of \(64, 56\), but this processor makes \(32, 24\) of \(100, 80\)"),
    # gives 100 x 80 the 64 x 56 pixels, but makes more of those, which are too few for it
    "narrow": ((3600, 64 * 64), r"but this processor makes \(72, 64\) of \(64, 56\)"),
}


@pytest.mark.parametrize(("budget", "message"), BUDGETS.values(), ids=BUDGETS)
def test_a_stage_with_another_budget_is_refused(folder, prompts, budget, message):
    with pytest.raises(ValueError, match=message):
        check_sizes(row_dataset(rows_of(folder, prompts)), processor_of(*budget))


def test_a_size_that_does_not_belong_to_the_image_is_refused(folder, prompts, processor):
    rows = rows_of(folder, prompts)
    rows[3] |= {"processed_size": [64, 56]}
    with pytest.raises(ValueError, match=r"row 3 was written for an image of \(64, 56\)"):
        check_sizes(row_dataset(rows), processor)


def test_entities_are_not_changed(folder, prompts):
    (tweet, *_) = read_gmner(folder, "train")
    before = replace(tweet)
    grounding_samples([tweet], prompts)
    assert tweet == before
    assert tweet.entities[0].boxes == LENA
