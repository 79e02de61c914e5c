"""The correction agent (ECA): what the knowledge agent is not sure of is looked up, and decided again.

    a candidate with boundary or type_confidence < tau
      ->  search for its name  ->  pages  ->  summary by the model
      ->  the model names the entities again, from tweet, image, candidates and summaries

New entities are tokens of the tweet. The old ones stay where nothing is in doubt, nothing was found, or the answer
cannot be read. A search that is down leaves the model with what it knows, and is marked. The paper has the trigger
without its threshold, which `threshold` tunes, and the search without its form, which is ours.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from setaria.agents.makar.candidates import Candidate
from setaria.agents.makar.confidence import Said, lowest
from setaria.agents.makar.correction_prompts import CorrectionPrompts, holds_tweet, query_of, read_summary
from setaria.agents.makar.knowledge import Answer, Knowledge, knowledge_text, read_answer
from setaria.agents.makar.knowledge_prompts import Unlabelled
from setaria.agents.makar.recorded_chat import Question, RecordingChat
from setaria.agents.makar.search import Hit, PageError, PageReader, SearchDown, Searcher, WebPage
from setaria.rewards.grounded_entities import PredictedEntity


@dataclass(frozen=True)
class CorrectionConfig:
    """When and how much is looked up.

    Attributes:
        tau: a candidate below it, in boundary or type, is in doubt; 0 looks nothing up, above 1 everything.
        names: most names of a tweet that are looked up, those in the greatest doubt.
        hits: pages per name (released: 3).
        words: words of the tweet beside the name in a query; see `query_of`.
        at_once: tweets whose pages are held at once.
    """

    tau: float
    names: int = 4
    hits: int = 3
    words: int = 3
    at_once: int = 32

    def __post_init__(self):
        for name, least in {"tau": 0, "names": 1, "hits": 1, "words": 0, "at_once": 1}.items():
            if not getattr(self, name) >= least:
                raise ValueError(f"{name}={getattr(self, name)}: at least {least} is expected")


@dataclass(frozen=True)
class Lookup:
    """A name that was looked up.

    Attributes:
        name: as the candidate has it.
        query: what was searched for; empty for a name without a word, such as an emoji.
        holds_tweet: whether all words of the tweet were in the query, so that the tweet itself could be found.
        sources: the pages, as they were found.
        summary: what they say, empty if nothing.
        down: why no search could be made; else empty.
        unread: pages that could not be read, with reasons; what the engine shows of them stands for them.
    """

    name: str
    query: str
    holds_tweet: bool
    sources: tuple[Hit, ...] = ()
    summary: str = ""
    down: str = ""
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class Correction:
    """The entities of a tweet after correction.

    Attributes:
        tweet: its id.
        entities: in order; their boxes are not known.
        text: for the tagger, as of `Knowledge`.
        about: what is known of single names, by their words: what the model said, then what the web says.
        asked: what was looked up; nothing if nothing was in doubt.
        decided: whether the model named the entities again; if not, they are those from before.
        problems: what of its answer could not be used, and why.
    """

    tweet: str
    entities: tuple[PredictedEntity, ...]
    text: str
    about: Mapping[str, str]
    asked: tuple[Lookup, ...] = ()
    decided: bool = False
    problems: tuple[str, ...] = ()

    @property
    def degraded(self) -> str:
        """Why the web could not be asked about some name, so that what the model knows had to do; else empty."""
        return next((lookup.down for lookup in self.asked if lookup.down), "")

    @property
    def sources(self) -> tuple[Hit, ...]:
        """All pages that were looked at, each once."""
        return tuple({hit.url: hit for lookup in self.asked for hit in lookup.sources}.values())


@dataclass(frozen=True)
class CorrectionAgent:
    """Looks up and decides.

    Attributes:
        chat: the model that summarises and decides, best at temperature 0.
        prompts: what it is asked.
        searcher, pages: the web. In a run that may be interrupted they should record too: other pages are other
            questions to the model.
        config: when and how much.
    """

    chat: RecordingChat
    prompts: CorrectionPrompts
    searcher: Searcher
    pages: PageReader
    config: CorrectionConfig

    def corrections(self, tweets: Iterable[tuple[Unlabelled, Knowledge]]) -> Iterator[Correction]:
        """The entities of each tweet, in order. Raises what the model raises.

        Raises:
            ValueError: for knowledge of another tweet.
        """
        left = iter(tweets)
        while chunk := list(islice(left, self.config.at_once)):
            for tweet, knowledge in chunk:
                if tweet.id != knowledge.tweet:
                    raise ValueError(f"tweet {tweet.id} comes with the knowledge of tweet {knowledge.tweet}")
            cases = [_Case(tweet, knowledge) for tweet, knowledge in chunk]
            self._look_up(cases)
            self._decide([case for case in cases if any(lookup.summary for lookup in case.asked)])
            for case in cases:
                yield case.result()

    def _look_up(self, cases: Iterable["_Case"]) -> None:
        """Let the cases have what the web says on their names in doubt."""
        searched = [
            (case, *self._search(case, name))
            for case in cases
            for name in names_in_doubt(case.knowledge.candidates, self.config.tau)[: self.config.names]
        ]
        questions = [
            Question(case.tweet.id, self.prompts.summarise(case.tweet, lookup.name, pages))
            for case, lookup, pages in searched
            if pages
        ]
        replies = iter(self.chat.replies(questions))
        for case, lookup, pages in searched:
            case.asked.append(replace(lookup, summary=read_summary(next(replies))) if pages else lookup)

    def _search(self, case: "_Case", name: str) -> tuple[Lookup, list[WebPage]]:
        names = [candidate.text for candidate in case.knowledge.candidates]
        query = query_of(name, case.tweet, self.config.words, names)
        asked = Lookup(name, query, holds_tweet(query, case.tweet))
        if not query:
            return asked, []
        try:
            hits = self.searcher.search(query, self.config.hits)
        except SearchDown as error:
            return replace(asked, down=str(error)), []
        read = [self._read(hit) for hit in hits]
        unread = tuple(fault for _, fault in read if fault)
        return replace(asked, sources=tuple(hits), unread=unread), [page for page, _ in read if page.text.strip()]

    def _read(self, hit: Hit) -> tuple[WebPage, str]:
        """A page, or what the engine shows of it, and why it could not be read."""
        shown = WebPage(hit.title, hit.url, hit.snippet)
        try:
            page = self.pages.page(hit.url)
        except PageError as error:
            return shown, str(error)
        return page if page.text.strip() else shown, ""

    def _decide(self, cases: list["_Case"]) -> None:
        """Let the model name the entities of these cases again."""
        questions = []
        for case in cases:
            summaries = {lookup.name: lookup.summary for lookup in case.asked if lookup.summary}
            photo = self.prompts.knowledge.show(case.tweet)
            asked = self.prompts.decide(case.tweet, photo, case.knowledge.candidates, summaries)
            questions.append(Question(case.tweet.id, asked))
        for case, reply in zip(cases, self.chat.replies(questions), strict=True):
            case.answer = read_answer(reply, case.tweet.tokens, self.prompts.knowledge.layout)


def names_in_doubt(candidates: Iterable[Candidate], tau: float) -> list[str]:
    """The names of candidates that are in doubt, each once, in the greatest doubt first."""
    names: dict[str, str] = {}
    for one in sorted(candidates, key=lambda one: lowest([one])):
        if lowest([one]) < tau:
            names.setdefault(one.text.casefold(), one.text)
    return list(names.values())


@dataclass
class _Case:
    """A tweet under way, with what was looked up and what the model decided, once it has."""

    tweet: Unlabelled
    knowledge: Knowledge
    asked: list[Lookup] = field(default_factory=list)
    answer: Answer | None = None

    def result(self) -> Correction:
        """What has become of it."""
        known, answer = self.knowledge, self.answer
        about = self._with_web(known.about)
        old = Correction(known.tweet, known.entities, known.text, about, tuple(self.asked))
        if answer is None:
            return old
        if answer.said is None:
            return replace(old, problems=answer.problems)
        entities = tuple(map(self._entity, sorted(answer.said, key=lambda one: one.place)))
        reasons = {self._words(one): one.reason for one in answer.said if one.reason}
        return replace(
            old,
            entities=entities,
            text=knowledge_text(entities, answer.reasoning),
            about=self._with_web({**known.about, **reasons}),
            decided=True,
            problems=answer.problems,
        )

    def _with_web(self, about: Mapping[str, str]) -> dict[str, str]:
        found = {lookup.name: lookup.summary for lookup in self.asked if lookup.summary}
        return {**about, **{name: f"{about.get(name, '')} {said}".strip() for name, said in found.items()}}

    def _entity(self, said: Said) -> PredictedEntity:
        return PredictedEntity(*said.place, self._words(said), *said.label)

    def _words(self, said: Said) -> str:
        return " ".join(self.tweet.tokens[said.start : said.end])
