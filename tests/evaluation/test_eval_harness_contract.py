"""Names of lm-evaluation-harness that we use and it does not promise: when one moves, this says which."""

import inspect

import pytest
from lm_eval.api.task import ConfigurableTask, Task
from lm_eval.models.huggingface import HFLM


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (HFLM, "generate_until", ["self", "requests", "disable_tqdm"]),
        (HFLM, "_loglikelihood_tokens", ["self", "requests", "disable_tqdm", "override_bs"]),
    ],
)
def test_what_is_overridden_has_the_signature_we_override(owner, name, parameters):
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters, f"lm-eval changed {name}"


def test_tasks_keep_their_requests_and_filters_where_we_look():
    assert "self._instances = " in inspect.getsource(Task)
    assert "self._filters" in inspect.getsource(ConfigurableTask)
