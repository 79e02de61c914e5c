r"""Layouts in which published preference data comes, as pure functions from one row to TRL's prompt, chosen, rejected.

    explicit_prompt   prompt, chosen, rejected, all text or all messages              TRL
    implicit_prompt   chosen, rejected, the prompt being what they share              TRL
    string_prompt     prompt text; chosen, rejected whole conversations               UltraFeedback
    hh_dialogue       chosen, rejected "\n\nHuman: ...\n\nAssistant: ..." strings     Anthropic/hh-rlhf
    sharegpt          conversations, chosen, rejected of {from, value}                LLaMA-Factory, ranking
    alpaca_eval       instruction, output_1, output_2, preference from 1 to 2         AlpacaEval annotations

A mapper takes a row and returns `{"prompt", "chosen", "rejected"}`, or raises ValueError naming the column and what to
do about it. Empty completions are data and pass; missing ones are errors.
"""

import json
import math
import re


TURN = re.compile(r"\n\n(Human|Assistant):")
HH_ROLES = {"Human": "user", "Assistant": "assistant"}
SHAREGPT_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "system": "system",
    "function_call": "assistant",
    "observation": "tool",
}
IMAGE_MARK = "<image>"
# What tells the layouts apart by their columns; those of chosen and rejected also differ in the columns' types.
COLUMNS = {
    "pairs": {"chosen", "rejected"},
    "sharegpt": {"conversations", "chosen", "rejected"},
    "alpaca_eval": {"instruction", "output_1", "output_2", "preference"},
}


def detect_layout(row: dict) -> str:
    """Name of the layout of `row`, a key of `MAPPERS`; ValueError names the columns found and the layouts known."""
    if row.keys() >= COLUMNS["sharegpt"]:
        return "sharegpt"
    if row.keys() >= COLUMNS["alpaca_eval"]:
        return "alpaca_eval"
    if row.keys() >= COLUMNS["pairs"]:
        prompt = row.get("prompt")
        completion = row["rejected"] if row["chosen"] is None else row["chosen"]
        if prompt is None and isinstance(completion, str):
            return "hh_dialogue" if completion.startswith("\n\nHuman:") else "implicit_prompt"
        if prompt is None and isinstance(completion, list):
            return "implicit_prompt"
        if isinstance(prompt, str) and isinstance(completion, list):
            return "string_prompt"
        if isinstance(prompt, str | list) and (completion is None or isinstance(completion, type(prompt))):
            return "explicit_prompt"
    columns = ", ".join(f"{name} ({type(value).__name__})" for name, value in row.items())
    missing = min((needed - row.keys() for needed in COLUMNS.values()), key=len)
    advice = f"add column {', '.join(sorted(missing))}" if missing else "completions are texts or lists of messages"
    raise ValueError(f"unknown preference layout: columns {columns}; {advice}. Known layouts: {', '.join(MAPPERS)}")


def explicit_prompt(row: dict) -> dict:
    check = _text if isinstance(row["prompt"], str) else _messages
    return {column: check(row, column) for column in ("prompt", "chosen", "rejected")}


def implicit_prompt(row: dict) -> dict:
    if isinstance(row["chosen"], str):
        return _split_texts(_text(row, "chosen"), _text(row, "rejected"))
    return _split_conversations(_messages(row, "chosen"), _messages(row, "rejected"))


def string_prompt(row: dict) -> dict:
    chosen, rejected = _messages(row, "chosen"), _messages(row, "rejected")
    if chosen[0]["role"] == "assistant" and rejected[0]["role"] == "assistant":
        return {"prompt": [_message("user", _text(row, "prompt"))], "chosen": chosen, "rejected": rejected}
    return _split_conversations(chosen, rejected)


def hh_dialogue(row: dict) -> dict:
    return _split_conversations(*(parse_hh_dialogue(_text(row, side), side) for side in ("chosen", "rejected")))


def parse_hh_dialogue(dialogue: str, column: str = "dialogue") -> list[dict]:
    r"""Messages of an HH-RLHF string; white space around a turn goes, neighbouring turns of one speaker are joined."""
    before, *parts = TURN.split(dialogue)
    if before.strip() or len(parts) < 4 or parts[-2] != "Assistant":
        raise ValueError(
            f"column {column!r} must begin with '\\n\\nHuman:' and end with an '\\n\\nAssistant:' turn, found "
            f"{dialogue[:40]!r}...: remove the row"
        )
    messages: list[dict] = []
    for speaker, text in zip(parts[::2], parts[1::2], strict=True):
        role, text = HH_ROLES[speaker], text.strip()
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += f"\n\n{text}"
        else:
            messages.append(_message(role, text))
    return messages


def sharegpt(row: dict) -> dict:
    prompt = [_from_sharegpt(turn, "conversations") for turn in _list(row, "conversations")]
    if row.get("system") and prompt[0]["role"] != "system":
        prompt = [_message("system", row["system"]), *prompt]
    if prompt[-1]["role"] not in ("user", "tool"):
        raise ValueError(
            f"column 'conversations' ends with a turn of the {prompt[-1]['role']}: end it with the turn to be answered"
        )
    if "images" in row:
        prompt = [message | {"content": _image_parts(message["content"])} for message in prompt]
    return {"prompt": prompt} | {side: [_from_sharegpt(row.get(side), side)] for side in ("chosen", "rejected")}


def alpaca_eval(row: dict) -> dict:
    """The better output is chosen. A tie (see `is_tie`) has none; it keeps output_1 as chosen until it is dropped."""
    preference = row["preference"]
    if not is_tie(preference) and not (isinstance(preference, int | float) and 1 <= preference <= 2):
        raise ValueError(f"column 'preference' is {preference!r}: give a number from 1 (output_1) to 2 (output_2)")
    chosen, rejected = ("output_1", "output_2") if is_tie(preference) or preference < 1.5 else ("output_2", "output_1")
    return {
        "prompt": [_message("user", _text(row, "instruction"))],
        "chosen": [_message("assistant", _text(row, chosen))],
        "rejected": [_message("assistant", _text(row, rejected))],
    }


def is_tie(preference: float | None) -> bool:
    """Whether AlpacaEval's preference prefers neither output: 1.5, 0 in old files, or no annotation."""
    return preference in (None, 0, 1.5) or (isinstance(preference, float) and math.isnan(preference))


MAPPERS = {
    "explicit_prompt": explicit_prompt,
    "implicit_prompt": implicit_prompt,
    "string_prompt": string_prompt,
    "hh_dialogue": hh_dialogue,
    "sharegpt": sharegpt,
    "alpaca_eval": alpaca_eval,
}


def _split_conversations(chosen: list[dict], rejected: list[dict]) -> dict:
    """Split before the last assistant turn up to which both conversations agree."""
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    while shared and {chosen[shared]["role"], rejected[shared]["role"]} != {"assistant"}:
        shared -= 1
    if shared == 0:
        raise ValueError(
            "columns 'chosen' and 'rejected' share no prompt that an assistant turn follows: remove the row"
        )
    return {"prompt": chosen[:shared], "chosen": chosen[shared:], "rejected": rejected[shared:]}


def _split_texts(chosen: str, rejected: str) -> dict:
    """Split after the longest common prefix, the space before a completion belonging to it, as TRL does."""
    shared = next((i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), None)
    prompt = chosen[:shared].removesuffix(" ")
    if shared is None or not prompt:
        raise ValueError(
            "columns 'chosen' and 'rejected' share no prompt followed by a completion: add a column 'prompt'"
        )
    return {"prompt": prompt, "chosen": chosen[len(prompt) :], "rejected": rejected[len(prompt) :]}


def _from_sharegpt(turn: object, column: str) -> dict:
    if not isinstance(turn, dict) or not isinstance(turn.get("value"), str) or turn.get("from") not in SHAREGPT_ROLES:
        raise ValueError(
            f"column {column!r} holds {_shown(turn)}: a turn is {{'from': ..., 'value': text}}, from one of "
            f"{', '.join(SHAREGPT_ROLES)}"
        )
    if turn["from"] != "function_call":
        return _message(SHAREGPT_ROLES[turn["from"]], turn["value"])
    return {"role": "assistant", "content": "", "tool_calls": _tool_calls(turn["value"], column)}


def _tool_calls(text: str, column: str) -> list[dict]:
    try:
        calls = json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"column {column!r} holds a function_call that is not JSON ({error}): {text[:60]!r}"
        ) from error
    return [{"type": "function", "function": call} for call in (calls if isinstance(calls, list) else [calls])]


def _image_parts(text: str) -> list[dict]:
    pieces = re.split(f"({IMAGE_MARK})", text)
    return [{"type": "image"} if piece == IMAGE_MARK else {"type": "text", "text": piece} for piece in pieces if piece]


def _message(role: str, content: str) -> dict:
    return {"role": role, "content": content}


def _text(row: dict, column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        raise ValueError(f"column {column!r} is {_shown(value)}, not text: fill it or remove the row")
    return value


def _list(row: dict, column: str) -> list:
    value = row.get(column)
    if not isinstance(value, list) or not value:
        raise ValueError(f"column {column!r} is {_shown(value)}, not a list of turns: fill it or remove the row")
    return value


def _messages(row: dict, column: str) -> list[dict]:
    messages = _list(row, column)
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str) or not _says_something(message):
            raise ValueError(
                f"column {column!r} holds {_shown(message)}: a message is {{'role': ..., 'content': text or parts}}"
            )
    if column != "prompt" and messages[-1]["role"] != "assistant":
        raise ValueError(
            f"column {column!r} ends with a turn of the {messages[-1]['role']}, not with a completion: remove the row"
        )
    return messages


def _says_something(message: dict) -> bool:
    return isinstance(message.get("content"), str | list) or bool(message.get("tool_calls"))


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)[:60]
