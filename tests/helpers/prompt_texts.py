# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The prompt as it should be, and as it is in a batch."""

PROMPT = (
    "<|im_start|>system\nYou are a multilingual speech recognition model.<|im_end|>\n"
    "<|im_start|>user\nTranscribe the speech into{language} text.\n<|audio|>{hints}<|im_end|>\n"
    "<|im_start|>assistant\n"
)


def prompts_of(processor, inputs) -> list[str]:
    """Prompts of a batch, with one placeholder for a run of them."""
    texts = []
    for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
        text = processor.tokenizer.decode(ids[mask.bool()])
        head, *placeholders, tail = text.split("<|audio|>")
        assert not any(placeholders)
        texts.append(f"{head}<|audio|>{tail}")
    return texts
