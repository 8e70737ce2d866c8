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
"""The full model: speech encoder, adaptor and language model, with the phoneme CTC head beside them."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import AutoModel
from transformers.activations import ACT2FN
from transformers.modeling_outputs import (
    BaseModelOutputWithPast,
    BaseModelOutputWithPooling,
    CausalLMOutputWithPast,
    ModelOutput,
)
from transformers.modeling_utils import PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import TransformersKwargs, auto_docstring, can_return_tuple, torch_compilable_check

from .checkpoints_entropy_asr import CheckpointMixin
from .components_entropy_asr import SPEECH_MODELS, build_audio_tower, encode_audio
from .configuration_entropy_asr import EntropyASRConfig
from .generation_entropy_asr import TranscriptGenerationMixin
from .modeling_entropy_asr_base import EntropyASREncoderPreTrainedModel
from .optional_parts_entropy_asr import needed_for
from .phoneme_head_entropy_asr import EntropyASRPhonemeHead
from .streaming_cache_entropy_asr import CACHE


class EntropyASRAdaptor(nn.Module):
    """Concatenates encoder frames and maps them into the LLM's embedding space (paper, Architecture).

    `(B, T, D)` -> `(B, ceil(T / stacking), hidden_size)`; frames of padding enter as zeros.
    """

    def __init__(self, config: EntropyASRConfig):
        super().__init__()
        self.stacking = config.adaptor_stacking
        input_size = config.audio_config.hidden_size * self.stacking
        self.linear1 = nn.Linear(input_size, config.adaptor_intermediate_size)
        self.act = ACT2FN[config.adaptor_hidden_act]
        self.linear2 = nn.Linear(config.adaptor_intermediate_size, config.text_config.hidden_size)

    def forward(self, hidden_states: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
        hidden_states = hidden_states * frame_mask[..., None]
        missing = -hidden_states.shape[1] % self.stacking
        hidden_states = nn.functional.pad(hidden_states, (0, 0, 0, missing))
        batch_size, num_frames, width = hidden_states.shape
        stacked = hidden_states.reshape(batch_size, num_frames // self.stacking, width * self.stacking)
        return self.linear2(self.act(self.linear1(stacked)))

    def token_mask(self, frame_mask: torch.Tensor) -> torch.Tensor:
        """Valid audio tokens `(B, ceil(T / stacking))` of valid frames `(B, T)`."""
        lengths = (frame_mask.sum(-1) + self.stacking - 1) // self.stacking
        num_tokens = -(-frame_mask.shape[1] // self.stacking)
        return torch.arange(num_tokens, device=frame_mask.device)[None, :] < lengths[:, None]


@auto_docstring(custom_intro="What backbone and full model share.")
class EntropyASRPreTrainedModel(EntropyASREncoderPreTrainedModel):
    config: EntropyASRConfig
    main_input_name = "input_ids"
    input_modalities = ("audio", "text")
    # The layers of encoder and language model are collected from these themselves.
    _no_split_modules = None
    _skip_keys_device_placement = CACHE
    # Counting the placeholders depends on the data, so the multimodal prefill cannot be one graph.
    _can_compile_fullgraph = False
    _can_record_outputs = None


@auto_docstring(custom_intro="Output of [`EntropyASRModel`].")
@dataclass
class EntropyASRModelOutputWithPast(BaseModelOutputWithPast):
    r"""
    audio_hidden_states (`torch.Tensor` of shape `(num_audio_tokens, hidden_size)`, *optional*):
        Adaptor output that took the placeholders' places.
    """

    audio_hidden_states: torch.Tensor | None = None


@auto_docstring(custom_intro="Speech encoder, adaptor and language model, without a language modelling head.")
class EntropyASRModel(EntropyASRPreTrainedModel):
    # In checkpoints of the full model. vLLM has an output layer of its own and refuses what it cannot place.
    _keys_to_ignore_on_load_unexpected = [r"^phoneme_head\."]

    def __init__(self, config: EntropyASRConfig):
        super().__init__(config)
        self.audio_tower = build_audio_tower(config.audio_config)
        self.adaptor = EntropyASRAdaptor(config)
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module):
        self.language_model.set_input_embeddings(value)

    @can_return_tuple
    @auto_docstring(custom_intro="Audio embeddings in the language model's space.")
    def get_audio_features(
        self,
        input_features: torch.Tensor,
        input_features_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | BaseModelOutputWithPooling:
        r"""
        input_features_mask (`torch.Tensor` of shape `(batch_size, num_feature_frames)`, *optional*):
            1 for feature frames of real audio, 0 for padding.
        """
        stages = self.config.audio_length_stages
        encoded = encode_audio(self.audio_tower, stages, input_features, input_features_mask, **kwargs)
        audio_tokens = self.adaptor(encoded.last_hidden_state, encoded.attention_mask)
        return BaseModelOutputWithPooling(
            last_hidden_state=encoded.last_hidden_state,
            pooler_output=audio_tokens[self.adaptor.token_mask(encoded.attention_mask)],
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )

    def get_placeholder_mask(
        self, input_ids: torch.LongTensor | None, inputs_embeds: torch.Tensor, audio_features: torch.Tensor
    ) -> torch.Tensor:
        """Where audio embeddings go, `(B, L, hidden_size)`; as many places as embeddings, or a ValueError."""
        if input_ids is None:
            token = torch.full((), self.config.audio_token_id, dtype=torch.long, device=inputs_embeds.device)
            mask = (inputs_embeds == self.get_input_embeddings()(token)).all(-1)
        else:
            mask = input_ids == self.config.audio_token_id
        num_tokens = mask.sum()
        mask = mask.unsqueeze(-1).expand_as(inputs_embeds).to(inputs_embeds.device)
        torch_compilable_check(
            inputs_embeds[mask].numel() == audio_features.numel(),
            f"Audio features and audio tokens do not match, tokens: {num_tokens}, features: {audio_features.shape[0]}",
        )
        return mask

    def scatter_audio(
        self, input_ids: torch.LongTensor | None, inputs_embeds: torch.Tensor, audio_features: torch.Tensor
    ) -> torch.Tensor:
        """`inputs_embeds` with audio embeddings `(num_audio_tokens, hidden_size)` in the placeholders' places."""
        placeholders = self.get_placeholder_mask(input_ids, inputs_embeds, audio_features)
        return inputs_embeds.masked_scatter(placeholders, audio_features)

    @can_return_tuple
    @auto_docstring
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        input_features: torch.Tensor | None = None,
        input_features_mask: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | EntropyASRModelOutputWithPast:
        r"""
        input_features_mask (`torch.Tensor` of shape `(batch_size, num_feature_frames)`, *optional*):
            1 for feature frames of real audio, 0 for padding.
        past_key_values (`Cache`, *optional*):
            Keys and values of the language model for what it has read before.
        """
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        audio_features = None
        if input_features is not None:
            audio_features = self.get_audio_features(input_features, input_features_mask, return_dict=True)
            audio_features = audio_features.pooler_output.to(inputs_embeds.device, inputs_embeds.dtype)
            inputs_embeds = self.scatter_audio(input_ids, inputs_embeds, audio_features)
        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=use_cache,
            **kwargs,
        )
        return EntropyASRModelOutputWithPast(
            last_hidden_state=outputs.last_hidden_state,
            **{CACHE: outputs.get(CACHE)},
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            audio_hidden_states=audio_features,
        )


@auto_docstring(custom_intro="Output of [`EntropyASRForConditionalGeneration`].")
@dataclass
class EntropyASRCausalLMOutputWithPast(CausalLMOutputWithPast):
    r"""
    loss (`torch.Tensor`, *optional*, returned when `labels` is given):
        Next-token loss over the transcription.
    audio_hidden_states (`torch.Tensor` of shape `(num_audio_tokens, hidden_size)`, *optional*):
        Adaptor output that took the placeholders' places.
    """

    audio_hidden_states: torch.Tensor | None = None


@auto_docstring(custom_intro="What [`EntropyASRForConditionalGeneration.encode_speech`] makes of a batch.")
@dataclass
class EntropyASRSpeechOutput(ModelOutput):
    r"""
    audio_embeddings (`torch.Tensor` of shape `(batch_size, num_audio_tokens, hidden_size)`):
        Adaptor output, what the language model reads in place of the placeholders.
    audio_token_mask (`torch.Tensor` of shape `(batch_size, num_audio_tokens)`):
        True for audio tokens of real audio.
    phoneme_logits (`torch.Tensor` of shape `(batch_size, num_frames, phoneme_vocab_size)`):
        Scores of the phoneme head.
    frame_mask (`torch.Tensor` of shape `(batch_size, num_frames)`):
        True for encoder frames of real audio.
    """

    audio_embeddings: torch.Tensor | None = None
    audio_token_mask: torch.Tensor | None = None
    phoneme_logits: torch.Tensor | None = None
    frame_mask: torch.Tensor | None = None


@auto_docstring(custom_intro="Speech recognition by encoder, adaptor and language model (arXiv 2604.08003).")
class EntropyASRForConditionalGeneration(CheckpointMixin, EntropyASRPreTrainedModel, TranscriptGenerationMixin):
    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}
    _tp_plan = {"lm_head": "colwise_gather_output"}

    def __init__(self, config: EntropyASRConfig):
        super().__init__(config)
        self.model = EntropyASRModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.phoneme_head = EntropyASRPhonemeHead(config.audio_config.hidden_size, config.phoneme_vocab_size)
        self.post_init()

    @classmethod
    def from_components(
        cls,
        encoder: str | PreTrainedModel,
        language_model: str | PreTrainedModel,
        *,
        tokenizer: str | PreTrainedTokenizerBase | None = None,
        audio_token_id: int | None = None,
        vocab_size: int | None = None,
        eos_token_id: int | None = None,
        num_layers: int | None = None,
        dtype: torch.dtype | str | None = None,
        **config_kwargs,
    ) -> "EntropyASRForConditionalGeneration":
        """Join a trained speech encoder and a trained language model; the adaptor between them starts at random.

        Where both were given as folders or Hub ids, the model's `processor` is set, and saved beside it.

        Args:
            encoder: an `EntropyASRForCTC` or any transformers speech model, or where to load one from. Of a CTC model
                and of a full model of ours a trained phoneme head is taken too; Whisper's encoder, and FireRedASR's as
                it is published, become [`EntropyASRWhisperEncoder`] and [`EntropyASRFireRedEncoder`].
            language_model: a causal language model, or where to load one from.
            tokenizer: the language model's, or where to load it from; by default from where that was loaded. It gets
                the special tokens of the prompt that it lacks. Not needed where `audio_token_id` is given.
            audio_token_id: id of the audio placeholder in the language model's tokenizer; what that says by default.
            vocab_size: size to which embeddings are filled up where they are fewer; the tokenizer's by default.
            eos_token_id: token that ends a transcription; by default the tokenizer's end of a turn, and where the
                language model does not know that, or without a tokenizer, what ends its own answers.
            num_layers: take the first so many layers of an encoder that is or becomes of this project; all by default.
            dtype: of the joined model; by default the language model's, or what that was saved with.
            **config_kwargs: further fields of [`EntropyASRConfig`].

        Raises:
            ValueError: no tokenizer and no `audio_token_id`, or parts that do not fit.
        """
        with needed_for("joining a model"):
            from .joining_entropy_asr import build_joined_model, prompt_vocabulary
            from .modeling_entropy_asr_ctc import EntropyASRForCTC
        # The encoder may be one of these, and nothing else may have imported them.
        SPEECH_MODELS.setdefault(EntropyASRForCTC.config_class.model_type, EntropyASRForCTC)
        vocabulary = prompt_vocabulary(tokenizer, language_model, audio_token_id, vocab_size)
        return build_joined_model(
            cls,
            encoder,
            language_model,
            vocabulary,
            eos_token_id=eos_token_id,
            num_layers=num_layers,
            dtype=dtype,
            config_kwargs=config_kwargs,
        )

    @auto_docstring(custom_intro="Audio embeddings in the language model's space.")
    def get_audio_features(
        self, input_features: torch.Tensor, input_features_mask: torch.Tensor | None = None, **kwargs
    ) -> tuple | BaseModelOutputWithPooling:
        r"""
        input_features_mask (`torch.Tensor` of shape `(batch_size, num_feature_frames)`, *optional*):
            1 for feature frames of real audio, 0 for padding.
        """
        return self.model.get_audio_features(input_features, input_features_mask, **kwargs)

    @torch.no_grad()
    def get_phoneme_logits(
        self, input_features: torch.Tensor, input_features_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Phoneme logits `(batch_size, num_frames, phoneme_vocab_size)` and the mask of valid frames."""
        stages = self.config.audio_length_stages
        encoded = encode_audio(self.model.audio_tower, stages, input_features, input_features_mask)
        return self.phoneme_head(encoded.last_hidden_state), encoded.attention_mask

    @torch.no_grad()
    def encode_speech(
        self, input_features: torch.Tensor, input_features_mask: torch.Tensor | None = None
    ) -> EntropyASRSpeechOutput:
        """Run the encoder once for all that is read from it: embeddings for the prompt, phonemes for hotwords.

        `generate(input_ids, inputs_embeds=model.embed_prompt(input_ids, speech), attention_mask=...)` then transcribes
        without encoding again, with a prompt that may depend on the phonemes.

        Args:
            input_features, input_features_mask: as the processor gives them, `(batch_size, num_frames, num_mel_bins)`
                and `(batch_size, num_frames)`.
        """
        stages, adaptor = self.config.audio_length_stages, self.model.adaptor
        encoded = encode_audio(self.model.audio_tower, stages, input_features, input_features_mask)
        return EntropyASRSpeechOutput(
            audio_embeddings=adaptor(encoded.last_hidden_state, encoded.attention_mask),
            audio_token_mask=adaptor.token_mask(encoded.attention_mask),
            phoneme_logits=self.phoneme_head(encoded.last_hidden_state),
            frame_mask=encoded.attention_mask,
        )

    @torch.no_grad()
    def embed_prompt(self, input_ids: torch.LongTensor, speech: EntropyASRSpeechOutput) -> torch.Tensor:
        """Embeddings `(batch_size, sequence_length, hidden_size)` of prompts, with the speech in their placeholders.

        Raises:
            ValueError: the prompts have not as many placeholders as the speech has audio tokens.
        """
        inputs_embeds = self.get_input_embeddings()(input_ids)
        audio_features = speech.audio_embeddings[speech.audio_token_mask]
        audio_features = audio_features.to(inputs_embeds.device, inputs_embeds.dtype)
        return self.model.scatter_audio(input_ids, inputs_embeds, audio_features)

    def generate_batch(self, *args, **kwargs):
        """Continuous batching passes token ids only and would transcribe without the audio.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"{type(self).__name__} has no `generate_batch`: continuous batching would ignore the audio. "
            "Use `generate`, which takes padded batches."
        )

    @can_return_tuple
    @auto_docstring
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        input_features: torch.Tensor | None = None,
        input_features_mask: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple | EntropyASRCausalLMOutputWithPast:
        r"""
        input_features_mask (`torch.Tensor` of shape `(batch_size, num_feature_frames)`, *optional*):
            1 for feature frames of real audio, 0 for padding.
        past_key_values (`Cache`, *optional*):
            Keys and values of the language model for what it has read before.
        labels (`torch.LongTensor` of shape `(batch_size, sequence_length)`, *optional*):
            Next-token labels; -100 everywhere but on the transcription.
        """
        outputs = self.model(
            input_ids=input_ids,
            input_features=input_features,
            input_features_mask=input_features_mask,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            return_dict=True,
            **kwargs,
        )
        hidden_states = outputs.last_hidden_state
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(hidden_states[:, kept, :])
        loss = None
        if labels is not None:
            vocab_size = self.config.text_config.vocab_size
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=vocab_size, **kwargs)
        return EntropyASRCausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            **{CACHE: outputs.get(CACHE)},
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            audio_hidden_states=outputs.audio_hidden_states,
        )


SPEECH_MODELS[EntropyASRConfig.model_type] = EntropyASRForConditionalGeneration

__all__ = ["EntropyASRForConditionalGeneration", "EntropyASRModel", "EntropyASRPreTrainedModel"]
