"""Verdicts of a model behind an OpenAI-compatible endpoint, at temperature 0, kept one by one: none is paid twice.

RUN/judged/<slug of the setting>/<slug of the task>.jsonl   items: the judge's prompt and reply, and the verdict

A verdict's id has a digest of the judge's name and of the whole prompt, so that another judge, another wording and
another answer have verdicts of their own. A reply that holds no verdict is asked for once more and then kept without.
Where requests fail one after the other the judge is taken to be down: the rest is left for the next start.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from setaria.agents.backtrack.endpoint import Endpoint, EndpointError
from setaria.evaluation.config import EvalConfig
from setaria.evaluation.items import Item, ItemFile, slug
from setaria.evaluation.judge_prompts import Form
from setaria.evaluation.scores import Setting


MOST_FAILURES = 10  # one after the other
MOST_REPLY_TOKENS = 2048
NO_VERDICT = "no verdict in its reply"


class Judge:
    """A served model that judges answers of one task.

    Args:
        endpoint: the model; its requests are asked again as it says.
        run: folder of the run.
        task: name of the task.
    """

    def __init__(self, endpoint: Endpoint, run: Path, task: str):
        self.endpoint, self.run, self.task = endpoint, run, task

    @classmethod
    def of(cls, config: EvalConfig, task: str) -> "Judge | None":
        """The configured judge, if there is one; without a key where the environment has none.

        Raises:
            ValueError: for a `judge_url` that is no address.
        """
        if config.judge_url is None or config.judge_model is None:
            return None
        key = config.judge_key_env if os.environ.get(config.judge_key_env) else None
        try:
            endpoint = Endpoint(config.judge_url, config.judge_model, key, max_tokens=MOST_REPLY_TOKENS)
        except ValueError as error:
            raise ValueError(f"judge_url: {error}") from None
        return cls(endpoint, config.output, task)

    def verdicts(self, setting: Setting, form: Form, prompts: dict[str, str]) -> dict[str, float | str]:
        """The verdict for each prompt by its name, or the reason why there is none."""
        ids = {name: f"{name} {self._digest(prompt)}" for name, prompt in prompts.items()}
        file = ItemFile(self.run / "judged" / setting.slug / f"{slug(self.task)}.jsonl")
        kept = file.finished()
        reasons: dict[str, str] = {}
        reason, failures = "", 0
        with ThreadPoolExecutor(self.endpoint.concurrency) as pool:
            asked = {pool.submit(self._ask, form, prompts[name]): name for name in prompts if ids[name] not in kept}
            try:
                for answered in as_completed(asked):
                    name = asked[answered]
                    try:
                        reply, verdict = answered.result()
                    except EndpointError as error:
                        reason = reasons[name] = str(error)
                        failures += 1
                        if failures == MOST_FAILURES:
                            break
                        continue
                    failures = 0
                    scores = {} if verdict is None else {"verdict": verdict}
                    extra = {"judge": self.endpoint.model}
                    item = kept[ids[name]] = Item(ids[name], prompts[name], reply, "", scores, "generation", extra)
                    file.add(item)
            finally:
                pool.shutdown(cancel_futures=True)
        return {
            name: kept[id].scores.get("verdict", NO_VERDICT) if id in kept else reasons.get(name, reason)
            for name, id in ids.items()
        }

    def _ask(self, form: Form, prompt: str) -> tuple[str, float | None]:
        reply = self._reply(prompt)
        verdict = form.read(reply)
        if verdict is None:
            reply = self._reply(f"{prompt}\n\nThe last line has to be one of these: {form.written}")
            verdict = form.read(reply)
        return reply, verdict

    def _reply(self, prompt: str) -> str:
        [reply] = self.endpoint.generate([[{"role": "user", "content": [{"type": "text", "text": prompt}]}]])
        return reply

    def _digest(self, prompt: str) -> str:
        return hashlib.sha256(f"{self.endpoint.model}\n{prompt}".encode()).hexdigest()[:16]


def scored(item: Item, verdicts: dict[str, float | str]) -> Item:
    """The item with verdicts as scores; in `extra`, `unjudged` says why one is missing."""
    scores = {name: verdict for name, verdict in verdicts.items() if not isinstance(verdict, str)}
    missing = [verdict for verdict in verdicts.values() if isinstance(verdict, str)]
    extra = {"unjudged": missing[0]} if missing else {}
    return replace(item, scores=item.scores | scores, extra=item.extra | extra)


def unjudged_note(items: Sequence[Item]) -> list[str]:
    """One note on items that lack verdicts, if there are any, with the most frequent reason."""
    reasons = Counter(item.extra["unjudged"] for item in items if "unjudged" in item.extra)
    if not reasons:
        return []
    [(reason, times)] = reasons.most_common(1)
    return [f"{reasons.total()} of {len(items)} items lack a verdict of the judge; {times}: {reason}"]
