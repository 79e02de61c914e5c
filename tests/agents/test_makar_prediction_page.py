"""The page of predictions of a made-up run: its verdicts, what it escapes and refuses, how it behaves in a browser."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from setaria.agents.makar.correction import Lookup
from setaria.agents.makar.prediction_page import write_prediction_page
from setaria.agents.makar.prediction_verdicts import verdicts
from setaria.agents.makar.predictions import Found, Mark, Prediction, prediction_line
from setaria.agents.makar.search import Hit
from setaria.rewards.entity_scores import entity_scores
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity


EVIL = "</pre></script><script>document.title = 'owned'</script><img src=x onerror=alert(1)>"
LONG = "W" * 10_000
LEFT, RIGHT = (10.0, 20.0, 110.0, 180.0), (200.0, 20.0, 300.0, 180.0)


def gold(start: int, text: str, type_: str, *boxes, fine: str = "") -> GoldEntity:
    return GoldEntity(start, start + len(text.split()), text, type_, fine, boxes)


def found(start: int, text: str, type_: str, box=None, **changes) -> Found:
    return Found(start, start + len(text.split()), text, type_, box=box, **changes)


def tweet(name: str, words: str, golds=(), said=(), **changes) -> Prediction:
    values = {"image": f"{name}.jpg", "size": (400, 200), **changes}
    return Prediction(name, tuple(words.split()), gold=tuple(golds), predicted=tuple(said), **values)


def asked(name: str, *hits: Hit, **changes) -> Lookup:
    return Lookup(name, f"{name} Brno", False, hits, **changes)


def made_up() -> list[Prediction]:
    """Tweets: all right; wrong type and box; a None error, a missed and a spurious one; nothing; hostile texts."""
    web = Hit("Lena's page", "https://example.org/lena?a=1&b=2", "A singer.", "searxng", "2025-11-26")
    corpus = Hit("Lena", "page 7", "Also a singer.", "corpus")
    sure = {"boundary": 0.5, "type_confidence": 1.0, "thought": "the woman on the left", "known": "a singer"}
    lena = found(1, "Lena Okoye", "PER", (10.0, 20.0, 110.0, 172.0), reply="<think>left</think>", **sure)
    return [
        tweet(
            "right",
            "RT Lena Okoye in Brno",
            [gold(1, "Lena Okoye", "PER", RIGHT, LEFT), gold(4, "Brno", "LOC")],
            [lena, found(4, "Brno", "LOC")],
            before=(PredictedEntity(1, 3, "Lena Okoye", "ORG"), PredictedEntity(4, 5, "Brno", "LOC")),
            confidence=0.4,
            corrected=True,
            knowledge="Named entities: 1. Lena Okoye",
            lookups=(asked("lena okoye", web, corpus, summary="Sings."), asked("Okoye", down="timed out")),
            marks=(Mark("search down", "timed out"), Mark("knowledge", "answer 2"), Mark("search down", "no route")),
        ),
        tweet("wrong", "Kiwi Bank opens", [gold(0, "Kiwi Bank", "ORG", RIGHT)], [found(0, "Kiwi Bank", "LOC", LEFT)]),
        tweet(
            "several",
            "Ada , Ben and Cy Dee",
            [gold(0, "Ada", "PER", LEFT), gold(2, "Ben", "PER"), gold(4, "Cy", "PER"), gold(5, "Dee", "PER")],
            [
                found(0, "Ada", "PER"),
                found(2, "Ben", "PER", LEFT),
                found(4, "Cy Dee", "PER"),
                found(3, "and", "OTHER", readable=False),
            ],
        ),
        tweet("nothing", "good morning"),
        tweet(
            "hostile",
            f"{LONG} &amp",
            [gold(1, "&amp", "OTHER")],
            [replace(found(1, EVIL, EVIL, (0.0, 0.0, 1e8, 1e8), thought=EVIL, known=EVIL, reply=EVIL + LONG), end=2)],
            lookups=(
                asked(EVIL, Hit(EVIL, "javascript:alert(1)", EVIL, EVIL), summary=EVIL, unread=(EVIL,)),
                asked("odd", Hit("odd", f'https://example.org/"><script>{EVIL}', "", "x")),
            ),
            knowledge=EVIL,
            size=None,
            marks=(Mark("image", EVIL), Mark("tweet searched", LONG)),
        ),
    ]


def written(folder: Path, predictions: list[Prediction]) -> Path:
    folder.mkdir(exist_ok=True)
    lines = [json.dumps(prediction_line(one)) + "\n" for one in predictions]
    (folder / "predictions.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture
def run(tmp_path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    for name, size in (
        ("right", (400, 200)),
        ("wrong", (400, 200)),
        ("several", (1600, 800)),
        ("nothing", (300, 600)),
    ):
        image = Image.new("RGB", size, "#dbe9f4")
        ImageDraw.Draw(image).ellipse((10, 20, 110, 180), fill="#3367d6")
        image.save(images / f"{name}.jpg")
    folder = written(tmp_path / "run", made_up())
    agents = {"knowledge": "model", "search": "corpus"}
    facts = {"images": str(images), "split": "test", "agents": agents}
    (folder / "metrics.json").write_text(json.dumps(facts))
    return folder


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


@pytest.fixture
def opened(run, browser):
    """The page in a browser of 1400 by 900; what it logs fails the test."""
    file = write_prediction_page(run, run / "predictions.html").file
    browser.get_log("browser")
    metrics = {"width": 1400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(file.as_uri())
    yield browser
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    assert browser.title == "run: predictions"


def shown(browser) -> list[str]:
    """Ids of the tweets whose panel is seen."""
    return browser.execute_script(
        "return [...document.querySelectorAll('#tweets > article')].filter(one => one.offsetHeight)"
        ".map(one => one.querySelector('header code').textContent)"
    )


def listed(browser) -> list[int]:
    """Numbers of the tweets that are listed."""
    return browser.execute_script(
        "return [...document.querySelectorAll('#entries > li')].flatMap((one, place) => one.hidden ? [] : [place + 1])"
    )


def press(browser, keys: str) -> None:
    browser.find_element("tag name", "body").send_keys(keys)


@pytest.mark.browser
def test_filters_and_search(opened):
    expected = {
        "All 5": [1, 2, 3, 4, 5],
        "All right 2": [1, 4],
        "Wrong type 2": [2, 5],
        "Wrong box 1": [2],
        "None errors 2": [3, 5],
        "Unread place 0": None,
        "Missed 1": [3],
        "Spurious 1": [3],
        "Searched 2": [1, 5],
        "With marks 2": [1, 5],
    }
    buttons = opened.find_elements("css selector", "#filters button")
    assert [button.text for button in buttons] == list(expected)
    for button, numbers in zip(buttons, expected.values(), strict=True):
        assert button.is_enabled() == (numbers is not None)
        if numbers:
            button.click()
            assert listed(opened) == numbers
            assert button.get_attribute("aria-pressed") == "true"
    search = opened.find_element("id", "search")
    buttons[0].click()
    search.send_keys("BANK kiwi")
    assert listed(opened) == [2] and shown(opened) == ["wrong"]
    search.send_keys(" jf?")  # typed, not keys
    assert listed(opened) == [] and shown(opened) == []
    assert opened.find_element("id", "nothing").is_displayed()
    search.clear()
    search.send_keys("the woman on the left")  # reasoning is text as well
    assert listed(opened) == [1]
    assert opened.find_element("id", "status").text == "1 of 5 tweets"


@pytest.mark.browser
def test_keyboard(opened):
    for keys, expected in (
        ("k", "right"),
        ("j", "wrong"),
        ("jj", "nothing"),
        ("jj", "hostile"),
        ("f", "right"),  # all right: what is shown is not among them, so the first is
        ("f", "wrong"),  # wrong type
        ("f", "wrong"),  # wrong box
        ("f", "several"),  # None errors
        ("f", "several"),  # missed: unread place is passed over, there is none
        ("f", "several"),  # spurious
        ("f", "right"),  # searched
        ("j", "hostile"),
        ("f", "hostile"),  # with marks
        ("f", "hostile"),  # all
        ("kkkk", "right"),
    ):
        press(opened, keys)
        assert shown(opened) == [expected], keys
    press(opened, "?")
    assert opened.find_element("id", "help").is_displayed()
    press(opened, "j")
    assert shown(opened) == ["right"]
    press(opened, "\ue00c")  # escape
    assert not opened.find_element("id", "help").is_displayed()
    press(opened, "/")
    assert opened.switch_to.active_element.get_attribute("id") == "search"
    assert opened.current_url.endswith("#1")


@pytest.mark.browser
def test_boxes_on_the_image(opened):
    panel = "#tweets > article:not([hidden])"
    photo = opened.find_element("css selector", f"{panel} button.photo")
    assert photo.value_of_css_property("background-image").startswith('url("data:image/')
    boxes = photo.find_elements("css selector", ".box")
    assert [(box.get_attribute("class").split()[1], box.text) for box in boxes] == [
        ("right", "1 PER"),
        ("gold", "1 gold"),
        ("gold", "1 gold"),
    ]
    image, box = photo.rect, boxes[0].rect
    # 10 to 110 of 400 pixels, 20 to 172 of 200.
    assert image["width"] / image["height"] == pytest.approx(2, abs=0.01)
    assert box["x"] - image["x"] == pytest.approx(image["width"] * 10 / 400, abs=1)
    assert box["y"] - image["y"] == pytest.approx(image["height"] * 20 / 200, abs=1)
    assert box["width"] == pytest.approx(image["width"] * 100 / 400, abs=1)
    assert box["height"] == pytest.approx(image["height"] * 152 / 200, abs=1)
    photo.click()
    zoom = opened.find_element("id", "zoom")
    assert zoom.is_displayed() and zoom.find_element("css selector", ".photo").rect["width"] > 1200
    zoom.click()
    assert not zoom.is_displayed()


@pytest.mark.browser
def test_an_entity_stands_out(opened):
    def dimmed() -> list[str]:
        boxes = opened.find_elements("css selector", "#tweets > article:not([hidden]) .box.dim i")
        return [box.text for box in boxes]

    assert dimmed() == []
    press(opened, "\ue014\ue014")  # right: Brno, which has no box
    assert dimmed() == ["1 PER", "1 gold", "1 gold"]
    assert opened.find_element("css selector", ".entity[aria-current]").get_attribute("data-entity") == "2"
    assert [mark.text for mark in opened.find_elements("css selector", "mark.chosen")] == ["Brno2"]
    press(opened, "\ue012")  # left
    assert dimmed() == []
    press(opened, "\ue014\ue00c")  # and let go
    assert opened.find_elements("css selector", ".entity[aria-current]") == []
    opened.find_element("css selector", "#tweets > article:not([hidden]) .entity:nth-child(2) h3").click()
    assert len(opened.find_elements("css selector", ".entity[aria-current]")) == 1


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_scrolls_sideways(opened, scheme, width):
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    opened.execute_script("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    for name in ("right", "wrong", "several", "nothing", "hostile"):
        assert shown(opened) == [name]
        widths = opened.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert widths[0] <= widths[1], f"the page scrolls sideways at {name}"
        press(opened, "j")
    background = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 19, 24)"}[scheme]
