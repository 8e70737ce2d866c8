# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stage 6: reinforcement by group-relative policy optimisation (paper, "Stages").

How this differs from TRL's `GRPOTrainer`, which would train without ever hearing the audio:

- The speech is part of rollout and loss. An utterance is encoded once for all hypotheses of its group
  ([`~shared_speech`]): in the rollout, for the reference, and in the loss, where the encoder needs a gradient; with a
  frozen encoder and adaptor, once for all of these.
- The temperature falls along a cosine. It is set when hypotheses are sampled and goes with them, so that they are
  scored at the temperature they were sampled at, also when they are trained on several steps later.
- Scored is the distribution that was sampled from: without the audio placeholder, which is never sampled.
- A group's hypotheses stay in one slice of the generation batch, instead of being shuffled over all of them.
- The reference is a copy of the model as it was given, not one loaded again from where its configuration says.
- Evaluation transcribes greedily and reports error rates.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer
from trl import GRPOConfig, GRPOTrainer
from trl.models import prepare_deepspeed, prepare_fsdp
from trl.trainer.utils import selective_log_softmax_and_entropy, split_tensor_dict

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRProcessor

from ..data.batching import EvaluationBatchSampler, GroupBatchSampler
from ..data.keywords import ContextConfig, KeywordChooser, add_keywords, add_words, draw_hints
from ..data.section import DataSection
from ..data.streamed_rows import is_stream
from ..training.base import SpeechTrainerMixin, StageArguments, check_evaluable, refuse_unused
from ..training.chunks import taken_chunks
from ..training.recognition import RecognitionEvaluationMixin
from ..training.rewards import REWARDS
from ..training.shared_speech import SharedSpeech, SpokenPrompts, copied_model, silence_dropout
from ..training.stage_run import StageRun, TrainingStage
from ..training.thin_saving import AdapterArguments, ThinSavingMixin
from .context_sft import ContextCollator, keyword_recall, with_context_columns
from .sft import SFTModelSection, save_sft, stage_model


# Arguments of TRL that this trainer would not honour, and the values that they must keep.
UNUSED_ARGUMENTS = {
    "remove_unused_columns": False,
    "use_vllm": False,
    "use_transformers_continuous_batching": False,
    "disable_dropout": True,
    "sync_ref_model": False,
    "cast_lm_head_to_fp32": False,
    "model_init_kwargs": None,
    "trust_remote_code": False,
    "shuffle_dataset": True,
    "max_tool_calling_iterations": None,
    "transformers_continuous_batching_config": None,
    "use_transformers_paged": False,
    "chat_template_kwargs": None,
    "num_generations_eval": 1,
    "train_sampling_strategy": "random",
}


@dataclass
class ASRGRPOConfig(AdapterArguments, StageArguments, GRPOConfig):
    """Arguments of [`ASRGRPOTrainer`]: those of TRL's `GRPOConfig`, [`~base.StageArguments`] and
    [`~thin_saving.AdapterArguments`], and:

    Args:
        temperature: Sampling temperature of the first step.
        final_temperature: Sampling temperature of the last step, reached along a cosine.
        max_completion_length: Longest hypothesis, in tokens, in rollout and evaluation.

    `beta` weighs the divergence from the reference. Batches count hypotheses: `per_device_train_batch_size` of one
    forward, a multiple of `num_generations` where an utterance is to be encoded once. Checkpoints lie between
    generations, because only there a run can go on exactly; other `save_steps` are refused.
    """

    temperature: float = field(default=1.0, metadata={"help": "Sampling temperature of the first step."})
    final_temperature: float = field(default=0.7, metadata={"help": "Sampling temperature of the last step."})
    max_completion_length: int = field(default=128, metadata={"help": "Longest hypothesis in tokens."})
    freeze: list[str] = field(
        default_factory=lambda: ["phoneme_head"], metadata={"help": "Modules that are not trained."}
    )
    beta: float = field(default=0.04, metadata={"help": "Weight of the divergence from the reference."})
    learning_rate: float = field(default=2e-6, metadata={"help": "Peak learning rate."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Course of the learning rate."})
    num_generations_eval: int | None = field(default=1, metadata={"help": "Must stay 1: evaluation is greedy."})
    disable_dropout: bool = field(default=True, metadata={"help": "Must stay True: sampled is what is scored."})
    # Unlike TRL: small models and CPUs are the default, recipes for GPUs switch these on.
    bf16: bool | None = field(default=False, metadata={"help": "Compute in bfloat16 where it is safe."})
    gradient_checkpointing: bool | None = field(default=None, metadata={"help": "Save memory by computing twice."})

    def __post_init__(self):
        super().__post_init__()
        unused = {name: (value, "this trainer does not do that") for name, value in UNUSED_ARGUMENTS.items()}
        vllm = {item.name: item.default for item in fields(GRPOConfig) if item.name.startswith("vllm_")}
        refuse_unused(self, unused | {name: (value, "vLLM is not used here") for name, value in vllm.items()})
        if min(self.temperature, self.final_temperature) <= 0:
            raise ValueError(
                f"temperature={self.temperature} and final_temperature={self.final_temperature} must be positive."
            )
        if "temperature" in (self.generation_kwargs or {}):
            raise ValueError("generation_kwargs: the temperature is set by `temperature` and `final_temperature`.")
        self._check_checkpoints()

    def _check_checkpoints(self) -> None:
        if self.save_strategy != "steps":
            return
        generated = self.steps_per_generation * self.num_iterations
        every = generated // math.gcd(generated, self.gradient_accumulation_steps)
        if every > 1 and (self.save_steps < 1 or self.save_steps % every):
            raise ValueError(
                f"save_steps={self.save_steps} must be a multiple of {every}: hypotheses are generated every {every} "
                "steps, and a run goes on exactly only from between two generations."
            )

    @property
    def max_new_tokens(self) -> int:
        """Longest transcription in evaluation, in tokens."""
        return self.max_completion_length


def annealed_temperature(step: int, max_steps: int, start: float, end: float) -> float:
    """Temperature of a step: from `start` to `end` along half a cosine.

    Example:
        >>> [round(annealed_temperature(step, 10, 1.0, 0.7), 3) for step in (0, 5, 10)]
        [1.0, 0.85, 0.7]
    """
    return end + (start - end) * (1 + math.cos(math.pi * min(step, max_steps) / max(1, max_steps))) / 2


def check_policy(model: Any) -> None:
    """Refuse what is no loaded model, such as a path, or has adapters.

    Raises:
        TypeError: it is one of these.
    """
    if not isinstance(model, EntropyASRForConditionalGeneration):
        raise TypeError(
            f"model is a {type(model).__name__}: load it first, and give adapters as `peft_config`, so that the "
            "model without them is the reference."
        )


class _GRPOTrainer(GRPOTrainer):
    # Its second positional argument is the reward functions, that of all other trainers the arguments.
    def __init__(self, model, args, **kwargs):
        super().__init__(model, args=args, **kwargs)


class ASRGRPOTrainer(RecognitionEvaluationMixin, ThinSavingMixin, SpeechTrainerMixin, _GRPOTrainer):
    """Reinforces hypotheses of [`EntropyASRForConditionalGeneration`] that are better than others of their group.

    Args:
        model: The policy; a copy of it is the reference (with adapters: the model without them).
        args: [`ASRGRPOConfig`].
        processing_class: The model's [`EntropyASRProcessor`].
        train_dataset: Rows of [`~sources.load_sources`]. Columns `hints` and `keywords` ([`add_hints`]) say what is
            hinted and what is rewarded; without them nothing is.
        eval_dataset: The same to evaluate on.
        reward_funcs: Functions as in [`~rewards`]; those of the paper by default, with the paper's weights.
        **kwargs: As for TRL's `GRPOTrainer`, `peft_config` among them.
    """

    _tag_names = ["entropy-asr", "grpo"]

    def __init__(
        self,
        model: EntropyASRForConditionalGeneration,
        args: ASRGRPOConfig,
        *,
        processing_class: EntropyASRProcessor,
        train_dataset: Dataset,
        eval_dataset: Dataset | dict[str, Dataset] | None = None,
        reward_funcs: list | None = None,
        **kwargs,
    ):
        check_policy(model)
        if is_stream(train_dataset):
            raise ValueError("GRPO draws prompts from all rows, so they cannot be streamed: load them, or a part.")
        if reward_funcs is None:
            reward_funcs = [function for function, _ in REWARDS]
            args.reward_weights = args.reward_weights or [weight for _, weight in REWARDS]
        if args.ddp_find_unused_parameters is None:
            args.ddp_find_unused_parameters = False
        # TRL would load the reference again from the path in the configuration, and none is there after training.
        beta, adapted = args.beta, kwargs.get("peft_config") is not None
        reference = None if beta == 0 or adapted else copied_model(model)
        args.beta = beta if adapted else 0.0
        super().__init__(
            model,
            args,
            processing_class=processing_class,
            train_dataset=with_context_columns(train_dataset),
            eval_dataset=with_context_columns(eval_dataset),
            reward_funcs=reward_funcs,
            **kwargs,
        )
        self.args.beta = self.beta = beta
        self.compute_metrics = self._recognition_metrics
        self.data_collator = ContextCollator(
            processing_class.feature_extractor,
            processor=processing_class,
            generates=True,
            chunk_sizes=args.chunk_sizes,
            left_chunks=args.left_chunks,
        )
        model.processor = processing_class
        silence_dropout(model)
        self._speech = {"policy": SharedSpeech(model.model, processing_class)}
        self.ref_model = None if reference is None else self._prepare_reference(reference)
        self._speech_is_frozen = not any(
            parameter.requires_grad
            for part in (model.model.audio_tower, model.model.adaptor)
            for parameter in part.parameters()
        )
        self._spoken: SpokenPrompts | None = None
        self._scored: torch.Tensor | None = None
        self._set_temperature()
        self._watch_entropy()

    def _watch_entropy(self) -> None:
        # TRL has put its own collator in until this trainer's is set, which features are extracted with.
        if isinstance(self.data_collator, ContextCollator):
            super()._watch_entropy()

    def log_aside(self, logs: dict[str, float]) -> None:
        """As in [`~base.SpeechTrainerMixin`]; what TRL has gathered waits for the step's own log."""
        gathered, self._metrics["train"] = self._metrics["train"], defaultdict(list)
        super().log_aside(logs)
        self._metrics["train"] = gathered

    def _prepare_reference(self, reference: EntropyASRForConditionalGeneration) -> nn.Module:
        reference.requires_grad_(False).eval()
        self._speech["reference"] = SharedSpeech(reference.model, self.processing_class)
        if self.args.chunk_sizes:
            self._drawn_chunks.add(reference.model.audio_tower)
        if self.is_deepspeed_enabled:
            return prepare_deepspeed(reference, self.accelerator)
        if self.is_fsdp_enabled:
            return prepare_fsdp(reference, self.accelerator)
        return self.accelerator.prepare_model(reference, evaluation_mode=True)

    # Batches

    def get_train_dataloader(self) -> DataLoader:
        """Rows of a generation batch, each utterance as often as it gets hypotheses."""
        args = self.args
        sampler = GroupBatchSampler(
            len(self.train_dataset),
            group_size=args.num_generations,
            batch_size=args.per_device_train_batch_size * args.steps_per_generation,
            num_processes=self.accelerator.num_processes,
            repeats=args.steps_per_generation * args.num_iterations,
            shuffle=args.shuffle_dataset,
            seed=args.data_seed if args.data_seed is not None else args.seed,
        )
        # Features are extracted once for a generation batch, not once for each of its repetitions.
        return self.accelerator.prepare(self._speech_loader(self.train_dataset, sampler, list))

    def get_eval_dataloader(self, eval_dataset=None) -> DataLoader:
        """Batches of similar length, in the same order every time."""
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        rows = rows if isinstance(rows, str) or rows is self.eval_dataset else self._shared_rows(rows)
        rows = with_context_columns(self.eval_dataset[rows] if isinstance(rows, str) else rows)
        check_evaluable(rows)
        self._evaluated_rows = rows
        sampler = EvaluationBatchSampler(
            rows["duration"][:],
            max_batch_duration=math.inf,
            max_batch_size=self.args.per_device_eval_batch_size,
            num_processes=self.accelerator.num_processes,
        )
        return self.accelerator.prepare(self._speech_loader(rows, sampler, self.data_collator.evaluation()))

    def _prepare_inputs(self, inputs):
        if not self.model.training:
            inputs.pop("durations")
            # Not GRPOTrainer's: it would sample hypotheses of evaluation rows.
            return Trainer._prepare_inputs(self, inputs)
        slices = self.args.steps_per_generation
        if self._step % (slices * self.num_iterations) == 0 or self._buffered_inputs is None:
            self._buffered_inputs = split_tensor_dict(self._generate_and_score_completions(inputs), slices)
        return self._buffered_inputs[self._step % slices]

    # Rollout

    def _set_temperature(self) -> None:
        args, state = self.args, self.state
        temperature = annealed_temperature(
            state.global_step, state.max_steps, args.temperature, args.final_temperature
        )
        self.temperature = self.generation_config.temperature = temperature
        self.generation_kwargs["temperature"] = temperature

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        self._set_temperature()
        numbers = {index: number for number, index in enumerate(dict.fromkeys(row["index"] for row in inputs))}
        utterances = torch.tensor([numbers[row["index"]] for row in inputs], device=self.accelerator.device)
        different = {row["index"]: row for row in inputs}
        self._spoken = self._encode_prompts([different[index] for index in numbers])
        self._scored = utterances
        # Without the samples, which no reward looks at.
        columns = [{name: value for name, value in row.items() if name != "samples"} for row in inputs]
        prompts = [self.processing_class.prompt(hotwords=row["hints"]) for row in columns]
        with torch.no_grad(), self._drawn_chunks.of(self._spoken.chunks):
            batch = super()._generate_and_score_completions(
                [{**row, "prompt": prompt} for row, prompt in zip(columns, prompts, strict=True)]
            )
        self._metrics["train"]["temperature"].append(self.temperature)
        # In double precision: scored at the very number that was sampled at.
        temperature = torch.tensor(self.temperature, dtype=torch.float64)
        return {**batch, "utterances": utterances, "sampling_temperature": temperature}

    def _encode_prompts(self, rows: list[dict[str, Any]]) -> SpokenPrompts:
        batch = self.data_collator(rows)
        durations = batch["durations"]
        self._audio_seconds += float(durations.sum())
        self._padded_seconds += float(durations.max() * len(durations))
        prompt_ids = [
            ids[mask.bool()].tolist() for ids, mask in zip(batch["prompt_ids"], batch["prompt_mask"], strict=True)
        ]
        features = batch["input_features"].to(self.accelerator.device)
        mask = batch["input_features_mask"].to(self.accelerator.device)
        return SpokenPrompts(features, mask, prompt_ids, taken_chunks(batch))

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, torch.Tensor]]:
        """Prompts of the sequences; the speech goes to `generate` once for each utterance."""
        speech = {"input_features": self._spoken.features, "input_features_mask": self._spoken.mask}
        return [self._spoken.prompt_ids[utterance] for utterance in self._scored.tolist()], None, speech

    def _generate_single_turn(self, *args, **kwargs):
        speech = self._speech["policy"]
        with speech.of(self._scored):
            generated = super()._generate_single_turn(*args, **kwargs)
        if self._speech_is_frozen:
            self._spoken.encodings = speech.encodings
        speech.encodings = None
        return generated

    # Loss

    def _compute_loss(self, model, inputs):
        self._scored = inputs["utterances"]
        self.temperature = inputs["sampling_temperature"].item()
        with self._drawn_chunks.of(self._spoken.chunks):
            return super()._compute_loss(model, inputs)

    def _get_per_token_logps_and_entropies(
        self,
        model,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """Log-probabilities (B, C) of the last C tokens, and entropies (B, C), at the sampling temperature, in nats.

        `self._scored` says which utterance each of the B sequences is of.
        """
        parts = [
            self._score_sequences(model, *tensors, logits_to_keep)
            for tensors in zip(
                *(tensor.split(batch_size or len(input_ids)) for tensor in (input_ids, attention_mask, self._scored)),
                strict=True,
            )
        ]
        log_probs, entropies = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        return log_probs, entropies if compute_entropy else None, None

    def _score_sequences(
        self,
        model,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        utterances: torch.Tensor,
        num_scored: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, positions, encodings = self._spoken.inputs_of(utterances)
        speech = self._speech["reference" if model is self.ref_model else "policy"]
        with speech.of(positions, encodings), self.accelerator.autocast():
            logits = model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                logits_to_keep=num_scored + 1,
                use_cache=False,
                **inputs,
            ).logits
        speech.encodings = None
        logits = logits[:, :-1].float()  # (B, C, V)
        # What cannot be sampled has no probability. Finite, because the entropy multiplies it by that probability.
        suppressed = torch.tensor(self.generation_config.suppress_tokens or [], device=logits.device, dtype=torch.long)
        logits = logits.index_fill(-1, suppressed, torch.finfo(logits.dtype).min / 2)
        return selective_log_softmax_and_entropy(logits, input_ids[:, -num_scored:], temperature=self.temperature)

    # Evaluation

    def _evaluation_loss(self, model, inputs, ignore_keys) -> torch.Tensor:
        """Next-token loss of the references."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            return model(**inputs).loss.mean().detach()

    def _score(self, rows: Dataset, hypotheses: list[str]) -> dict[str, float]:
        recall = keyword_recall(hypotheses, rows["keywords"][:], rows["language"][:])
        return super()._score(rows, hypotheses) | ({} if recall is None else {"keyword_recall": recall})


def add_hints(rows: Dataset, chooser: KeywordChooser, config: ContextConfig, num_proc: int = 1) -> Dataset:
    """Adds the columns `hints`, those of each row's prompt, and `keywords`, what is rewarded.

    Rewarded are the row's own keywords among the hints, and the important ones that are spoken.

    Args:
        rows: Rows of [`~sources.load_sources`].
        chooser: Chooses keywords and distractors.
        config: How hints are drawn.
    """
    rows = add_keywords(rows, chooser, num_proc)
    hints, wanted = [], []
    for number, row in enumerate(rows.select_columns(["keywords", "distractors", "important"])):
        hints.append(draw_hints(row, config, np.random.default_rng([config.seed, 3, number])))
        prompted = [keyword for keyword in row["keywords"] if keyword in hints[-1]]
        wanted.append(list(dict.fromkeys([*prompted, *row["important"]])))
    rows = rows.remove_columns(["keywords", "distractors", "important"])
    return add_words(rows, hints=hints, keywords=wanted)


@dataclass
class RolloutDataSection(DataSection):
    """Section `data` of this stage: as of the others, without `noise`, since nothing is augmented, and streams."""

    no_streams: ClassVar[dict[str, str]] = {
        **DataSection.no_streams,
        "train": "hints are chosen among the words of all rows",
    }

    def __post_init__(self):
        super().__post_init__()
        if self.noise:
            raise ValueError("data: speech is not augmented in reinforcement; leave `noise` out.")


def build(run: StageRun) -> ASRGRPOTrainer:
    """The trainer of this stage."""
    settings = run.settings
    model, processor = stage_model(run)
    with settings.training.main_process_first(desc="data"):
        rows, eval_rows = settings.data.train_rows(), settings.data.eval_rows()
        chooser = KeywordChooser(rows, settings.context, processor.phoneme_tokenizer)
        num_proc = settings.data.num_proc
        rows = add_hints(rows, chooser, settings.context, num_proc)
        eval_rows = None if eval_rows is None else add_hints(eval_rows, chooser, settings.context, num_proc)
    return ASRGRPOTrainer(
        model,
        settings.training,
        processing_class=processor,
        train_dataset=rows,
        eval_dataset=eval_rows,
        peft_config=run.given("lora"),
    )


STAGE = TrainingStage(
    {
        "data": RolloutDataSection,
        "model": SFTModelSection,
        "lora": LoraConfig,
        "context": ContextConfig,
        "training": ASRGRPOConfig,
    },
    build,
    save_sft,
)
