# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Encoders in onnxruntime give what they give in PyTorch: batches of different lengths, and streams of different ages.

torch's exporter takes some ten seconds for a graph, however small: each is written once for all tests.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_models import (
    build_model,
    padded_batch,
    small_config,
    small_encoder_config,
    small_firered_encoder_config,
    small_whisper,
    small_whisper_encoder_config,
)

from entropy_asr.hub_cards.onnx_graphs import (
    ChunkGraph,
    UtteranceGraph,
    quantize,
    write_chunk_graph,
    write_utterance_graph,
)
from entropy_asr.hub_cards.run_onnx import encode_chunks
from entropy_asr.modeling import EntropyASRCTCConfig, EntropyASREncoderCache, EntropyASRForCTC


CHUNK_SIZE, LEFT_CHUNKS = 4, 2
# Feature frames of three streams, of which the last begins when the others have had a chunk.
LENGTHS, STARTS = [75, 53, 20], [0, 0, 1]


def ctc_model(audio_config) -> EntropyASRForCTC:
    torch.manual_seed(0)
    config = EntropyASRCTCConfig(audio_config=audio_config.to_dict(), vocab_size=20, initializer_range=0.3)
    return EntropyASRForCTC(config).eval()


@pytest.fixture(scope="module", params=["own", "whisper"])
def exported(request, tmp_path_factory) -> SimpleNamespace:
    """A model and both of its graphs; the offline one of the first sees chunks, as its configuration says."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "own":
        model = ctc_model(small_encoder_config(chunk_size=8, left_chunks=1))
    else:
        model = build_model(small_config(small_whisper_encoder_config()))
    written = (
        write_utterance_graph(UtteranceGraph(model), folder / "encoder.onnx"),
        write_chunk_graph(ChunkGraph(model, CHUNK_SIZE, LEFT_CHUNKS), folder / "streaming.onnx"),
    )
    sessions = [onnxruntime.InferenceSession(folder / name) for name in ("encoder.onnx", "streaming.onnx")]
    return SimpleNamespace(model=model, folder=folder, written=written, offline=sessions[0], streaming=sessions[1])


def run(session, inputs: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    values = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    return dict(zip([value.name for value in session.get_outputs()], values, strict=True))


def tower(model):
    return model.audio_tower if hasattr(model, "audio_tower") else model.model.audio_tower


@pytest.mark.slow
@pytest.mark.parametrize("lengths", [[61, 40, 33], [1], [7, 203]])
@torch.no_grad()
def test_utterances_of_different_lengths_are_encoded_as_in_pytorch(exported, lengths):
    features, mask = padded_batch(lengths)
    outputs = run(exported.offline, {"features": features, "features_mask": mask})
    encoded = tower(exported.model)(features, attention_mask=mask)
    valid = encoded.attention_mask.numpy()
    np.testing.assert_array_equal(outputs["frame_mask"], valid)
    logits = exported.model.phoneme_head(encoded.last_hidden_state).numpy()
    np.testing.assert_allclose(outputs["logits"][valid], logits[valid], atol=1e-4)
    np.testing.assert_allclose(outputs["hidden_states"][valid], encoded.last_hidden_state.numpy()[valid], atol=1e-4)


@pytest.mark.slow
@torch.no_grad()
def test_audio_embeddings_are_those_that_the_language_model_reads(exported):
    if not hasattr(exported.model, "model"):
        assert "audio_embeddings" not in exported.written[0].outputs
        return
    features, mask = padded_batch([61, 40])
    outputs = run(exported.offline, {"features": features, "features_mask": mask})
    expected = exported.model.encode_speech(features, mask)
    valid = expected.audio_token_mask.numpy()
    embeddings = expected.audio_embeddings.numpy()[valid]
    np.testing.assert_allclose(outputs["audio_embeddings"][valid], embeddings, atol=1e-4)


def next_chunks(features: list[torch.Tensor], turn: int, size: int, ahead: int):
    """Streams that have a chunk in this turn, their chunks, and the features behind them."""
    rows = [row for row, start in enumerate(STARTS) if 0 <= (turn - start) * size < LENGTHS[row]]
    chunks = [features[row][(turn - STARTS[row]) * size :][:size] for row in rows]
    behind = [features[row][(turn - STARTS[row] + 1) * size :][:ahead] for row in rows]
    behind = [torch.nn.functional.pad(row, (0, 0, 0, ahead - len(row))) for row in behind]
    return rows, chunks, torch.stack(behind) if rows else None


@torch.no_grad()
def encode_streams(exported, features: list[torch.Tensor]) -> list[np.ndarray]:
    """Logits of each stream, encoded with those that have a chunk at the same time."""
    shapes, model = exported.written[1].inputs, exported.model
    names = [name.removeprefix("state.") for name in shapes if name.startswith("state.")]
    size = CHUNK_SIZE * int(np.prod([stride for _, stride, _ in model.config.audio_length_stages]))
    zeros = {name: torch.zeros(1, *shapes[f"state.{name}"][1:]) for name in names}
    states, seen, logits = [dict(zeros) for _ in features], [0] * len(features), [[] for _ in features]
    ahead = tower(model).num_look_ahead
    for turn in range(1 + max(LENGTHS) // size):
        rows, chunks, behind = next_chunks(features, turn, size, ahead)
        lengths = torch.tensor([len(chunk) for chunk in chunks])
        batch = torch.nn.utils.rnn.pad_sequence(chunks, batch_first=True)
        mask = (torch.arange(batch.shape[1])[None] < lengths[:, None]).long()
        inputs = {"features": batch, "features_mask": mask, "seen_frames": torch.tensor([seen[row] for row in rows])}
        inputs |= {f"state.{name}": torch.cat([states[row][name] for row in rows]) for name in names}
        outputs = run(exported.streaming, inputs | ({"look_ahead": behind} if ahead else {}))
        for index, row in enumerate(rows):
            valid = outputs["frame_mask"][index]
            logits[row].append(outputs["logits"][index][valid])
            seen[row] += int(valid.sum())
            states[row] = {name: torch.from_numpy(outputs[f"next.{name}"][index : index + 1]) for name in names}
    return [np.concatenate(pieces) for pieces in logits]


@pytest.mark.slow
@torch.no_grad()
def test_streams_of_different_ages_are_encoded_as_in_pytorch(exported):
    torch.manual_seed(3)
    features = [torch.randn(length, 80) for length in LENGTHS]
    encoder = tower(exported.model)
    for row, logits in enumerate(encode_streams(exported, features)):
        whole = encoder(features[row][None], chunk_size=CHUNK_SIZE, left_chunks=LEFT_CHUNKS).last_hidden_state
        np.testing.assert_allclose(logits, exported.model.phoneme_head(whole)[0].numpy(), atol=1e-4)
    assert len(features[0]) > (LEFT_CHUNKS + 1) * CHUNK_SIZE * 2  # what is remembered has been cut


@pytest.mark.slow
@torch.no_grad()
def test_the_script_of_an_export_brings_chunks_what_is_behind_them(exported):
    torch.manual_seed(4)
    features, encoder, shapes = torch.randn(1, 53, 80), tower(exported.model), exported.written[1].inputs
    states = {name.removeprefix("state."): shape for name, shape in shapes.items() if name.startswith("state.")}
    size = CHUNK_SIZE * int(np.prod([stride for _, stride, _ in exported.model.config.audio_length_stages]))
    settings = {"chunk_features": size, "look_ahead_features": encoder.num_look_ahead, "states": states}
    chunks = encode_chunks(exported.streaming, features[0].numpy(), settings)
    frames = np.concatenate([chunk["hidden_states"] for chunk in chunks], axis=1)
    expected = encoder(features, chunk_size=CHUNK_SIZE, left_chunks=LEFT_CHUNKS).last_hidden_state
    np.testing.assert_allclose(frames, expected.numpy(), atol=1e-4)


@pytest.mark.slow
@torch.no_grad()
def test_a_chunk_alone_is_encoded_as_in_pytorch_with_what_is_behind_it(exported):
    encoder, shapes = tower(exported.model), exported.written[1].inputs
    features = torch.randn(1, 16, 80)
    cache = EntropyASREncoderCache()
    ahead = torch.randn(1, encoder.num_look_ahead, 80)
    inputs = {"features": features, "features_mask": torch.ones(1, 16).long(), "seen_frames": torch.zeros(1).long()}
    inputs |= {name: torch.zeros(1, *shape[1:]) for name, shape in shapes.items() if name.startswith("state.")}
    inputs |= {"look_ahead": ahead} if encoder.num_look_ahead else {}
    outputs = run(exported.streaming, inputs)
    encoded = encoder(features, cache=cache, chunk_size=CHUNK_SIZE, left_chunks=LEFT_CHUNKS, look_ahead=ahead)
    np.testing.assert_allclose(outputs["hidden_states"], encoded.last_hidden_state.numpy(), atol=1e-4)


@pytest.mark.slow
def test_tensors_are_described_by_names_of_their_axes(exported):
    offline, streaming = exported.written
    assert offline.inputs == {"features": ["batch", "num_features", 80], "features_mask": ["batch", "num_features"]}
    assert offline.outputs["logits"][:2] == ["batch", "num_frames"]
    states = {name for name in streaming.inputs if name.startswith("state.")}
    assert {f"next.{name.removeprefix('state.')}" for name in states} < set(streaming.outputs)
    assert streaming.inputs["state.layers.0.key"] == ["batch", 4, CHUNK_SIZE * LEFT_CHUNKS, 8]


@pytest.mark.slow
def test_int8_is_smaller_and_hears_nearly_the_same(exported):
    onnxruntime = pytest.importorskip("onnxruntime")
    quantize(exported.folder / "encoder.onnx", exported.folder / "encoder.int8.onnx")
    features, mask = padded_batch([61])
    session = onnxruntime.InferenceSession(exported.folder / "encoder.int8.onnx")
    logits = run(session, {"features": features, "features_mask": mask})["logits"]
    expected = run(exported.offline, {"features": features, "features_mask": mask})["logits"]
    assert 0 < np.abs(logits - expected).max() < 0.2 * np.abs(expected).max()


def test_a_head_that_was_never_trained_is_refused():
    model = build_model(small_config(phoneme_head_trained=False))
    with pytest.raises(ValueError, match="phoneme head was never trained"):
        UtteranceGraph(model)


def test_encoders_that_cannot_be_exported_are_refused():
    other = build_model(small_config(small_whisper().config, adaptor_stacking=8))
    with pytest.raises(ValueError, match="`whisper` encoder keeps its own layout"):
        UtteranceGraph(other)
    with pytest.raises(ValueError, match="relative positions of FireRedASR"):
        UtteranceGraph(ctc_model(small_firered_encoder_config()))


def test_streams_that_remember_everything_are_refused():
    with pytest.raises(ValueError, match="4 frames and -1 chunks"):
        ChunkGraph(ctc_model(small_encoder_config()), 4, -1)


def test_exporting_leaves_the_model_as_it_was():
    model = ctc_model(small_encoder_config()).to(torch.bfloat16).train()
    graph = ChunkGraph(model, 4, 2)
    assert model.dtype == torch.bfloat16 and model.training
    assert {parameter.dtype for parameter in graph.parameters()} == {torch.float32}
