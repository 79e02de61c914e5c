r"""Stage 2 of BacktrackAgent: a generator or reflector learns from the gold reply and from judgments of its actions.

    r = g - b1 (1 - p_v) - b2 P(p_j = 0)
    L = ce_coef * L_CE(gold reply) - E[A(r) log pi(reply)]        A: GRPO's advantage, not scaled

p_v says whether the executed action is valid and has an effect, P(p_j = 0) is the Judger's probability of "No", g is 1
for the right action. With TRL's default `loss_type` both terms are per token. Source: Wu et al., EMNLP 2025; the
reading is ours, see the class.
"""

import textwrap
from typing import Any

import torch
import torch.nn.functional as F
from trl import GRPOTrainer, apply_chat_template
from trl.trainer.utils import pad

from setaria.trainers.judgment_grpo_config import JudgmentGRPOConfig


IMAGE_INPUTS = (
    "pixel_values",
    "image_grid_thw",
    "num_images",
    "pixel_attention_mask",
    "spatial_shapes",
    "num_tiles",
    "image_sizes",
    "image_position_ids",
)


class JudgmentGRPOTrainer(GRPOTrainer):
    r"""Trainer for judgment rewards beside a cross-entropy on gold replies.

    The paper writes stage 2 as a loss, L = L_CE + b1 (1 - p_v) + b2 P(p_j = 0), and names no algorithm for it. But
    p_v and P(p_j = 0) are computed from the action's text after it was sampled and executed: no derivative leads from
    them back to the generator, and minimising L as written minimises L_CE alone. What can be meant is the expectation
    of L over the generator's own actions. Its gradient is that of L_CE plus the score function's, E[-r grad log pi],
    which GRPO estimates with the mean reward of a group as baseline; this is what the trainer does.
    `paper_literal=True` is the other reading: L as written, its penalties without gradient.

    Overrides `_generate_and_score_completions`, to add the tokens of the gold replies to the batch and to check its
    images, and `_compute_loss`, to add L_CE. Rollouts, LoRA, QLoRA, vision-language models, vLLM, environments,
    distributed training and saving are TRL's.

    The dataset's column `gold_reply` is the right reply as plain text. With `environment_factory` it may be missing,
    and a row where it is None has no L_CE. Reward functions are those of `setaria.rewards.judgment.JudgmentRewards`.

    Args:
        args ([`JudgmentGRPOConfig`]): the configuration.
        model, reward_funcs, train_dataset, kwargs: as for [`~trl.GRPOTrainer`].

    Raises:
        ValueError: at the first batch, for a dataset without `gold_reply` although `ce_coef` is not 0, a processor
            whose tokenizer does not pad on the left, and a chat template that does not repeat its generation prompt
            before a reply.
        RuntimeError: for a batch that lost its images, on which TRL trains without them, or a row in which image
            tokens and image features differ.
    """

    _tag_names = ["trl", "setaria", "judgment-grpo"]
    _name = "JudgmentGRPO"
    _paper = {
        "title": "BacktrackAgent: Enhancing GUI Agent with Error Detection and Backtracking Mechanism",
        "id": "2505.20660",
        "citation": textwrap.dedent("""\
            @inproceedings{wu2025backtrackagent,
                title     = {{BacktrackAgent: Enhancing GUI Agent with Error Detection and Backtracking Mechanism}},
                author    = {Wu, Qinzhuo and Gao, Pengzhi and Liu, Wei and Luan, Jian},
                year      = 2025,
                booktitle = {Proceedings of the 2025 Conference on Empirical Methods in Natural Language Processing},
                pages     = {4250--4272},
                doi       = {10.18653/v1/2025.emnlp-main.212},
            }"""),
    }

    args: JudgmentGRPOConfig

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        has_gold = "gold_reply" in inputs[0]
        if self.args.ce_coef and not has_gold and self.environment_factories is None:
            raise ValueError(
                f"ce_coef={self.args.ce_coef} needs a column gold_reply, and the rows have {', '.join(inputs[0])}: "
                "add it, or set ce_coef: 0 to train on the rewards alone"
            )
        if self._is_vlm and self._tokenizer.padding_side != "left":
            raise ValueError(
                f"padding_side={self._tokenizer.padding_side!r}: TRL pads prompts on the left, but their image token "
                "types as the processor does, so set padding_side = 'left' on its tokenizer"
            )
        output = super()._generate_and_score_completions(inputs)
        if self.args.ce_coef and has_gold:
            output |= self._gold_tokens(inputs)
        self._check_images(output)
        if self.args.paper_literal:
            metrics = self._metrics["train" if self.model.training else "eval"]
            output["advantages"] = torch.zeros_like(output["advantages"])
            output["penalty"] = output["advantages"].new_tensor(-metrics["reward"][-1])
            metrics["penalty"].append(output["penalty"].item())
        return output

    def _compute_loss(self, model, inputs):
        loss = super()._compute_loss(model, inputs)
        mode = "train" if self.model.training else "eval"
        accumulated = self.current_gradient_accumulation_steps if mode == "train" else 1
        if "penalty" in inputs:
            loss = loss + inputs["penalty"] / accumulated
        if "gold_ids" in inputs:
            row_loss = self._gold_loss(model, inputs)
            loss = loss + self.args.ce_coef * row_loss.mean() / accumulated
            totals = torch.stack([row_loss.detach().sum(), inputs["gold_mask"].any(1).sum().to(row_loss.dtype)])
            total, rows = self.accelerator.reduce(totals, reduction="sum").tolist()
            if rows:
                self._metrics[mode]["ce_loss"].append(total / rows)
        return loss

    def _gold_loss(self, model, inputs) -> torch.Tensor:
        """Mean negative log-likelihood per token of each row's gold reply, `[rows]`, 0 for a row without one."""
        prompt_ids, gold_ids, gold_mask = inputs["prompt_ids"], inputs["gold_ids"], inputs["gold_mask"]
        features = {name: inputs[name] for name in IMAGE_INPUTS if name in inputs}
        for name in ("token_type_ids", "mm_token_type_ids"):
            if name in inputs:
                features[name] = F.pad(inputs[name][:, : prompt_ids.size(1)], (0, gold_ids.size(1)))
        logps, _, _ = self._get_per_token_logps_and_entropies(
            model,
            torch.cat([prompt_ids, gold_ids], dim=1),
            torch.cat([inputs["prompt_mask"], gold_mask], dim=1),
            gold_ids.size(1),
            **features,
        )
        return -(logps * gold_mask).sum(1) / gold_mask.sum(1).clamp(min=1)

    def _gold_tokens(self, inputs: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """`gold_ids` and `gold_mask`, `[rows, tokens]`, padded on the right; a row without gold is masked out."""
        ids, mask = [], []
        for row in inputs:
            known = row["gold_reply"] is not None
            ids.append(torch.tensor(self._reply_ids(row) if known else [self._tokenizer.eos_token_id]))
            mask.append(torch.full_like(ids[-1], known))
        padded = {
            "gold_ids": pad(ids, self._tokenizer.pad_token_id, pad_to_multiple_of=self.pad_to_multiple_of),
            "gold_mask": pad(mask, 0, pad_to_multiple_of=self.pad_to_multiple_of),
        }
        return {name: tokens.to(self.accelerator.device) for name, tokens in padded.items()}

    def _reply_ids(self, row: dict[str, Any]) -> list[int]:
        """A gold reply as generation would leave it: what follows the template's generation prompt, to the EOS."""
        text = row["gold_reply"]
        if not isinstance(row["prompt"], str):
            content = [{"type": "text", "text": text}] if self._is_vlm else text
            question = {"prompt": [{"role": "user", "content": content}]}
            answer = {"completion": [{"role": "assistant", "content": content}]}
            asked, answered = (
                apply_chat_template(example, self.processing_class, **self.chat_template_kwargs)
                for example in (question, question | answer)
            )
            if asked["prompt"] != answered["prompt"]:
                raise ValueError(
                    f"the chat template asks with {asked['prompt']!r} and writes {answered['completion']!r} after "
                    f"{answered['prompt']!r}: a gold reply cannot follow its generation prompt"
                )
            text = answered["completion"]
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        end = next((place for place, token in enumerate(ids) if token in self.eos_token_ids), None)
        return [*ids, self._tokenizer.eos_token_id] if end is None else ids[: end + 1]

    def _check_images(self, output: dict[str, Any]) -> None:
        if "num_images" not in output or ("pixel_values" in output and "image_grid_thw" not in output):
            return  # no images, or a family other than Qwen-VL, whose model compares by itself
        images = self.processing_class.image_processor
        budget = f"max_completion_length={self.max_completion_length}, longest_edge={images.size['longest_edge']}"
        if "pixel_values" not in output:
            raise RuntimeError(
                "TRL dropped all images of a batch, because in one of its rollouts image tokens and features differ: "
                f"let the screens of an episode fit into the budget ({budget})"
            )
        patches = [grid.prod(-1).sum().item() for grid in output["image_grid_thw"].split(output["num_images"])]
        features = [count // images.merge_size**2 for count in patches]
        for name in ("completion_ids", "gold_ids"):
            if name in output:
                ids = torch.cat([output["prompt_ids"], output[name]], dim=1)
                tokens = (ids == self.model.config.image_token_id).sum(1).tolist()
                if tokens != features:
                    raise RuntimeError(
                        f"{name}: {tokens} image tokens in the rows of a batch for {features} image features: a reply "
                        f"must not hold image tokens, and an episode has to fit into the budget ({budget})"
                    )
