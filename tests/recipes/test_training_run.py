"""Private names of transformers that `recipes/training_run.py` uses: when one moves, this says so."""

import inspect

from transformers import core_model_loading


def test_loading_leaves_its_renamings_on_the_model():
    source = inspect.getsource(core_model_loading)
    assert "model._weight_conversions =" in source, "transformers keeps a model's renamings elsewhere"
    assert 'getattr(model, "_weight_conversions"' in source, "saving no longer undoes the renamings kept on the model"


def test_a_renaming_knows_whether_it_was_used():
    assert hasattr(core_model_loading.WeightRenaming, "was_used"), "transformers renamed WeightTransform.was_used"
