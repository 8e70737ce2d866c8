# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The language model as GGUF: llama.cpp itself reads it, cuts texts alike, and writes what the whole model writes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from small_models import build_model, build_tokenizer, small_config, small_text_config
from tokenizers import Regex, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

import entropy_asr.hub_cards
import entropy_asr.spaces
from entropy_asr.hub_cards.model_export import export_encoder, plain_language_model
from entropy_asr.hub_cards.publish import BLOCK


pytest.importorskip("gguf")
from entropy_asr.hub_cards.gguf_export import FILE, export_gguf, pre_tokenizer_name, write_gguf


HUB_CARDS = Path(entropy_asr.hub_cards.__file__).parent
DEMO = Path(entropy_asr.spaces.__file__).parent / "demo"
TEXTS = (
    "hello world, the cat sat on the mat",
    "  It's 1234 o'clock\n\nin  café Zoë… ",
    "你好世界，我要25個。",
    "用 Kaldi 做語音識別 ok",
    "😀 π ≈ 3.14 🇨🇳",
)


@pytest.fixture
def llama(monkeypatch):
    """The class by which `run_gguf.py` runs llama.cpp; beside it lies `run_onnx.py`."""
    bindings = pytest.importorskip("llama_cpp_py_sync._cffi_bindings")
    try:
        bindings.get_lib()
    except RuntimeError as error:  # its library asks for a newer C library
        pytest.skip(str(error))
    monkeypatch.syspath_prepend(HUB_CARDS)
    import run_gguf

    yield run_gguf.LanguageModel
    for name in ("run_gguf", "run_onnx"):
        sys.modules.pop(name, None)


def qwen2(vocab_size: int = 300) -> Qwen2ForCausalLM:
    """Two layers with biases, and an output of its own."""
    torch.manual_seed(0)
    settings = small_text_config(vocab_size).to_dict()
    for name in ("head_dim", "model_type", "layer_types", "architectures"):
        settings.pop(name)
    config = Qwen2Config(**{**settings, "hidden_size": 64, "tie_word_embeddings": False})
    model = Qwen2ForCausalLM(config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    model.generation_config.update(eos_token_id=2, pad_token_id=0)
    return model


@torch.no_grad()
def test_llama_cpp_gives_the_logits_of_transformers(tmp_path, llama, model, processor):
    """Of the bundled checkpoint, with tokens and embeddings mixed."""
    ids = torch.tensor([processor.tokenizer("hello world, you and me").input_ids])
    embeddings = 0.1 * torch.randn(5, model.config.text_config.hidden_size, generator=torch.manual_seed(0))
    embedded = model.get_input_embeddings()(ids)
    expected = model(inputs_embeds=torch.cat([embedded, embeddings[None], embedded], dim=1)).logits[0, -1].numpy()
    for kind, tolerance in (("f32", 0.02), ("f16", 0.05), ("bf16", 0.2), ("q8_0", 0.5)):
        export_gguf(model, processor.tokenizer, tmp_path, kind)
        loaded = llama(tmp_path / FILE, 64)
        loaded.read(ids[0].tolist())
        loaded.read(embeddings=embeddings.numpy())
        found = loaded.read(ids[0].tolist())
        assert np.abs(found - expected).max() < tolerance * expected.std(), kind
        assert found.argmax() == expected.argmax()


@torch.no_grad()
def test_biases_and_an_output_of_its_own_are_written_too(tmp_path, llama):
    model = qwen2()
    write_gguf(model, build_tokenizer(["<|im_end|>"]), tmp_path / FILE, "f32")
    found = llama(tmp_path / FILE, 64).read([5, 6, 7, 8])
    expected = model(torch.tensor([[5, 6, 7, 8]])).logits[0, -1].numpy()
    assert np.abs(found - expected).max() < 0.02 * expected.std()


def test_llama_cpp_cuts_texts_into_the_same_tokens(tmp_path, llama, model, processor):
    export_gguf(model, processor.tokenizer, tmp_path, "q8_0")
    loaded = llama(tmp_path / FILE, 8)
    for text in TEXTS:
        ids = processor.tokenizer(text, add_special_tokens=False).input_ids
        assert loaded.tokenize(text) == ids, text
        assert loaded.text_of(ids) == text


@torch.no_grad()
def test_llama_cpps_server_goes_on_with_texts_as_transformers_does(tmp_path, model, processor):
    xllamacpp = pytest.importorskip("xllamacpp")
    export_gguf(model, processor.tokenizer, tmp_path, "f32")
    settings = xllamacpp.CommonParams()
    settings.model.path = str(tmp_path / FILE)
    settings.n_ctx, settings.n_parallel, settings.warmup, settings.verbosity = 256, 1, False, 0
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(settings)
    plain = plain_language_model(model)
    for text in TEXTS:
        answer = server.handle_completions({"prompt": text, "max_tokens": 8, "temperature": 0})
        ids = processor.tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
        expected = plain.generate(ids, max_new_tokens=8, do_sample=False)[0, ids.shape[1] :]
        assert answer["usage"]["prompt_tokens"] == ids.shape[1], text
        # What is no whole character yet is not written.
        written = processor.tokenizer.decode(expected, skip_special_tokens=True).rstrip("\ufffd")
        assert answer["choices"][0]["text"] == written, text


def test_qwens_way_to_cut_texts_is_known(tmp_path, llama):
    """In which a mark, but no space, may stand in a word, and digits are alone."""
    tokenizer = build_tokenizer(["<|im_end|>"])
    split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated")
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, last])
    write_gguf(qwen2(), tokenizer, tmp_path / FILE)
    loaded = llama(tmp_path / FILE, 8)
    assert [loaded.tokenize(text) for text in TEXTS] == [tokenizer(text).input_ids for text in TEXTS]


@torch.no_grad()
def test_transformers_reads_the_file_too(tmp_path, model, processor):
    export_gguf(model, processor.tokenizer, tmp_path, "f32")
    plain, ids = plain_language_model(model), torch.tensor([[5, 6, 7]])
    # Of Qwen3 it takes each head to have 128 values, whatever the file says.
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=FILE, config=plain.config)
    torch.testing.assert_close(loaded(ids).logits, plain(ids).logits, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
@torch.no_grad()
def test_both_halves_write_what_the_whole_model_writes_without_torch(tmp_path, llama, model, processor):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    export_encoder(model, processor, tmp_path)
    export_gguf(model, processor.tokenizer, tmp_path, "f32")
    blocked = BLOCK.replace('== "entropy_asr"', 'in ("entropy_asr", "torch", "transformers", "onnx", "gguf")')
    for language in ("english", "mandarin"):
        speech, rate = soundfile.read(DEMO / "examples" / f"{language}.flac", dtype="float32")
        soundfile.write(tmp_path / "speech.wav", speech, rate, subtype="PCM_16")
        written = run_without_packages(tmp_path, blocked)
        inputs = processor.apply_transcription_request(speech)
        expected = processor.batch_decode(model.generate(**inputs, max_new_tokens=100))[0]
        assert len(expected) > 1  # the Mandarin clip is one word of two characters
        assert written == expected
    too_long = np.zeros(31 * rate, np.float32)
    soundfile.write(tmp_path / "speech.wav", too_long, rate, subtype="PCM_16")
    error = run_without_packages(tmp_path, blocked, status=2)
    assert "speech.wav: 31.0 s, and this encoder takes 30" in error and "Traceback" not in error


def run_without_packages(folder: Path, blocked: str, status: int = 0) -> str:
    """What the script in a folder prints of `speech.wav` there."""
    script = (
        f"{blocked}\nimport runpy\nsys.path.insert(0, {str(folder)!r})\nsys.argv = ['run_gguf.py', 'speech.wav']\n"
    )
    script += "runpy.run_path('run_gguf.py', run_name='__main__')"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=folder)
    assert done.returncode == status, done.stderr
    return (done.stderr if status else done.stdout).strip()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}, "positions of type 'linear'"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "a sliding window"),
    ],
)
def test_what_the_file_would_not_say_is_refused(tmp_path, change, reason):
    model = build_model(small_config())
    model.config.text_config.update(change)
    with pytest.raises(ValueError, match=reason):
        export_gguf(model, build_tokenizer(["<|im_end|>"]), tmp_path)
    assert not (tmp_path / FILE).exists()


def test_other_language_models_and_types_are_refused_with_what_is_known(tmp_path):
    tokenizer = build_tokenizer(["<|im_end|>"])
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}
    llama = LlamaForCausalLM(LlamaConfig(vocab_size=300, **sizes))
    with pytest.raises(ValueError, match="type 'llama' are not written as GGUF here, only qwen2, qwen3: export the"):
        write_gguf(llama, tokenizer, tmp_path / FILE)
    with pytest.raises(ValueError, match="are stored as f32, f16, bf16, q8_0 here, not 'q4_0'"):
        write_gguf(qwen2(), tokenizer, tmp_path / FILE, "q4_0")


def test_a_cut_that_tokens_reach_over_has_no_name():
    last = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    split = {"type": "Split", "pattern": {"Regex": "[一-鿿]"}}
    described = {"type": "Sequence", "pretokenizers": [split, last]}
    apart = ["Ġhello", as_letters("中"), as_letters("é"), as_letters("中")[:2]]
    assert pre_tokenizer_name(described, apart) == "gpt-2"
    for token in ("中a", "中国", " 中"):
        with pytest.raises(ValueError, match="no name for"):
            pre_tokenizer_name(described, [*apart, as_letters(token)])
    with pytest.raises(ValueError, match="no name for"):
        pre_tokenizer_name(described, [*apart, "Ġ" + as_letters("中")[:1]])
    assert pre_tokenizer_name(described, [*apart, "Ġ" + as_letters("é")[:1]]) == "gpt-2"
    with pytest.raises(ValueError, match="no name for"):
        pre_tokenizer_name({"type": "Metaspace"}, apart)


def as_letters(text: str) -> str:
    """A text in the letters of a byte-level vocabulary."""
    pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return "".join(piece for piece, _ in pre_tokenizer.pre_tokenize_str(text))
