"""What the three roles are shown and asked: one contract for training, reinforcement and inference.

    generator   a = G(X, P, A(P), h)               the task, the page, its candidate actions, the actions so far
    judger      J(X, P, A(P), h, a, P')            the same, an action and the page after it; Yes or No
    reflector   a' = R(X, P, A(P), h, tried, P')   the same, the attempts at this step, the page after the last

(paper, section 3). Pages are images; boxes in actions are in the numbers of the model's family. Candidates with their
middle off the screen are left out. Ours: the wording, that the Judger's question ends with the task, and that what was
tried is told to the Reflector by name ("click Save"), its candidates being those that are left, so that no attempt can
be copied. Ours too, and optional: a Judger that describes the outcome before its verdict. It numbers the names on the
second screen and repeats the task, in which a name that is on the screen gets its number.

    Tools(1) Back(2) Editor(3) Cutter(4)
    Open Editor(3).
    Yes
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from PIL import Image
from transformers import ProcessorMixin

from setaria.datasets_builders.gui.pages import Page
from setaria.models.box_codec import CODECS, BoxCodec, Size, box_codec
from setaria.models.image_size import processed_size, to_fixed_point
from setaria.rewards.boxes import Box, center, clip, contains
from setaria.rewards.gui.actions import (
    Action,
    Click,
    Complete,
    Input,
    LongPress,
    Scroll,
    format_action,
    parse_action,
)


Conversation: TypeAlias = list[dict[str, Any]]
GENERATE = "Next action?"
JUDGE = "The second screen came after it. Does it help with the task? Answer Yes or No."
DESCRIBE = "The second screen came after it. Name what is on it. Does it help with the task? End with Yes or No."
REFLECT = "The second screen came after the last attempt. Give another action."
NAME = "Name what can be used on the last screen."


@dataclass(frozen=True)
class Prompts:
    """Writes the conversations of a model family.

    Attributes:
        codec: the family's boxes.
        processed_size: size (width, height) of an image as the model sees it, for a family with absolute coordinates.
        fit: what is done to each image, so that training, rollouts and evaluation see the same pixels.
        history: how many of the last actions are shown (Auto-UI: 8).
        described: the Judger describes the screen after the action before its verdict; a small one sees more then.
    """

    codec: BoxCodec = CODECS["qwen2_vl"]
    processed_size: Callable[[Size], Size] | None = None
    fit: Callable[[Image.Image], Image.Image] | None = None
    history: int = 8
    described: bool = False

    @classmethod
    def of_processor(
        cls, family: str, processor: ProcessorMixin, history: int = 8, described: bool = False
    ) -> "Prompts":
        """Prompts for a family of `box_codec`; images are resized as its processor would."""
        return cls(
            box_codec(family),
            partial(processed_size, processor),
            partial(to_fixed_point, processor=processor),
            history,
            described,
        )

    def generator(self, instruction: str, page: Page, done: Sequence[Action]) -> Conversation:
        """Ask for the next action on `page`."""
        return self._user([page], f"{self._context(instruction, page, done)}\n{GENERATE}")

    def judger(
        self, instruction: str, page: Page, done: Sequence[Action], action: Action, after: Page
    ) -> Conversation:
        """Ask whether `action`, which led to `after`, is helpful."""
        context = self._context(instruction, page, done)
        asked = DESCRIBE if self.described else JUDGE
        question = f"Action: {self.write(action, page)}\n{asked}\nTask: {instruction}"
        return self._user([page, after], f"{context}\n{question}")

    def judged(self, instruction: str, after: Page, verdict: str) -> str:
        """The Judger's answer in training: the verdict, Yes or No, after a description if it gives one."""
        if not self.described:
            return verdict
        return f"{name_of_page(after)}\n{with_numbers(instruction, _names(after))}\n{verdict}"

    def reflector(
        self, instruction: str, page: Page, done: Sequence[Action], tried: Sequence[Action], after: Page
    ) -> Conversation:
        """Ask for an action other than `tried`, of which the last one led to `after`."""
        return self._user([page, after], f"{self._context(instruction, page, done, tried)}\n{REFLECT}")

    def beginnings(self, page: Page, tried: Sequence[Action]) -> tuple[str, ...]:
        """How the replies begin that name a candidate that is left, or `complete()` if it was not tried.

        An input's value is left open. There are none for a page without candidates.
        """
        left = [re.sub(r'(, ")"\)$', r"\1", candidate) for candidate in self._left(page, tried)]
        return tuple(left + [format_action(Complete())] * (Complete() not in tried)) if page.actions else ()

    def naming(self, pages: Sequence[Page]) -> Conversation:
        """Ask what is on the last page: the grounding task, without which a small judger stays blind."""
        return self._user(pages, NAME)

    def write(self, action: Action, page: Page) -> str:
        """An action on `page` in the model's numbers; what is outside the page, at its edge."""

        def encode(box: Box) -> tuple[int, int, int, int]:
            return self.codec.encode(clip(box, page.size), page.size, self._processed(page))

        return format_action(action, encode)

    def read(self, reply: str, page: Page) -> Action:
        """The action that a reply about `page` means, boxes in pixels.

        Raises:
            ActionError: for a reply that is no action.
        """

        def decode(numbers: Sequence[float]) -> Box:
            return self.codec.decode(numbers, page.size, self._processed(page))

        return parse_action(reply, decode)

    def _context(self, instruction: str, page: Page, done: Sequence[Action], tried: Sequence[Action] = ()) -> str:
        lines = [f"Task: {instruction}", "Done:"]
        lines += [self.write(action, page) for action in done[max(0, len(done) - self.history) :]] or ["nothing"]
        lines += ["These did not help:", *(self._told(action, page) for action in tried)] if tried else []
        lines += ["Actions:", *self._left(page, tried)]
        return "\n".join(lines)

    def _left(self, page: Page, tried: Sequence[Action]) -> list[str]:
        """The candidates that were not tried."""
        attempts = {self.write(action, page) for action in tried}
        candidates = (self.write(action, page) for action in page.actions if _on_screen(action, page))
        return [candidate for candidate in candidates if candidate not in attempts]

    def _told(self, action: Action, page: Page) -> str:
        """An attempt by the name of its element; as it is written if it has none."""
        match action:
            case Click(text=name) if name:
                return f"click {name}"
            case LongPress(text=name) if name:
                return f"long_press {name}"
            case Input(text=name, value=value) if name:
                return f"input {name} {json.dumps(value, ensure_ascii=False)}"
        return self.write(action, page)

    def _user(self, pages: Sequence[Page], text: str) -> Conversation:
        fit = self.fit or (lambda image: image)
        images = [{"type": "image", "image": fit(page.image)} for page in pages]
        return [{"role": "user", "content": [*images, {"type": "text", "text": text}]}]

    def _processed(self, page: Page) -> Size | None:
        return self.processed_size(page.size) if self.processed_size else None


def name_of_page(page: Page) -> str:
    """The answer of the grounding task: the names of the page's elements, numbered in order."""
    return numbered(_names(page))


def numbered(names: Sequence[str]) -> str:
    """Names with their numbers: "Tools(1) Back(2)"."""
    return " ".join(f"{name}({number})" for number, name in enumerate(names, 1))


def with_numbers(instruction: str, names: Sequence[str]) -> str:
    """An instruction in which names, as whole words, have the number of the first of that name."""
    if not names:
        return instruction
    longest_first = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    numbered_name = rf"(?<!\w)(?:{longest_first})(?!\w)"
    return re.sub(numbered_name, lambda name: f"{name[0]}({names.index(name[0]) + 1})", instruction)


def _names(page: Page) -> list[str]:
    return [element.name for element in page.elements if element.name]


def _on_screen(action: Action, page: Page) -> bool:
    assert isinstance(action, Click | Input | Scroll)
    return contains((0, 0, *page.size), *center(action.box))
