"""The most tokens that an episode with tools can take, so that a budget too small is refused before training.

    completion = steps * (reply + outcome) + reply        outcome = image + text + what the template writes around them
    prompt     = tools + task + first screen

TRL counts outcomes against `max_completion_length`: it takes back an outcome that does not fit and ends the rollout
without a word, so that long tasks would never be done.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase, ProcessorMixin

from setaria.recipes.backtrack.episode_arguments import EpisodeArguments


@dataclass(frozen=True)
class EpisodeBudget:
    """Tokens of an episode at most.

    Attributes:
        steps: calls of tools.
        reply: set aside for each reply.
        image, text: of a screen.
        around: what the template writes around an outcome.
        asked: the longest prompt without its screen.
    """

    steps: int
    reply: int
    image: int
    text: int
    around: int
    asked: int

    @property
    def completion(self) -> int:
        """All replies and outcomes."""
        return self.steps * (self.reply + self.image + self.text + self.around) + self.reply

    @property
    def prompt(self) -> int:
        """The prompt with the first screen."""
        return self.asked + self.image + self.text

    def check(self, max_completion_length: int, context: int) -> None:
        """Refuse a budget into which an episode does not fit.

        Args:
            context: tokens that the model, or vLLM, takes.

        Raises:
            ValueError: with the numbers, and what to set.
        """
        counted = (
            f"{self.steps} steps x ({self.reply} for a reply + {self.image} for an image + {self.text} for its text + "
            f"{self.around} around them) + {self.reply} for a last reply = {self.completion} tokens"
        )
        smaller = "lower episode_steps, image_pixels, text_tokens or reply_tokens"
        if max_completion_length < self.completion:
            raise ValueError(
                f"max_completion_length={max_completion_length}: an episode takes up to {counted}, and TRL would end "
                f"it early without a word: set max_completion_length: {self.completion}, or {smaller}"
            )
        if context <= self.prompt + max_completion_length:
            raise ValueError(
                f"the model takes {context} tokens, not the {self.prompt} of a prompt with its screen + "
                f"max_completion_length={max_completion_length}, of which an episode takes up to {counted}: {smaller}"
            )


def episode_budget(
    processor: ProcessorMixin,
    prompts: Iterable[list[dict[str, Any]]],
    tools: list[Callable],
    arguments: EpisodeArguments,
) -> EpisodeBudget:
    """The budget of episodes that begin with `prompts`, with screens bounded as `arguments` say.

    Args:
        processor: a Qwen-VL processor: an image takes a token per `patch_size * merge_size` squared pixels.
    """
    images = processor.image_processor
    unit = images.patch_size * images.merge_size
    call = {"type": "function", "function": {"name": tools[0].__name__, "arguments": {}}}
    begun = [_message("user"), {**_message("assistant"), "tool_calls": [call]}]
    before = _tokens(processor, begun)
    return EpisodeBudget(
        steps=arguments.episode_steps,
        reply=arguments.reply_tokens,
        image=images.size["longest_edge"] // unit**2,
        text=arguments.text_tokens,
        around=_tokens(processor, [*begun, _message("tool")], add_generation_prompt=True) - before,
        asked=_tokens(processor, [_message("user")], tools=tools, add_generation_prompt=True)
        + max(_count(processor.tokenizer, prompt[-1]["content"]) for prompt in prompts),
    )


def limit_pixels(processor: ProcessorMixin, most: int) -> None:
    """Let a Qwen-VL processor show images with at most `most` pixels.

    Raises:
        ValueError: for less than the processor's least size.
    """
    size = processor.image_processor.size
    if most < size["shortest_edge"]:
        raise ValueError(f"image_pixels={most}: this processor shows no image with less than {size['shortest_edge']}")
    size["longest_edge"] = most


def clip_text(text: str, tokenizer: PreTrainedTokenizerBase, most: int) -> str:
    """`text` without its end where it takes more than `most` tokens."""
    while (taken := _count(tokenizer, text)) > most:
        text = text[: len(text) * most // taken]
    return text


def _message(role: str) -> dict[str, Any]:
    """A message with nothing in it but, from the app, an image."""
    image = [] if role == "assistant" else [{"type": "image"}]
    return {"role": role, "content": [*image, {"type": "text", "text": ""}]}


def _tokens(processor: ProcessorMixin, messages: list[dict[str, Any]], **options: Any) -> int:
    return _count(processor.tokenizer, processor.apply_chat_template(messages, tokenize=False, **options))


def _count(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])
