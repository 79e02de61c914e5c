"""The apps world: seeded phone apps whose topics hide behind sections, for agents that must notice a wrong turn.

An app has a home screen, sections, topics in sections, and confirmations; a topic is usually, but not always, in the
section where most apps keep it, so an agent in an app that it does not know has to try, look, and go back. There are
elements without effect, elements that fail, an advertisement that leaves the app, scrolling lists, a search, and notes
that barely change the screen. All of it is our choice; nothing imitates a real app.
"""

import random
from dataclasses import dataclass

from setaria.datasets_builders.worlds.app_screens import Screen, Theme, Widget
from setaria.rewards.gui.actions import Action, Click, Input, Scroll


# Topic: its glyph and the section in which apps usually keep it.
SECTIONS = {"Account": "☻", "Tools": "⚒", "Saved": "✓", "Today": "☼", "Settings": "⚙", "Plans": "⚐"}
TOPICS = {
    "Mail": ("✉", "Account"),
    "Calls": ("☎", "Account"),
    "Friends": ("☺", "Account"),
    "Rewards": ("♛", "Account"),
    "Editor": ("✎", "Tools"),
    "Cutter": ("✂", "Tools"),
    "Power": ("⚡", "Tools"),
    "Scale": ("⚖", "Tools"),
    "Favorites": ("★", "Saved"),
    "Likes": ("♥", "Saved"),
    "Harbors": ("⚓", "Saved"),
    "Melodies": ("♫", "Saved"),
    "Sun": ("☀", "Today"),
    "Rain": ("☂", "Today"),
    "Coffee": ("☕", "Today"),
    "Moon": ("☾", "Today"),
    "Backup": ("☁", "Settings"),
    "Recycler": ("♻", "Settings"),
    "Privacy": ("☠", "Settings"),
    "Balance": ("☯", "Settings"),
    "Flights": ("✈", "Plans"),
    "Garden": ("❀", "Plans"),
    "Chess": ("♞", "Plans"),
    "Clover": ("♣", "Plans"),
}
USUAL = 0.6  # chance of a topic to be put where most apps keep it; else it gets any of the 4 sections, so .7 are there
VISIBLE_TOPICS = 4  # of a section, before scrolling
SYLLABLES = ("fer", "no", "ta", "lu", "mi", "ker", "so", "va", "pin", "do", "re", "zu")
SIZES = ((360, 640), (540, 960), (720, 1280))
SIZE_WEIGHTS = (8, 1, 1)
BACK = Widget("back", "Back")


@dataclass(frozen=True)
class App:
    """One app: which sections hold which topics, and how it looks. States are tuples such as `("dialog", "Mail")`."""

    name: str
    theme: Theme
    size: tuple[int, int]
    layout: dict[str, list[str]]
    searchable: tuple[str, ...]
    grid: bool

    @property
    def start(self) -> tuple:
        """The home screen."""
        return ("home",)

    @property
    def texts(self) -> tuple[str, ...]:
        """What walks type into input boxes."""
        return self.searchable

    def screen(self, state: tuple) -> Screen:
        """What a state looks like."""
        kind, *about = state
        title, widgets = getattr(self, f"_{kind}")(*about)
        package = "com.superstar" if kind == "advertisement" else f"com.{self.name.lower()}"
        return Screen(title, tuple(widgets), self.theme, self.size, package, self.grid and kind == "home")

    def act(self, state: tuple, action: Action) -> tuple | None:
        """The state after an action on an element of the screen; `None` if it cannot be executed."""
        match action, state:
            case Scroll(direction="up"), ("section", section, _) if len(self.layout[section]) > VISIBLE_TOPICS:
                return ("section", section, True)
            case Scroll(direction="down"), ("section", section, _):
                return ("section", section, False)
            case Input(value=query), ("home",):
                return ("results", query)
            case Input(value=note), ("topic", topic, _):
                return ("topic", topic, note)
            case Click(text="Sync"), _:
                return None
            case Click(text=name), _:
                return self._clicked(state, name)
        return state

    def _clicked(self, state: tuple, name: str) -> tuple:
        match state, name:
            case ("topic" | "done", topic, *_), "Back":
                return ("section", self.section_of(topic), False)
            case _, "Back":
                return self.start
            case _, "Get Premium":
                return ("advertisement",)
            case ("topic", topic, _), "Turn on":
                return ("dialog", topic)
            case ("dialog", topic), "Yes":
                return ("done", topic)
            case ("dialog", topic), "No":
                return ("topic", topic, "")
            case ("home",), section if section in self.layout:
                return ("section", section, False)
            case ("section" | "results", *_), topic if topic in TOPICS:
                return ("topic", topic, "")
        return state

    def section_of(self, topic: str) -> str:
        """The section that holds a topic."""
        return next(section for section, topics in self.layout.items() if topic in topics)

    def _home(self):
        sections = [Widget("entry", section, SECTIONS[section]) for section in self.layout]
        return self.name, [
            Widget("search", "Search"),
            *sections,
            Widget("banner", "Get Premium"),
            Widget("button", "Sync"),
        ]

    def _section(self, section: str, scrolled: bool):
        topics = self.layout[section]
        shown = topics[VISIBLE_TOPICS:] if scrolled else topics[:VISIBLE_TOPICS]
        return section, [BACK, Widget("list", ""), *map(_entry, shown)]

    def _results(self, query: str):
        found = [topic for topics in self.layout.values() for topic in topics if topic == query]
        return "Results", [BACK, Widget("label", f"Results for {query}"), *map(_entry, found)]

    def _topic(self, topic: str, note: str):
        buttons = [Widget("button", "Turn on"), Widget("button", "Share")]
        return topic, [BACK, _picture(topic), *buttons, Widget("note", note or "Note")]

    def _dialog(self, topic: str):
        question = Widget("label", f"Turn on {topic}?")
        return topic, [_picture(topic), question, Widget("button", "Yes"), Widget("button", "No")]

    def _done(self, topic: str):
        return topic, [BACK, Widget("picture", "Done", "✔"), Widget("label", f"{topic} is on")]

    def _advertisement(self):
        return "Superstar", [Widget("picture", "Play now", "✪"), Widget("label", "Free on all phones")]


def generate_app(seed: int, held_out: bool = False) -> App:
    """An app drawn from a seed; held-out apps share no seed, so no layout, with the others."""
    rng = random.Random(f"{'held-out' if held_out else 'train'} {seed}")
    sections = rng.sample(sorted(SECTIONS), 4)
    layout: dict[str, list[str]] = {section: [] for section in sections}
    for topic in rng.sample(sorted(TOPICS), 14):
        usual = TOPICS[topic][1]
        at_home = usual in layout and rng.random() < USUAL
        layout[usual if at_home else rng.choice(sections)].append(topic)
    for section in sections:
        if not layout[section]:
            fullest = max(sections, key=lambda one: len(layout[one]))
            layout[section].append(layout[fullest].pop())
    return App(
        name=_name(2 * seed + held_out),
        theme=Theme.draw(rng),
        size=rng.choices(SIZES, SIZE_WEIGHTS)[0],
        layout=layout,
        searchable=tuple(rng.sample([topic for topics in layout.values() for topic in topics], 2)),
        grid=rng.random() < 0.3,
    )


def _name(number: int) -> str:
    """A name of three syllables; the first 1320 differ."""
    parts = []
    left = list(SYLLABLES)
    for _ in range(3):
        number, place = divmod(number, len(left))
        parts.append(left.pop(place))
    return "".join(parts).capitalize()


def _entry(topic: str) -> Widget:
    return Widget("entry", topic, TOPICS[topic][0])


def _picture(topic: str) -> Widget:
    return Widget("picture", topic, TOPICS[topic][0])
