r"""SPO, Self Preference Optimization: preference optimisation without a reference model and with a finite minimum.

With s(y) the mean log-probability of completion y's tokens and u = beta * (s(chosen) - s(rejected)) - gamma,

    L_SPO = mean over pairs of SiLU(-u) = -u * sigmoid(-u)

which, unlike SimPO's -log sigmoid(u), is smallest at the finite u* = 1.2785 and pulls back beyond it.
Source: Sun et al., Findings of EMNLP 2025, pp. 5601-5614; what the paper leaves open is decided in docs/spo.md.
"""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import trl
from accelerate.utils import is_peft_model
from datasets import Dataset, IterableDataset
from transformers import PreTrainedModel
from trl import DPOTrainer
from trl.data_utils import maybe_extract_prompt
from trl.trainer import dpo_trainer

from setaria.trainers.completion_logps import CompletionTokens, completion_outputs
from setaria.trainers.objective_settings import LOWEST_BF16_LEARNING_RATE
from setaria.trainers.objectives import LOSSES, preference_logits
from setaria.trainers.pair_statistics import pair_statistics, preference_metrics
from setaria.trainers.shared_prompt import check_shared_prompt, share_prompts
from setaria.trainers.shared_prompt_attention import SHARED_PROMPT_ATTENTION, use_shared_prompt_attention
from setaria.trainers.spo_config import SPOConfig


class SPOTrainer(DPOTrainer):
    """Trainer for SPO, SimPO, CPO and RePO; with `objective="dpo"`, TRL's DPOTrainer.

    Overrides `__init__`, so that no reference model is created or loaded, `_prepare_dataset`, to take conversations
    beside a string prompt, and `_compute_loss`. Full fine-tuning, LoRA, QLoRA, vision-language models, distributed
    training, saving and evaluation are TRL's.

    Args:
        args ([`SPOConfig`], *optional*): the configuration.
        model, train_dataset, eval_dataset, kwargs: as for [`~trl.DPOTrainer`].

    Raises:
        ValueError: for a `ref_model` beside a reference-free objective, weights in 16 bit that the learning rate
            cannot move, attention that cannot take the mask of `share_prompt`, and context parallelism.
    """

    _tag_names = ["trl", "setaria", "spo"]
    _name = "SPO"
    _paper = {
        "title": "SPO: Self Preference Optimization with Self Regularization",
        "citation": textwrap.dedent("""\
            @inproceedings{sun2025spo,
                title     = {{SPO: Self Preference Optimization with Self Regularization}},
                author    = {Sun and others},
                year      = 2025,
                booktitle = {Findings of the Association for Computational Linguistics: EMNLP 2025},
                pages     = {5601--5614},
                doi       = {10.18653/v1/2025.findings-emnlp.300},
            }"""),
    }

    args: SPOConfig

    def __init__(
        self,
        model: str | PreTrainedModel | torch.nn.Module,
        args: SPOConfig | None = None,
        train_dataset: Dataset | IterableDataset | None = None,
        eval_dataset: Any = None,
        **kwargs: Any,
    ):
        args = args or SPOConfig("SPO")
        if not args.reference_free:
            super().__init__(model, args=args, train_dataset=train_dataset, eval_dataset=eval_dataset, **kwargs)
            return
        if kwargs.get("ref_model") is not None:
            raise ValueError(
                f"ref_model was given, but objective={args.objective!r} has no reference model: remove it"
            )
        with _without_reference_model(loads_policy=isinstance(model, str)):
            super().__init__(
                model,
                args=args,
                train_dataset=_with_explicit_prompt(train_dataset),
                eval_dataset=_with_explicit_prompt(eval_dataset),
                **kwargs,
            )
        if self.ref_model is not None:
            raise RuntimeError(f"TRL {trl.__version__} made a reference model in a way that SPOTrainer does not know")
        if is_peft_model(self.model) and "ref" in self.model.peft_config:
            self.model.delete_adapter("ref")
        self._check_weights_can_move()
        self._check_parallelism()
        if args.share_prompt:
            self._share_prompts()
        self._shared_prompt_checked = False

    @property
    def policy(self) -> PreTrainedModel:
        """The transformers model inside PEFT, whose forward has TRL's fused LM head."""
        return self.model.get_base_model() if is_peft_model(self.model) else self.model

    def _prepare_dataset(self, dataset, processing_class, args, dataset_name):
        return super()._prepare_dataset(_with_explicit_prompt(dataset), processing_class, args, dataset_name)

    def _compute_loss(self, model, inputs, return_outputs):
        if not self.args.reference_free:
            return super()._compute_loss(model, inputs, return_outputs)
        inputs = {**inputs, "use_cache": False}
        if self.aux_loss_enabled:
            inputs["output_router_logits"] = True
        tokens, outputs = self._score_completions(model, inputs, inputs.pop("completion_mask"))

        settings = self.args.settings
        logps = tokens.spread(outputs.log_probs).sum(1)
        counts = tokens.mask.sum(1).clamp(min=1)
        chosen, rejected = (logps / counts if settings.length_normalize else logps).chunk(2)
        pair_loss = LOSSES[self.args.objective](
            chosen, rejected, settings.beta, settings.gamma, self.args.label_smoothing
        )
        chosen_nll = -(logps / counts).chunk(2)[0]
        complete = tokens.mask.any(1).view(2, -1).all(0)
        loss = ((pair_loss + settings.sft_weight * chosen_nll) * complete).mean()

        mode = "train" if self.model.training else "eval"
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * outputs.aux_loss
            aux_loss = self.accelerator.gather_for_metrics(outputs.aux_loss.detach()).mean().item()
            self._metrics[mode]["aux_loss"].append(aux_loss)
        self._record(mode, outputs, tokens, inputs["attention_mask"], chosen, rejected)
        if not return_outputs:
            return loss
        with torch.no_grad():
            return loss, model(**inputs)

    def _score_completions(self, model, inputs, completion_mask):
        if not self.args.share_prompt:
            tokens = CompletionTokens.of_rows(inputs["input_ids"], completion_mask)
            return tokens, completion_outputs(model, self.policy, inputs, tokens)
        if not self._shared_prompt_checked:
            check_shared_prompt(model, self.policy, inputs, completion_mask)
            self._shared_prompt_checked = True
        shared, tokens = share_prompts(self.policy, inputs, completion_mask)
        return tokens, completion_outputs(model, self.policy, {**inputs, **shared}, tokens)

    @torch.no_grad()
    def _record(self, mode, outputs, tokens: CompletionTokens, attention_mask, chosen, rejected):
        """Append the batch's metrics under TRL's keys, gathering one row of statistics per pair over processes."""
        settings = self.args.settings
        table = pair_statistics(
            outputs,
            tokens,
            attention_mask,
            chosen,
            rejected,
            preference_logits(chosen, rejected, settings.beta, settings.gamma),
        )
        metrics = preference_metrics(self.accelerator.gather_for_metrics(table), settings.beta)
        if mode == "train":
            self._total_train_tokens += int(metrics["num_tokens"]) // self._tp_size
        for name, value in metrics.items():
            self._metrics[mode][name].append(value)
        self._metrics[mode]["num_tokens"] = [self._total_train_tokens]

    def _check_weights_can_move(self):
        if is_peft_model(self.model) or self.is_deepspeed_enabled or (self.is_fsdp_enabled and self.args.bf16):
            return  # adapters are small numbers or float32; DeepSpeed and mixed-precision FSDP keep float32 masters
        half = {p.dtype for p in self.model.parameters() if p.requires_grad} & {torch.bfloat16, torch.float16}
        if half and self.args.learning_rate < LOWEST_BF16_LEARNING_RATE:
            raise ValueError(
                f"learning_rate={self.args.learning_rate} rounds away on weights in {half.pop()}: load them with "
                "dtype: float32 (bf16: true still computes in bfloat16), train a LoRA adapter, or use DeepSpeed"
            )

    def _check_parallelism(self):
        parallelism = self.accelerator.parallelism_config
        if parallelism is not None and (parallelism.cp_enabled or parallelism.sp_enabled):
            raise ValueError(
                "context and sequence parallelism split a completion over processes, and a pair is scored whole: use "
                "FSDP2 or ZeRO-3 without them, with share_prompt for long prompts"
            )

    def _share_prompts(self):
        implementation = self.policy.config.get_text_config()._attn_implementation
        if implementation not in ("eager", "sdpa", SHARED_PROMPT_ATTENTION):
            raise ValueError(
                f"share_prompt=True needs attn_implementation sdpa or eager for its block mask, not {implementation!r}"
            )
        if self.aux_loss_enabled:
            raise ValueError("share_prompt=True cannot weigh a router's auxiliary loss: set router_aux_loss_coef: 0")
        if implementation == "sdpa":
            use_shared_prompt_attention(self.policy)


@contextmanager
def _without_reference_model(loads_policy: bool) -> Iterator[None]:
    """Within DPOTrainer's constructor, load the policy if it is given by name and nothing else."""
    create_model_from_path = dpo_trainer.create_model_from_path
    loads = iter([create_model_from_path] if loads_policy else [])

    def create_policy_only(*args, **kwargs):
        create = next(loads, None)
        return create and create(*args, **kwargs)

    dpo_trainer.create_model_from_path = create_policy_only
    try:
        yield
    finally:
        dpo_trainer.create_model_from_path = create_model_from_path


def _with_explicit_prompt(dataset):
    """Give rows a `prompt` of the form of `chosen` and `rejected`: TRL fails on a string beside conversations."""
    if isinstance(dataset, dict):
        return type(dataset)({name: _with_explicit_prompt(split) for name, split in dataset.items()})
    if not isinstance(dataset, Dataset | IterableDataset):
        return dataset
    row = next(iter(dataset), None)
    if row is None:
        raise ValueError("the dataset is empty: there is no pair in it")
    if "prompt_ids" in row or maybe_extract_prompt(row) is row:
        return dataset
    columns = ["chosen", "rejected"]
    return dataset.map(
        lambda *pair: maybe_extract_prompt(dict(zip(columns, pair, strict=True))), input_columns=columns
    )
