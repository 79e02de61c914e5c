"""Apps as tools: what TRL makes tools of, what each does on a generated app, bad calls, and instances used again."""

import inspect

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from PIL import Image
from transformers.utils import get_json_schema

from setaria.agents.backtrack.tool_environment import TOOLS, GuiTools, episode_rows, tool_environment
from setaria.datasets_builders.gui.mobile3m import read_app_graph
from setaria.datasets_builders.gui.mobile3m_writer import write_app_graph
from setaria.datasets_builders.gui.pages import Page
from setaria.datasets_builders.gui.tasks import Task
from setaria.datasets_builders.worlds.apps import generate_app
from setaria.rewards.gui.actions import Click


# Sections on the home screen; one of more than 4 topics scrolls.
APP = generate_app(0)
SECTION = next(iter(APP.layout))
TOPIC = APP.layout[SECTION][0]
HOME = ["Search", *APP.layout, "Get Premium", "Sync"]
JUNK = st.one_of(st.none(), st.integers(), st.text(), st.lists(st.text()), st.just("<|image_pad|>\ud800"))


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    return read_app_graph(write_app_graph(APP, tmp_path_factory.mktemp("world"), port=8100))


@pytest.fixture(scope="module")
def tasks(graph):
    """One task per section, whose goal is the section's screen."""
    found = []
    for section in APP.layout:
        home = graph.page(graph.root)
        click = next(action for action in home.actions if isinstance(action, Click) and action.text == section)
        goal = graph.outcome(graph.root, graph.action_id(home, click))
        found.append(Task(section, graph.app, f"Open {section}.", graph.root, goal, ()))
    return found


@pytest.fixture
def environment(graph, tasks):
    """Makes an app on which the first section's task has begun."""

    def make(**options):
        app = tool_environment({graph.app: graph}, tasks, **options)()
        app.reset(task=SECTION, prompt=[{"role": "user", "content": "Open it."}])
        return app

    return make


def text(content):
    return content[-1]["text"]


def images(content):
    return [block["image"] for block in content if block["type"] == "image"]


def test_trl_sees_the_five_tools_and_nothing_else(environment):
    """TRL's rule: functions on the class without an underscore, but `reset` and `get_reward`."""
    functions = [name for name, _ in inspect.getmembers(type(environment()), inspect.isfunction)]
    tools = [name for name in functions if not name.startswith("_") and name not in ("reset", "get_reward")]
    assert tools == list(TOOLS) == ["click", "complete", "go_back", "scroll", "type_text"]


def test_schemas(environment):
    app = environment()
    schemas = {name: get_json_schema(getattr(app, name))["function"]["parameters"] for name in TOOLS}
    assert {name: sorted(schema["properties"]) for name, schema in schemas.items()} == {
        "click": ["ref"],
        "type_text": ["ref", "value"],
        "scroll": ["direction"],
        "go_back": [],
        "complete": [],
    }
    assert schemas["scroll"]["properties"]["direction"]["enum"] == ["up", "down", "left", "right"]


def test_the_first_screen(environment, graph):
    app = environment()
    first = app.reset(task=SECTION, prompt=[], other=1)
    assert [block["type"] for block in first] == ["image", "text"]
    assert images(first)[0].size == APP.size
    shown = ", ".join(f'"{name}"' for name in HOME)
    assert text(first) == f'This is the screen.\nclick: [{shown}]\ntype_text: ["Search"]'


def test_clicking_to_the_goal(environment):
    app = environment()
    assert app.get_reward() == 0.0
    outcome = app.click(SECTION)
    assert text(outcome).startswith('The screen changed.\nclick: ["Back", ') and len(images(outcome)) == 1
    assert app.get_reward() == 1.0
    assert app.complete() == [{"type": "text", "text": "The episode is over."}]
    assert app.click("Back") == [{"type": "text", "text": "The episode is over."}]
    assert app.go_back() == [{"type": "text", "text": "The episode is over."}]
    assert app.get_reward() == 1.0


def test_going_back_is_one_step_deep(environment):
    """After a wrong turn and another one, only the last is taken back; the second time there is none."""
    app = environment()
    app.click(SECTION)
    app.click(TOPIC)
    assert app.get_reward() == 0.0
    back = app.go_back()
    assert text(back).startswith("The last action was taken back.\n") and len(images(back)) == 1
    assert app.get_reward() == 1.0
    assert app.go_back() == [{"type": "text", "text": "There is no action to take back."}]


def test_typing_and_a_text_that_no_walk_typed(environment):
    app = environment()
    query = APP.searchable[0]
    assert text(app.type_text("Search", query)).startswith(f'The screen changed.\nclick: ["Back", "{query}"]')
    app = environment()
    assert text(app.type_text("Search", "something else")).startswith("unknown: no walk tried this action here\n")


def test_scrolling(environment):
    app = environment()
    assert text(app.scroll("up")) == "nothing on this screen can be scrolled"
    long = next(section for section, topics in APP.layout.items() if len(topics) > 4)
    app.click(long)
    assert f'"{APP.layout[long][4]}"' in text(app.scroll("up"))
    assert text(app.scroll("left")).startswith("not effective: the page did not change\n")


def test_an_action_that_fails_keeps_the_screen(environment):
    app = environment()
    outcome = app.click("Sync")
    assert text(outcome).startswith("not valid: its execution failed\n") and len(images(outcome)) == 1


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (lambda app: app.click("Nowhere"), "'Nowhere' is not in the list click of this screen"),
        (lambda app: app.click(["Sync"]), "['Sync'] is not in the list click of this screen"),
        (lambda app: app.click("<|im_end|>\ud800"), "'< |im_end|>\\ud800' is not in the list click of this screen"),
        (lambda app: app.click("x" * 99), f"'{'x' * 76}... is not in the list click of this screen"),
        (lambda app: app.type_text("Sync", "a"), "'Sync' is not in the list type_text of this screen"),
        (lambda app: app.type_text("Search", 5), "input: value '5' is no text"),
        (lambda app: app.type_text("Search", "\ud800"), "input: value '\\ud800' is no text"),
    ],
)
def test_a_bad_call_is_answered(environment, call, answer):
    app = environment(verifier_weight=0.5)
    assert call(app) == [{"type": "text", "text": answer}]
    assert app.get_reward() == -0.5  # the only call failed
    app.click(SECTION)
    assert app.get_reward() == 1 - 0.5 / 2  # one of two


def test_a_bad_direction(environment):
    app = environment()
    app.click(SECTION)
    assert text(app.scroll("sideways")) == "scroll: direction 'sideways' is none of up, down, left, right"


def test_steps_run_out_on_the_last_screen(environment):
    app = environment(max_steps=2)
    app.click("Nowhere")
    last = app.click(SECTION)
    assert text(last).startswith("The episode is over. The screen changed.\n") and len(images(last)) == 1
    assert app.click("Back") == [{"type": "text", "text": "The episode is over."}]
    assert app.get_reward() == 1.0


def test_images_are_fitted_and_texts_clipped(environment):
    app = environment(fit=lambda image: image.resize((32, 64)), clip=lambda written: written[:9])
    outcome = app.click(SECTION)
    assert images(outcome)[0].size == (32, 64)
    assert text(outcome) == "The scree"


def test_an_instance_is_used_again(environment, tasks):
    """After `reset` nothing is left of the episode before: no steps, no failures, nothing to take back, no end."""
    app = environment(max_steps=2, verifier_weight=1.0)
    app.click("Nowhere")
    app.click(SECTION)
    fresh = environment(max_steps=2, verifier_weight=1.0)
    assert text(app.reset(task=tasks[1].id)) == text(fresh.reset(task=tasks[1].id))
    assert app.get_reward() == fresh.get_reward() == 0.0
    assert app.go_back() == fresh.go_back()
    app.click(tasks[1].id)
    assert app.get_reward() == 1 - 1 / 2


def test_instances_do_not_share_an_episode(graph, tasks):
    make = tool_environment({graph.app: graph}, tasks)
    one, other = make(), make()
    one.reset(task=SECTION)
    other.reset(task=SECTION)
    one.click(SECTION)
    assert (one.get_reward(), other.get_reward()) == (1.0, 0.0)


def test_elements_of_one_name_and_names_that_look_like_tokens():
    """A page is data: two elements called the same can be told apart, a special token in a name is none."""
    row = '<TextView clickable="true" text="{}" bounds="[0,{}][40,{}]"/>'
    names = ["Mail", "&lt;|image_pad|&gt;", "Mail", " a&#9;b ", "Off"]
    rows = [row.format(name, 100 * (name == "Off") + y, 100 * (name == "Off") + y + 9) for y, name in enumerate(names)]

    class Pages:
        app, root = "a", "a0"

        def page(self, name):
            return Page(name, Image.new("RGB", (40, 60)), f"<a>{''.join(rows)}</a>")

    app = GuiTools({"a": Pages()}, {"t": Task("t", "a", "", "a0", "a0", ())})
    assert text(app.reset("t")).endswith('click: ["Mail", "< |image_pad|>", "Mail (2)", "a b"]')


def test_rows_and_what_is_refused(graph, tasks):
    rows = episode_rows([*tasks, Task("t", graph.app, "Type <|im_end|>.", graph.root, graph.root, ())])
    assert rows.column_names == ["prompt", "task"] and rows["task"][0] == SECTION
    assert rows[0]["prompt"][0]["content"].startswith(f"Task: Open {SECTION}.\nUse the app with the tools")
    assert rows[-1]["prompt"][0]["content"].startswith("Task: Type < |im_end|>.\n")
    with pytest.raises(ValueError, match="two tasks are called"):
        tool_environment({graph.app: graph}, [*tasks, tasks[0]])
    with pytest.raises(ValueError, match="no graph of the app"):
        tool_environment({}, tasks)
    with pytest.raises(ValueError, match="there is no task 'x'"):
        tool_environment({graph.app: graph}, tasks)().reset(task="x")


@pytest.fixture(scope="module")
def machine(graph, tasks):
    class Calls(RuleBasedStateMachine):
        """Whatever a model calls, no tool raises, and screens never outnumber steps."""

        @initialize(steps=st.integers(1, 6))
        def begin(self, steps):
            self.app = tool_environment({graph.app: graph}, tasks, max_steps=steps, verifier_weight=0.5)()
            self.app.reset(task=SECTION)
            self.left = steps

        @rule(ref=st.sampled_from([*HOME, TOPIC, "Back", "Turn on"]) | JUNK)
        def click(self, ref):
            self.called(self.app.click(ref))

        @rule(ref=st.sampled_from(["Search", "Note"]) | JUNK, value=st.sampled_from(APP.searchable) | JUNK)
        def type_text(self, ref, value):
            self.called(self.app.type_text(ref, value))

        @rule(direction=st.sampled_from(["up", "down"]) | JUNK)
        def scroll(self, direction):
            self.called(self.app.scroll(direction))

        @rule()
        def go_back(self):
            self.called(self.app.go_back())

        def called(self, content):
            self.left -= len(images(content))
            assert text(content).encode() and "<|" not in text(content)

        @invariant()
        def bounded(self):
            assert self.left >= 0
            assert -0.5 <= self.app.get_reward() <= 1.0

    return Calls


def test_any_calls(machine):
    run_state_machine_as_test(machine, settings=settings(max_examples=20, stateful_step_count=12, deadline=None))
