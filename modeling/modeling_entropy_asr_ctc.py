# Copyright 2026 The entropy-asr authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Speech encoder and phoneme CTC head."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers.loss.loss_ctc import ForCTCLoss
from transformers.modeling_outputs import CausalLMOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, auto_docstring, can_return_tuple

from .components_entropy_asr import SPEECH_MODELS, build_audio_tower, encode_audio
from .configuration_entropy_asr import EntropyASRCTCConfig
from .joining_entropy_asr import join_ctc
from .modeling_entropy_asr_base import EntropyASREncoderPreTrainedModel
from .phoneme_head_entropy_asr import EntropyASRPhonemeHead


@auto_docstring(custom_intro="Output of [`EntropyASRForCTC`].")
@dataclass
class EntropyASRCTCOutput(CausalLMOutput):
    r"""
    loss (`torch.Tensor`, *optional*, returned when `labels` is given):
        CTC loss.
    logits (`torch.Tensor` of shape `(batch_size, num_frames, vocab_size)`):
        Phoneme logits.
    attention_mask (`torch.Tensor` of shape `(batch_size, num_frames)`):
        True for frames of real audio.
    encoder_hidden_state (`torch.Tensor` of shape `(batch_size, num_frames, hidden_size)`):
        What the phoneme head read.
    """

    attention_mask: torch.Tensor | None = None
    encoder_hidden_state: torch.Tensor | None = None


@auto_docstring(custom_intro="Speech encoder and phoneme CTC head: the first stage of the paper's recipe.")
class EntropyASRForCTC(EntropyASREncoderPreTrainedModel):
    config: EntropyASRCTCConfig

    def __init__(self, config: EntropyASRCTCConfig):
        super().__init__(config)
        self.audio_tower = build_audio_tower(config.audio_config)
        self.phoneme_head = EntropyASRPhonemeHead(config.audio_config.hidden_size, config.vocab_size)
        self.post_init()

    @classmethod
    def from_encoder(
        cls,
        encoder: str | PreTrainedModel,
        vocab_size: int | None = None,
        *,
        num_layers: int | None = None,
        dtype: torch.dtype | str | None = None,
        **config_kwargs,
    ) -> "EntropyASRForCTC":
        """Give a trained speech encoder a new phoneme head; a CTC or full model of this project keeps its own.

        Args:
            encoder: any transformers speech model (its encoder half is taken; Whisper's becomes an
                [`EntropyASRWhisperEncoder`]), or the folder or Hub id of one, or of what FireRedASR publishes, whose
                encoder becomes an [`EntropyASRFireRedEncoder`].
            vocab_size: phoneme vocabulary, blank included; the head's that the encoder brings, or else the built-in
                one's by default.
            num_layers: take the first so many layers of an encoder that is or becomes of this project; all by default.
            dtype: of the weights; by default what the encoder has, or was saved with.
            **config_kwargs: further fields of [`EntropyASRCTCConfig`].

        Raises:
            ValueError: a phoneme head of another size, or layers that the encoder does not have.
        """
        return join_ctc(cls, encoder, vocab_size, num_layers, dtype, config_kwargs)

    def get_input_embeddings(self) -> nn.Module:
        return self.audio_tower.get_input_embeddings()

    @can_return_tuple
    @auto_docstring
    def forward(
        self,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> EntropyASRCTCOutput:
        r"""
        attention_mask (`torch.Tensor` of shape `(batch_size, num_feature_frames)`, *optional*):
            1 for feature frames of real audio, 0 for padding.
        labels (`torch.LongTensor` of shape `(batch_size, num_phonemes)`, *optional*):
            Phoneme ids; -100 or the blank where padded.
        """
        stages = self.config.audio_length_stages
        encoded = encode_audio(self.audio_tower, stages, input_features, attention_mask, **kwargs)
        logits = self.phoneme_head(encoded.last_hidden_state)
        loss = None if labels is None else self.ctc_loss(logits, encoded.attention_mask, labels)
        return EntropyASRCTCOutput(
            loss=loss,
            logits=logits,
            attention_mask=encoded.attention_mask,
            encoder_hidden_state=encoded.last_hidden_state,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )

    def ctc_loss(self, logits: torch.Tensor, frame_mask: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """CTC loss, a scalar; utterances with fewer frames than labels need (no path exists) count as zero.

        Args:
            logits: `(batch_size, num_frames, phoneme_vocab_size)`.
            frame_mask: `(batch_size, num_frames)`, True for frames of real audio.
            labels: `(batch_size, num_labels)`, padded with -100.
        """
        return ForCTCLoss(
            logits,
            labels,
            frame_mask.sum(-1),
            blank_token_id=self.config.pad_token_id,
            reduction=self.config.ctc_loss_reduction,
            zero_infinity=True,
        )


SPEECH_MODELS[EntropyASRCTCConfig.model_type] = EntropyASRForCTC

__all__ = ["EntropyASRCTCOutput", "EntropyASRForCTC"]
