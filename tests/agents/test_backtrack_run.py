"""Episodes side by side: each as if it ran alone, finished ones not again, and every question to its own role."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_agents import (
    PROMPTS,
    WAYS,
    Rooms,
    Script,
    WayGold,
    dice_agent,
    go,
    said,
    task,
    without_seconds,
)

from setaria.agents.backtrack.loop import LoopConfig, Play
from setaria.agents.backtrack.roles import Agent, Ask
from setaria.agents.backtrack.run import run_episodes
from setaria.agents.backtrack.traces import TraceFolder, read_traces
from setaria.rewards.gui.actions import Click, action_from_dict


DEFAULT = LoopConfig()
REASONS = ("complete", "too many steps", "the same action", "no action: ", "environment lost: unplugged")


def plays(trace, count, config=DEFAULT, **rooms):
    return [Play(task(f"t{number}"), Rooms(**rooms), PROMPTS, config, trace, WayGold()) for number in range(count)]


def names(episodes):
    return [episode["episode"] for episode in episodes]


configs = st.builds(
    LoopConfig,
    verifier=st.booleans(),
    judger=st.booleans(),
    reflections=st.integers(0, 3),
    threshold=st.sampled_from([0.0, 0.5, 0.9]),
    judge_all=st.booleans(),
    simulated=st.booleans(),
    steps=st.integers(1, 5),
    repeats=st.integers(1, 3),
)
houses = st.fixed_dictionaries({"lost_at": st.none() | st.integers(0, 12), "undo": st.booleans()})


@settings(max_examples=60)
@given(st.integers(0, 10**6), configs, st.lists(houses, min_size=1, max_size=6), st.integers(1, 4))
def test_side_by_side_is_as_one_by_one(tmp_path_factory, seed, config, rooms, batch):
    """Only the order in which episodes are finished may differ, and the times."""
    runs = []
    for size in (1, batch):
        trace = TraceFolder(tmp_path_factory.mktemp("run"))
        started = [
            Play(task(f"t{number}"), Rooms(**house), PROMPTS, config, trace, WayGold())
            for number, house in enumerate(rooms)
        ]
        for episode in run_episodes(started, dice_agent(seed), trace, size):
            environment = started[int(episode["episode"][1:])].environment
            assert_consistent(episode, environment, config)
        runs.append(list(read_traces(trace.folder)))
    alone, together = runs
    assert names(alone) == [f"t{number}" for number in range(len(rooms))]
    assert without_seconds(alone) == without_seconds(sorted(together, key=lambda episode: episode["episode"]))


def assert_consistent(episode, environment, config):
    """The actions that stood lead from page to page as the trace says, and the environment is where they end."""
    reason, steps = episode["end"]["reason"], episode["steps"]
    assert reason.startswith(REASONS) and len(steps) <= config.steps
    room = "hall"
    for step in steps:
        attempts = step["attempts"]
        assert step["page"]["id"] == room and step["accepted"] == len(attempts) - 1
        assert len(attempts) <= 1 + config.reflections * (config.verifier or config.judger)
        assert [attempt["role"] for attempt in attempts] == ["generator", *["reflector"] * 3][: len(attempts)]
        assert not any(attempt["accepted"] for attempt in attempts[:-1])
        for attempt in attempts:
            if attempt["outcome"]:
                assert attempt["outcome"]["page"]["id"] == led_to(room, action_from_dict(attempt["action"]))
        if attempts and attempts[-1]["outcome"]:
            undone = "could not be undone" not in (attempts[-1]["error"] or "")
            room = attempts[-1]["outcome"]["page"]["id"] if undone else "hall"
    if not reason.startswith("environment lost"):
        assert environment.room == episode["end"]["page"]["id"] == room
        assert episode["end"]["success"] == (room == "cellar")


def led_to(room, action):
    return action.text if isinstance(action, Click) and action.text in WAYS[room] else room


def test_questions_of_a_round_are_put_to_each_role_at_once(tmp_path):
    """Three episodes: the first attempt of the second is turned down, so that two roles are asked in a round."""
    rounds = []

    def answering(role, answer):
        def answers(asks):
            rounds.append((role, [ask.task.id for ask in asks]))
            return [answer(ask) for ask in asks]

        return answers

    agent = Agent(
        answering("generator", lambda ask: said(go("garden" if ask.task.id == "t1" else "kitchen"))),
        answering("judger", lambda ask: float(ask.attempt[1] == go("kitchen"))),
        answering("reflector", lambda ask: said(go("kitchen"))),
    )
    trace = TraceFolder(tmp_path)
    episodes = list(run_episodes(plays(trace, 3, LoopConfig(steps=1)), agent, trace))
    assert rounds == [
        ("generator", ["t0", "t1", "t2"]),
        ("judger", ["t0", "t1", "t2"]),
        ("reflector", ["t1"]),
        ("judger", ["t1"]),
    ]
    assert names(episodes) == names(read_traces(tmp_path)) == ["t0", "t2", "t1"]
    assert [len(episode["steps"][0]["attempts"]) for episode in episodes] == [1, 1, 2]


def test_each_answer_goes_to_its_own_question(tmp_path):
    """The places are asked for in the order of the tasks, also where other roles are asked in between."""
    places = {"t0": ["garden", "kitchen"], "t1": ["kitchen", "kitchen"], "t2": ["cellar", "kitchen"]}

    def reply(asks):
        return [said(go(places[ask.task.id][ask.role == "reflector"])) for ask in asks]

    def judge(asks):
        return [{"garden": 0.125, "kitchen": 0.75, "cellar": 0.25}[ask.attempt[1].text] for ask in asks]

    trace = TraceFolder(tmp_path)
    episodes = list(run_episodes(plays(trace, 3, LoopConfig(steps=1)), Agent(reply, judge, reply), trace))
    judged = {one["episode"]: [attempt["judger"] for attempt in one["steps"][0]["attempts"]] for one in episodes}
    assert judged == {"t0": [0.125, 0.75], "t1": [0.75], "t2": [0.25, 0.75]}


def test_no_more_than_a_batch_is_started(tmp_path):
    """And the next one as soon as one is finished."""
    started, sizes = [], []
    trace = TraceFolder(tmp_path)

    def starting():
        for play in plays(trace, 7, LoopConfig(steps=1, judger=False)):
            started.append(play.task.id)
            yield play

    def reply(asks):
        sizes.append(len(asks))
        return [said(go("kitchen"))] * len(asks)

    running = run_episodes(starting(), Agent(reply, reply, reply), trace, batch=3)
    assert next(running)["episode"] == "t0"
    assert started == ["t0", "t1", "t2"]
    assert names(running) == [f"t{number}" for number in range(1, 7)]
    assert sizes == [3, 3, 1]


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_episodes_that_are_lost_before_the_first_question(tmp_path, batch):
    trace = TraceFolder(tmp_path)
    lost_at = [0, 1, None, 0, 0, None, 1]
    started = [
        Play(task(f"t{number}"), Rooms(lost_at=call), PROMPTS, LoopConfig(steps=1), trace)
        for number, call in enumerate(lost_at)
    ]
    episodes = list(run_episodes(started, Script([said(go("kitchen"))]).agent, trace, batch))
    reasons = {episode["episode"]: episode["end"]["reason"] for episode in episodes}
    assert len(episodes) == 7 == len(list(read_traces(tmp_path)))
    assert [reasons[f"t{number}"] == "too many steps" for number in range(7)] == [call is None for call in lost_at]


def test_finished_episodes_are_not_run_again(tmp_path):
    """Killed after one of three episodes and in the middle of writing the next, at every byte of it."""
    trace = TraceFolder(tmp_path)
    script = Script([said(go("kitchen"))])
    whole = list(run_episodes(plays(trace, 3, LoopConfig(steps=1)), script.agent, trace, batch=1))
    first, second, _ = trace.file.read_bytes().splitlines(keepends=True)
    for cut in range(0, len(second), 7):
        trace.file.write_bytes(first + second[:cut])
        again = TraceFolder(tmp_path)
        assert again.finished() == {"t0"}
        started = plays(again, 3, LoopConfig(steps=1))
        assert names(run_episodes(started, script.agent, again)) == ["t1", "t2"]
        assert started[0].environment.calls == []
        assert without_seconds(list(read_traces(tmp_path))) == without_seconds(json.loads(json.dumps(whole)))
    assert list(run_episodes(plays(again, 3), script.agent, again)) == []


def test_a_role_that_fails_leaves_the_finished_episodes(tmp_path):
    """The episodes that were under way are run by the next call."""
    trace = TraceFolder(tmp_path)

    def reply(asks):
        if asks[0].task.id == "t2":
            raise RuntimeError("out of memory")
        return [said(go("kitchen"))] * len(asks)

    agent = Agent(reply, lambda asks: [1.0] * len(asks), reply)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(run_episodes(plays(trace, 4, LoopConfig(steps=1)), agent, trace, batch=2))
    assert TraceFolder(tmp_path).finished() == {"t0", "t1"}
    script = Script([said(go("kitchen"))])
    assert names(run_episodes(plays(trace, 4, LoopConfig(steps=1)), script.agent, trace)) == ["t2", "t3"]


@pytest.mark.parametrize("answers", [[], ["complete()"], ["complete()"] * 3])
def test_other_than_one_answer_per_question(tmp_path, answers):
    trace = TraceFolder(tmp_path)
    agent = Agent(lambda _: answers, lambda _: [], lambda _: [])
    with pytest.raises(ValueError, match=f"generator: {len(answers)} answers to 2 questions"):
        list(run_episodes(plays(trace, 2), agent, trace))
    assert trace.finished() == set()


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_of_none(tmp_path, batch):
    trace = TraceFolder(tmp_path)
    with pytest.raises(ValueError, match=f"batch={batch}: at least 1"):
        list(run_episodes(plays(trace, 2), Script([""]).agent, trace, batch))


def test_no_episodes(tmp_path):
    trace = TraceFolder(tmp_path)
    assert list(run_episodes([], Script([""]).agent, trace)) == []
    assert not trace.file.exists()


class Chat:
    """A `ChatModel` that says its name and the last line of the question."""

    def __init__(self, name):
        self.name = name

    def generate(self, conversations):
        return [f"{self.name}: {one[0]['content'][-1]['text'].splitlines()[-1]}" for one in conversations]

    def yes_probability(self, conversations):
        return [len(self.name) / 10 + len(conversations) for _ in conversations]


def test_models_as_roles(tmp_path):
    trace = TraceFolder(tmp_path)
    agent = Agent.of_models(Chat("one"), Chat("four"), Chat("three"))
    (episode,) = run_episodes(plays(trace, 1), agent, trace)
    replies = [attempt["reply"] for attempt in episode["steps"][0]["attempts"]]
    reflected = "three: The second screen came after the last attempt. Give another action."
    assert replies == ["one: Next action?", reflected, reflected, reflected]
    asks = Script([said(go("kitchen"))])
    list(run_episodes(plays(trace, 2)[1:], asks.agent, trace))
    assert agent.judger(asks.asked("judger")[:1]) == [1.4]


def test_a_reflector_that_cannot_be_told_how_to_begin():
    agent = Agent.of_models(Chat("one"), Chat("four"), Chat("three"))
    ask = Ask(
        "reflector", [{"role": "user", "content": [{"type": "text", "text": "?"}]}], task("t"), beginnings=("a",)
    )
    with pytest.raises(ValueError, match="Chat cannot be told how a reply begins"):
        agent.reflector([ask])


def test_seconds_of_a_batch_are_shared(tmp_path, monkeypatch):
    """The clock moves by 6 s within each call of a role: 3 s for each of two episodes, and two calls per attempt."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def answering(answer):
        def answers(asks):
            now[0] += 6.0
            return [answer] * len(asks)

        return answers

    agent = Agent(answering(said(go("kitchen"))), answering(1.0), answering(""))
    trace = TraceFolder(tmp_path)
    for episode in run_episodes(plays(trace, 2, LoopConfig(steps=1)), agent, trace):
        assert episode["steps"][0]["attempts"][0]["seconds"] == 6.0
        assert episode["end"]["seconds"] == 12.0
