# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Evaluation by generation inside a trainer, for all stages that train a model which writes text."""

from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers.trainer_utils import PredictionOutput
from trl.models import unwrap_model_for_generation

from ..evaluation.error_rates import score_transcripts


class RecognitionEvaluationMixin:
    """Goes before [`~base.SpeechTrainerMixin`]: evaluation transcribes greedily and reports `wer` and `cer`.

    `predict(rows)` gives `PredictionOutput(predictions, label_ids, metrics)`: token ids of the transcripts and of the
    references, in the order of the rows; `processing_class.batch_decode` makes texts of either.

    The trainer has a `processing_class` whose `batch_decode` cuts at `end_of_text_id`, and batches of evaluation rows
    carry `prompt_ids`, `prompt_mask` and `row_numbers` besides what its loss needs.
    """

    # The part of a batch that `generate` takes besides the prompt.
    _speech_inputs = ("input_features", "input_features_mask")

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """Loss and greedy transcription of a batch: `(loss, generated ids, row numbers)`."""
        row_numbers = inputs.pop("row_numbers")
        prompts = {"input_ids": inputs.pop("prompt_ids"), "attention_mask": inputs.pop("prompt_mask")}
        speech = {name: inputs[name] for name in self._speech_inputs}
        loss = self._evaluation_loss(model, inputs, ignore_keys)
        if prediction_loss_only:
            return loss, None, None
        # Not through _prepare_inputs: what the loss needs from the batch is already taken out there.
        prompts = {name: tensor.to(self.args.device) for name, tensor in {**prompts, **speech}.items()}
        with torch.no_grad(), unwrap_model_for_generation(model, self.accelerator) as unwrapped:
            generated = unwrapped.generate(
                **prompts, max_new_tokens=self.args.max_new_tokens, do_sample=False, use_cache=True
            )
        return loss, generated[:, prompts["input_ids"].shape[1] :], row_numbers.to(self.args.device)

    def _evaluation_loss(self, model, inputs, ignore_keys) -> torch.Tensor:
        loss, _, _ = super().prediction_step(model, inputs, prediction_loss_only=True, ignore_keys=ignore_keys)
        return loss

    def _in_row_order(self, output: PredictionOutput) -> PredictionOutput:
        """Token ids of each row's transcript and of its reference, for `batch_decode`.

        Padded with what ends a text; so is all of a row that could not be read. Where the rows have no text,
        `label_ids` is None.
        """
        numbers = output.label_ids.reshape(-1)
        rows, end = self._evaluated_rows, self._end_of_text_id
        predictions = np.full((len(rows), output.predictions.shape[1]), end)
        predictions[numbers] = np.where(output.predictions < 0, end, output.predictions)
        references = [[*self._text_ids(text), end] for text in rows["text"][:]]
        labels = np.full((len(rows), max(map(len, references))), end)
        for row, ids in zip(labels, references, strict=True):
            row[: len(ids)] = ids
        return output._replace(predictions=predictions, label_ids=labels)

    @property
    def _end_of_text_id(self) -> int:
        return self.processing_class.end_of_text_id

    def _text_ids(self, text: str) -> list[int]:
        return self.processing_class.tokenizer(text, add_special_tokens=False).input_ids

    def _recognition_metrics(self, prediction) -> dict[str, float]:
        # Several processes may have seen a row twice to have even batches.
        decoded = self._decode(prediction.predictions)
        hypotheses = dict(zip(prediction.label_ids.reshape(-1).tolist(), decoded, strict=True))
        # Audio is no part of what is compared.
        names = [name for name in self._evaluated_rows.column_names if name not in ("samples", "audio")]
        rows = self._evaluated_rows.select_columns(names).select(sorted(hypotheses))
        return self._score(rows, [hypotheses[row] for row in sorted(hypotheses)])

    def _decode(self, ids: np.ndarray) -> list[str]:
        """Transcripts of generated ids, negative where a batch was padded."""
        return self.processing_class.batch_decode(np.where(ids < 0, self._end_of_text_id, ids))

    def _score(self, rows: Dataset, hypotheses: list[str]) -> dict[str, Any]:
        """Metrics of evaluation rows and their transcripts, in the same order."""
        score = score_transcripts(rows["text"][:], hypotheses, rows["language"][:])
        rates = {"wer": score.wer, "cer": score.cer, "nonempty_share": score.nonempty_share}
        return {name: rate for name, rate in rates.items() if rate is not None}
