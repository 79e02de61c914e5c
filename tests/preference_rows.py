"""Small preference data in every form that people have it."""

from datasets import Dataset
from PIL import Image


WORDS = ["one", "two", "three", "four", "five", "six", "seven"]
QUESTIONS = [f"Say {word}{'!' * (index % 3)}" for index, word in enumerate(WORDS)]


def messages(role: str, content) -> list[dict]:
    return [{"role": role, "content": content}]


def conversational() -> Dataset:
    """Eight pairs of different lengths."""
    return Dataset.from_list(
        [
            {
                "prompt": messages("user", question),
                "chosen": messages("assistant", question[4:] * (index % 2 + 1)),
                "rejected": messages("assistant", "no " * (index % 3 + 1)),
            }
            for index, question in enumerate([*QUESTIONS, "Say eight"])
        ]
    )


def implicit_prompt() -> Dataset:
    return conversational().map(
        lambda row: {side: row["prompt"] + row[side] for side in ("chosen", "rejected")}, remove_columns=["prompt"]
    )


def ultrafeedback() -> Dataset:
    """`ultrafeedback_binarized`: a string prompt beside whole conversations."""
    return Dataset.from_list(
        [
            {
                "prompt": row["prompt"][0]["content"],
                "prompt_id": str(index),
                "chosen": row["prompt"] + row["chosen"],
                "rejected": row["prompt"] + row["rejected"],
                "messages": row["prompt"] + row["chosen"],
                "score_chosen": 8.0,
                "score_rejected": 3.0,
            }
            for index, row in enumerate(conversational())
        ]
    )


def plain_text() -> Dataset:
    return Dataset.from_list(
        [{key: row[key][0]["content"] for key in ("prompt", "chosen", "rejected")} for row in conversational()]
    )


def vision() -> Dataset:
    """Two sizes of image, so that pairs differ in their number of image tokens."""
    return Dataset.from_list(
        [
            {
                "images": [Image.new("RGB", (32 + 16 * (index % 2), 32), (40 * index, 90, 20))],
                "prompt": messages("user", [{"type": "image"}, {"type": "text", "text": f"Colour {index}?"}]),
                "chosen": messages("assistant", [{"type": "text", "text": "red" * (index + 1)}]),
                "rejected": messages("assistant", [{"type": "text", "text": "no"}]),
            }
            for index in range(4)
        ]
    )


LAYOUTS = {
    "conversational": conversational,
    "implicit_prompt": implicit_prompt,
    "ultrafeedback": ultrafeedback,
    "plain_text": plain_text,
}


def history(trainer, key: str) -> list[float]:
    """The values logged under `key`, in order."""
    return [entry[key] for entry in trainer.state.log_history if key in entry]
