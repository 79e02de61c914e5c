"""Chat models for tests of the knowledge and correction agents: they follow a script and keep what they are asked."""


class ScriptedChat:
    """Answers by `script(text of the last turn)`, or in the order of a list of replies.

    Args:
        dies_at: number of the call of `generate`, from 0, that raises.
    """

    def __init__(self, script, dies_at=None):
        self.script, self.dies_at = script if callable(script) else list(script), dies_at
        self.calls, self.asked = [], []

    def generate(self, conversations):
        if len(self.calls) == self.dies_at:
            raise ConnectionError("unplugged")
        self.calls.append(len(conversations))
        self.asked += conversations
        if callable(self.script):
            return [self.script(text(conversation)) for conversation in conversations]
        return [self.script.pop(0) for _ in conversations]


class Silent(ScriptedChat):
    """Must not be asked."""

    def __init__(self):
        super().__init__([], dies_at=0)


def text(conversation):
    """The text of the last turn."""
    return "".join(part["text"] for part in conversation[-1]["content"] if part["type"] == "text")


def images(conversation):
    """The images of all turns."""
    return [part["image"] for turn in conversation for part in turn["content"] if part["type"] == "image"]
