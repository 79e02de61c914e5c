"""The page of predictions of a made-up run: its verdicts, what it escapes and refuses."""

import base64
import hashlib
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makar_prediction_runs import LEFT, RIGHT, found, gold, made_up, tweet, write_run, written
from PIL import Image

from setaria.agents.makar.prediction_page import write_prediction_page
from setaria.agents.makar.prediction_verdicts import verdicts
from setaria.rewards.entity_scores import entity_scores


@pytest.fixture
def run(tmp_path) -> Path:
    return write_run(tmp_path)


def page_of(run: Path, **options) -> str:
    return write_prediction_page(run, run / "predictions.html", **options).file.read_text(encoding="utf-8")


def words_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def part_of(page: str, number: int) -> str:
    return page.split("<article ")[number].split("</article>")[0]


@pytest.mark.parametrize(
    ("golds", "said", "faults", "iou"),
    [
        ([gold(0, "Ada", "PER")], [found(0, "Ada", "PER")], (), None),
        ([gold(0, "Ada", "PER", LEFT)], [found(0, "Ada", "PER", LEFT)], (), 1.0),
        # Half of the gold box is an IoU of .5, which index_keyed does not take.
        ([gold(0, "Ada", "PER", LEFT)], [found(0, "Ada", "PER", (10.0, 20.0, 60.0, 180.0))], ("wrong box",), 0.5),
        ([gold(0, "Ada", "PER", RIGHT)], [found(0, "Ada", "LOC", LEFT)], ("wrong type", "wrong box"), 0.0),
        ([gold(0, "Ada", "PER", LEFT)], [found(0, "Ada", "PER")], ("None error",), None),
        ([gold(0, "Ada", "PER")], [found(0, "Ada", "PER", LEFT)], ("None error",), None),
        ([gold(0, "Ada", "PER")], [found(0, "Ada", "PER", readable=False)], ("unread place",), None),
        ([gold(0, "Ada", "PER")], [], ("missed",), None),
        ([], [found(0, "Ada", "PER")], ("spurious",), None),
        ([gold(0, "Ada", "PER", fine="actor")], [found(0, "Ada", "PER", fine="coach")], ("wrong type",), None),
        ([gold(0, "Ada", "PER")], [found(0, "Ada", "PER", fine="coach")], (), None),
        ([gold(0, "Ada", "PER")], [found(0, "Ada", "LOC"), found(0, "Ada", "PER")], (), None),
    ],
)
def test_verdict_of_an_entity(golds, said, faults, iou):
    (one,) = verdicts(tweet("one", "Ada", golds, said))
    assert one.faults == faults and one.iou == iou


places = st.sampled_from([(), (LEFT,), (RIGHT, LEFT)])
entities = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(["PER", "LOC"]), places), unique_by=lambda one: one[0]
)


@given(entities, entities)
def test_right_is_what_the_scorer_counts(golds, said):
    one = tweet(
        "one",
        "a b c d e",
        [gold(start, "a", type_, *boxes) for start, type_, boxes in golds],
        [found(start, "a", type_, boxes[0] if boxes else None) for start, type_, boxes in said],
    )
    score = entity_scores([one.scored], "index_keyed")["GMNER"]["all"]
    judged = verdicts(one)
    assert sum(not entity.faults for entity in judged) == score.right
    assert sum(entity.found is not None for entity in judged) == score.predicted
    assert sum(entity.gold is not None for entity in judged) == score.gold


def test_numbers_on_the_page(run):
    text = words_of(page_of(run))
    assert "5 tweets of test · knowledge: model · search: corpus" in text
    # The run's 8 gold and 8 found entities share 6 spans: Lena, Brno, Kiwi Bank, Ada, Ben and &amp.
    assert "entities 2 right 2 wrong type 1 wrong box 3 None error 0 unread place 2 missed 2 spurious" in text
    assert "tweets 2 searched 1 image 1 knowledge 1 search down 1 tweet searched" in text
    # F1 is right / 8. Types: Lena, Brno, Ada, Ben. Places: Lena, Brno; if always None, those of Brno, Ben and &amp.
    interval = r"[\d.]+ to [\d.]+"
    assert re.search(rf"MNER F1 50\.0 {interval} EEG F1 25\.0 {interval} always None 37\.5", text)
    assert re.search(rf"GMNER F1 25\.0 {interval} always None 25\.0", text)


def test_what_a_tweet_shows(run):
    part = part_of(page_of(run), 1)
    text = words_of(part)
    assert "RT Lena Okoye 1 in Brno 2" in text
    assert '<mark class="right" data-entities="1">Lena Okoye<sup>1</sup></mark>' in part
    # Lena's box is 100 by 152 of 160 pixels of the second gold box.
    assert "place 10, 20, 110, 172 IoU 0.95 2 boxes boundary 0.50 type 1.00" in text
    assert "the woman on the left What it was told a singer Whole reply &lt;think&gt;left" in text
    assert "Looked up: 2 sources searched for lena okoye Brno Sings. Lena&#39;s page" in text
    assert "Looked up too: Okoye searched for Okoye Brno ✗ no search: timed out" in text
    assert "knowledge answer 2 search down timed out · no route" in text
    assert "Before correction: Lena Okoye ORG ✗ Brno LOC ✓" in text
    assert "lowest confidence 0.40 · corrected after a search" in text
    assert '<a href="https://example.org/lena?a=1&amp;b=2" target="_blank" rel="noopener noreferrer nofollow">' in part
    assert "left: 2.50%; top: 10.00%; width: 25.00%; height: 76.00%" in part
    assert part.count('class="box gold') == 2


def test_fine_types_have_their_score(run):
    written(run, [tweet("right", "Ada", [gold(0, "Ada", "person", fine="actor")], [found(0, "Ada", "person")])])
    text = words_of(page_of(run))
    assert "GMNER F1 100.0" in text and "FMNERG F1 0.0" in text and "type person person actor" in text


def test_text_from_outside_is_escaped(run):
    page = page_of(run)
    assert page.count("<script") == 1 and "<img" not in page
    assert "javascript:" not in re.sub(r">[^<]*<", "><", page)  # in no attribute
    assert "&lt;/pre&gt;&lt;/script&gt;&lt;script&gt;document.title" in page
    assert "&amp;amp" in page  # the data's own &amp stays as it is
    # 84 characters of EVIL and 10,000 of LONG in the reply, 10,000 in the tweet: 4000 are shown of each.
    assert "and 6084 more characters" in page and "and 6000 more characters" in page
    assert len(page) < 150_000


def test_needs_no_network(run):
    page = page_of(run)
    script = page[page.index("<script>") + 8 : page.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert (
        f"content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}';"
        in page
    )
    assert re.findall(r'(?:src|href)="([^"]*)"', page) == ["data:,", "https://example.org/lena?a=1&amp;b=2"]


def uris_of(page: str) -> list[str]:
    return re.findall(r"url\(data:image/\w+;base64,([^)]*)\)", page)


@pytest.mark.parametrize(
    "image", ["../secret.png", "link.png", "/etc/hostname", "folder/../../secret.png", "\0", "x" * 999]
)
def test_an_image_outside_the_folder_is_not_shown(run, image):
    Image.new("RGB", (8, 8)).save(run.parent / "secret.png")
    (run.parent / "images" / "link.png").symlink_to(run.parent / "secret.png")
    written(run, [replace(one, image=image) for one in made_up()])
    page = page_of(run)
    assert uris_of(page) == []
    if image.endswith("secret.png"):
        assert page.count("its path leaves the folder of the images") == 5


def test_a_missing_and_a_broken_image_are_said(run):
    (run.parent / "images" / "wrong.jpg").write_bytes(b"\xff\xd8 no image")
    page = page_of(run)
    assert len(uris_of(page)) == 3
    assert "broken image" in part_of(page, 2) and "missing image" in part_of(page, 5)
    assert "left: 50.00%" in part_of(page, 2)  # the boxes are drawn, for the annotation says how large it is


def test_images_are_shrunk_and_stored_once(run):
    written(run, [replace(one, image="several.jpg") for one in made_up()])
    sizes = [Image.open(BytesIO(base64.b64decode(uri))).size for uri in uris_of(page_of(run))]
    assert sizes == [(640, 320)]


def test_boxes_without_an_annotated_size_are_in_the_image_as_it_is(run):
    written(run, [replace(made_up()[1], size=None), replace(made_up()[1], id="gone", image="gone.jpg", size=None)])
    page = page_of(run)
    # Gold is 200 to 300 of 400 pixels wide.
    assert "left: 50.00%; top: 10.00%; width: 25.00%; height: 80.00%" in part_of(page, 1)
    assert 'class="box' not in part_of(page, 2) and "of unknown size" in part_of(page, 2)


@pytest.mark.parametrize("box", [(500.0, 20.0, 600.0, 80.0), (30.0, 30.0, 30.0, 90.0), (90.0, 90.0, 10.0, 10.0)])
def test_a_box_that_holds_nothing_is_told_not_drawn(run, box):
    written(run, [tweet("right", "Ada", [gold(0, "Ada", "PER", LEFT)], [found(0, "Ada", "PER", box)])])
    part = part_of(page_of(run), 1)
    assert part.count('class="box') == 1 and "IoU 0.00" in part and f"{box[0]:.0f}, {box[1]:.0f}" in part


def test_odd_values_are_shown(run):
    odd = replace(found(0, "half \ud800", "PER"), start=-3, end=99)
    written(run, [replace(made_up()[0], tokens=("half", "\ud800"), predicted=(odd,), size=(0, 5))])
    page = page_of(run)
    assert "half ?" in page and "aspect-ratio: 4 / 3" in page


def test_an_empty_run_says_so(run):
    (run / "predictions.jsonl").write_text("")
    assert "This run has no prediction." in page_of(run)


def test_fewer_tweets_than_the_run_has(run):
    page = page_of(run, most_tweets=2)
    assert page.count("<article") == 2
    assert "The numbers are those of all 5 tweets; the first 2 are shown, as asked for." in page
    assert "entities 2 right 2 wrong type" in words_of(page)
    with pytest.raises(ValueError, match="0 tweets"):
        page_of(run, most_tweets=0)


def test_a_page_keeps_to_its_size(run):
    whole = write_prediction_page(run, run / "all.html")
    smaller = write_prediction_page(run, run / "some.html", most_bytes=whole.size - 20_000)
    assert 0 < smaller.shown < whole.shown == whole.tweets == 5
    assert smaller.size == (run / "some.html").stat().st_size <= whole.size - 20_000
    page = (run / "some.html").read_text()
    assert f"which is what fits into {(whole.size - 20_000) / 1e6:g} MB" in page
    assert set(re.findall(r'class="photo p(\d+)"', page)) == set(re.findall(r"^\.p(\d+) ", page, re.MULTILINE))


def test_the_folder_of_the_images(run, tmp_path):
    (run / "metrics.json").unlink()
    with pytest.raises(ValueError, match=r"metrics\.json does not say in which folder the images are"):
        page_of(run)
    assert len(uris_of(page_of(run, images=tmp_path / "images"))) == 4


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000])
def test_metrics_that_cannot_be_read_are_named(run, content):
    (run / "metrics.json").write_text(content)
    with pytest.raises(ValueError, match=r"metrics\.json: no JSON"):
        page_of(run)


def test_a_prediction_that_cannot_be_read_is_named(run):
    lines = (run / "predictions.jsonl").read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace('"start": 0', '"start": "0"')
    (run / "predictions.jsonl").write_text("".join(lines))
    with pytest.raises(ValueError, match=r"predictions\.jsonl:2: gold\[0\]: start='0'"):
        page_of(run)
    assert not (run / "predictions.html").exists()
    with pytest.raises(OSError, match=r"predictions\.jsonl"):
        page_of(run.parent)
