# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What vLLM's Transformers backend asks of an audio model and its processor, as far as it can be seen without vLLM."""

import torch


def test_audio_embeddings_are_flat_and_fill_the_placeholders(model, processor, waveforms):
    inputs = processor(waveforms[:3])
    output = model.model.get_audio_features(inputs["input_features"], inputs["input_features_mask"])
    num_placeholders = int((inputs["input_ids"] == model.config.audio_token_id).sum())
    assert output.pooler_output.shape == (num_placeholders, model.config.text_config.hidden_size)


def test_features_and_their_mask_have_names_that_are_not_dropped(processor, waveforms):
    inputs = processor(waveforms[:2])
    assert set(inputs) == {"input_ids", "attention_mask", "input_features", "input_features_mask"}


def test_the_processor_says_where_placeholders_went(processor, waveforms):
    """Prompt updates are found by these offsets."""
    text = processor.prompt()
    inputs = processor(audio=waveforms[:2], text=[text, text], return_text_replacement_offsets=True)
    for row, (replacement,) in enumerate(inputs["text_replacement_offsets"]):
        start, end = replacement["span"]
        assert text[start:end] == replacement["text"] == processor.audio_token
        count = int((inputs["input_ids"][row] == processor.audio_token_id).sum())
        assert replacement["replacement"] == processor.audio_token * count


def test_what_is_read_from_processor_and_configuration(model, processor):
    assert processor.audio_token in processor.tokenizer.get_vocab()
    assert processor.feature_extractor.sampling_rate == 16000
    assert model.config.audio_config.max_position_embeddings > 0
    assert model.config.get_text_config() is model.config.text_config


def test_the_modules_that_are_looked_for(model):
    assert model.get_encoder(modality="audio") is model.model.audio_tower
    assert model.model._supports_attention_backend
    assert model.model.language_model._supports_attention_backend


def test_arguments_of_the_backend_reach_the_attention(model):
    """vLLM passes its attention state as keyword arguments through every forward."""
    seen = []
    attention = model.model.language_model.layers[0].self_attn
    hook = attention.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs.get("attention_instances")), with_kwargs=True
    )
    with torch.no_grad():
        model.model(torch.tensor([[5, 6, 7]]), attention_instances="backend")
    hook.remove()
    assert seen == ["backend"]


def test_each_audio_is_processed_and_encoded_alone_behind_the_bare_placeholder(model, processor, waveforms):
    """So that what is kept of one does not depend on its neighbours; the mask comes along, as a batch of one."""
    together = processor(waveforms[:3])
    expected = model.model.get_audio_features(together["input_features"], together["input_features_mask"])
    found = []
    for waveform in waveforms[:3]:
        alone = processor(
            text=processor.audio_token, audio=[waveform], return_tensors="pt", return_text_replacement_offsets=True
        )
        ((replacement,),) = alone.pop("text_replacement_offsets")
        features = {name: alone[name][0].unsqueeze(0) for name in ("input_features", "input_features_mask")}
        output = model.model.get_audio_features(features.pop("input_features"), return_dict=True, **features)
        ids = processor.tokenizer(replacement["replacement"], add_special_tokens=False).input_ids
        assert set(ids) == {model.config.audio_token_id} and len(ids) == len(output.pooler_output)
        found.append(output.pooler_output)
    torch.testing.assert_close(torch.cat(found), expected.pooler_output, atol=1e-4, rtol=1e-4)


def test_two_audios_may_stand_in_one_prompt(processor, waveforms):
    text = f"{processor.audio_token} {processor.audio_token}"
    inputs = processor(text=text, audio=waveforms[:2], return_tensors="pt", return_text_replacement_offsets=True)
    assert [len(row) for row in inputs["text_replacement_offsets"]] == [2]


def test_the_backbone_is_built_from_its_configuration_without_weights(model):
    with torch.device("meta"):
        backbone = type(model.model)._from_config(model.config)
    assert type(backbone.get_decoder()) is type(model.model.language_model)
    assert set(backbone.state_dict()) == set(model.model.state_dict())
    # Beside those behind "model." there are the head, which vLLM has itself, and what the backbone says to pass over.
    others = {name for name in model.state_dict() if not name.startswith("model.")}
    assert {name.split(".")[0] for name in others} == {"lm_head", "phoneme_head"}
