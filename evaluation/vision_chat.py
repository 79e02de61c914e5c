"""A vision-language checkpoint as the agents talk to it: greedy, with its adapter, in its family's numbers."""

from peft import PeftModel

from setaria.agents.backtrack.local_chat import LocalChat
from setaria.evaluation.config import NONE
from setaria.evaluation.loading import Checkpoint
from setaria.evaluation.scores import Setting
from setaria.models.box_codec import CODECS


def vision_chat(checkpoint: Checkpoint, setting: Setting, max_new_tokens: int, batch: int) -> LocalChat:
    """The checkpoint as a chat model; `hooked` around it puts the setting's cache and drafter into its replies.

    Args:
        batch: questions at once; one where drafts go over a quantised cache, since only then they change nothing.
    """
    model = checkpoint.model
    adapter = model.active_adapter if isinstance(model, PeftModel) else None
    alone = NONE not in (setting.cache, setting.drafter)
    return LocalChat(model, checkpoint.processor, adapter, max_new_tokens, 1 if alone else batch)


def family(checkpoint: Checkpoint) -> str:
    """The family whose numbers the checkpoint writes boxes in.

    Raises:
        ValueError: for an architecture whose numbers are not known.
    """
    found = checkpoint.model.config.model_type
    if found not in CODECS:
        raise ValueError(f"{checkpoint.model.name_or_path}: boxes of {', '.join(CODECS)} are known, not of {found}")
    return found
