"""Gold reward of the notes world: an exact, computable score of a note against the request it answers.

    gold = .15 greeting + .40 coverage + .20 courtesy + .25 closing
         - .30 unrequested - .30 repetition - .30 rambling - .50 malformed

Each component is in [0, 1], so gold is in [-1.4, 1] and a perfect note scores exactly 1. The weights are our choice:
what was asked counts most, and a text that falls apart scores below an empty one, which scores 0.
"""

from dataclasses import asdict, dataclass

from setaria.rewards.notes_language import COURTESIES, PHRASES, Request, split_sentences, thing_of


# Greeting, courtesy and closing beside one sentence per thing.
FRAME_SENTENCES = 3


@dataclass(frozen=True)
class NoteScore:
    """Components of the gold reward, each in [0, 1]; the first four are earned, the last four are deducted.

    Attributes:
        greeting: 1 if the note begins with the greeting of the tone and the right name.
        coverage: share of the requested things that a well-formed sentence is about.
        courtesy: 1 if a courtesy of the tone is said.
        closing: 1 if the note ends with the closing of the tone.
        unrequested: share of the mentioned things that nobody asked for.
        repetition: share of the sentences that repeat an earlier one.
        rambling: share of the sentences beyond the number that the request needs.
        malformed: share of the sentences that nobody says in this world: wrong words, word salad, cut off.
    """

    greeting: float
    coverage: float
    courtesy: float
    closing: float
    unrequested: float
    repetition: float
    rambling: float
    malformed: float

    @property
    def gold(self) -> float:
        """The reward, at most 1, rounded to 6 decimals so that a perfect note scores exactly 1."""
        earned = 0.15 * self.greeting + 0.40 * self.coverage + 0.20 * self.courtesy + 0.25 * self.closing
        deducted = 0.30 * (self.unrequested + self.repetition + self.rambling) + 0.50 * self.malformed
        return round(earned - deducted, 6)


def score_note(request: str, note: str) -> NoteScore:
    """Score the text of a note; ValueError if `request` is not a request of the world."""
    asked = Request.parse(request)
    sentences = split_sentences(note)
    if not sentences:
        return NoteScore(0, 0, 0, 0, 0, 0, 0, 0)
    mentioned = {thing_of(sentence) for sentence in sentences} - {None}
    needed = FRAME_SENTENCES + len(asked.things)
    return NoteScore(
        greeting=float(sentences[0] == asked.greeting),
        coverage=len(mentioned & set(asked.things)) / len(asked.things),
        courtesy=float(any(courtesy in sentences for courtesy in COURTESIES[asked.tone])),
        closing=float(sentences[-1] == asked.closing),
        unrequested=len(mentioned - set(asked.things)) / max(len(mentioned), 1),
        repetition=1 - len(set(sentences)) / len(sentences),
        rambling=max(len(sentences) - needed, 0) / len(sentences),
        malformed=sum(sentence not in PHRASES for sentence in sentences) / len(sentences),
    )


def note_reward(prompts: list, completions: list, **columns) -> list[float]:
    """Gold reward as a TRL reward function; prompts and completions are texts or conversations."""
    return [
        score_note(_last_text(prompt), _last_text(completion)).gold
        for prompt, completion in zip(prompts, completions, strict=True)
    ]


def mean_components(prompts: list[str], notes: list[str]) -> dict[str, float]:
    """Mean gold and mean of every component over the notes, by name."""
    scores = [score_note(prompt, note) for prompt, note in zip(prompts, notes, strict=True)]
    rows = [{"gold": score.gold, **asdict(score)} for score in scores]
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _last_text(text_or_messages: str | list[dict]) -> str:
    return text_or_messages if isinstance(text_or_messages, str) else text_or_messages[-1]["content"]
