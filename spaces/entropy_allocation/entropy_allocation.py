# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""NSE, PAI, CSAI and text CKA of arXiv 2604.08003 as an `evaluate` metric, and frame-level companions of them.

How this differs from other metrics of `evaluate`: frames do not go through Arrow files, which took 5 s for 200
utterances of 250 x 256. `add` and `add_batch` reduce an utterance to 2 D numbers and its NSE, sum up moments and keep
a sample of the labelled frames in memory; several processes are joined with `torch.distributed`
(`compute(distributed=True)`) instead of files.

`evaluate` copies no other files than those that this one imports by name.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import datasets
import evaluate
import numpy as np
import torch

from .chance import canonical_order, chance_level
from .collection import Collection
from .embedders import embed_texts
from .frame_examples import IGNORED, Sample, frame_examples, word_examples
from .information import GaussianBlocks
from .inputs import PER_UTTERANCE, read_inputs, vectors
from .moments import FrameMoments
from .paper_figures import Blocks, information_figures, nse_figures
from .phoneme_bags import phoneme_bags
from .pooling import pooled
from .probes import accessible_information
from .request import METRICS, OPTIONS, Request, check_heeded, check_metrics
from .spectrum import utterance_nse
from .splits import MIN_GROUPS
from .summaries import Summary
from .text_cka import text_cka, text_cka_chance


__all__ = [
    "EntropyAllocation",
    "GaussianBlocks",
    "chance_level",
    "phoneme_bags",
    "pooled",
    "text_cka",
    "utterance_nse",
]

_DESCRIPTION = """\
Where a speech encoder leaves the uncertainty of a transcript, as arXiv 2604.08003 measures it: NSE (normalized
spectral entropy of an utterance's frames, 0 to 1), PAI and CSAI (Gaussian information in bits between pooled frames
and phoneme counts, and text embeddings given these), CKA of layers with text embeddings. Beside them companions of
this project that look at single frames: frame_nse, frame_pai, frame_csai (nats) and linear CKA between two encoders.
"""

_INPUTS = f"""
Args:
    predictions: encoder frames: one `(T, D)` NumPy array or torch tensor an utterance, valid frames only.
    phonemes: for PAI and CSAI: the transcript's phonemes, a list of ids or symbols an utterance.
    texts: instead of `phonemes`: the transcript, read by the package's own G2P; also what an embedder reads.
    languages: of `texts`: one for all or one an utterance; by default the script decides.
    semantics: for CSAI: an embedding of each transcript, `(N, D_c)`; may also be given to `compute` alone.
    embedder: for CSAI instead of `semantics`: "Qwen/Qwen3-Embedding-8B" (the paper's), "Qwen/Qwen3-Embedding-0.6B",
        "all-minilm-l6-v2" (in a package, no network), any folder or Hub id of a sentence embedder, a function from a
        list of texts to `(N, D_c)`. Needs `texts`.
    layers: for text_cka: an utterance's output of each layer, `(T, D_l)` or its mean `(D_l,)`: a list, or by name.
    text_embeddings: for text_cka: mean of the transcript's embeddings in the language model's table, `(N, D_t)`.
    references: one phoneme id a frame, `(T,)` integers an utterance; {IGNORED} leaves a frame out. For frame_pai and
        frame_csai. To compare encoders, of one neutral aligner or known times, never of one of the encoders compared.
    words: `(M, 3)` integers an utterance: first frame, end (exclusive) and word id of each word. For frame_csai.
    recognized_phonemes: what a recogniser made of each frame, `(T,)` ids, the same for all encoders that are compared:
        frame_csai then conditions on these.
    other_predictions: frames `(T, D2)` of a second encoder at the same moments. Needed for cka.
    speakers: one name an utterance, for all utterances or for none: {MIN_GROUPS} speakers or more are held apart, none
        of them in both training and test rows of a probe. Without them, or where the largest leave no test set, the
        same holds for utterances; with fewer than {MIN_GROUPS} of these, for rows. `details` say which.
    metrics: those of {", ".join(METRICS)} to compute; by default all that the inputs allow, the frame-level ones if
        their inputs were given.
    pca_size: principal components of u, P and C, one number or three (P and C alike); by default the largest that the
        number of utterances supports with sense, which `details` name.
    ridge: lambda on the covariance's diagonal. It, `pca_size` and `table` are refused where neither PAI nor CSAI is
        computed.
    num_shuffles, num_bootstrap, seed: for chance levels and intervals.
    table: also PAI and CSAI over other PCA sizes and ridges.
    per_utterance: also the NSE of each utterance.
    probes: probe families of frame_pai and frame_csai, "linear" and "mlp"; the first one gives the headline figures.
    num_seeds: random splits of a probe's rows; 2 or more give a standard error.
    control: also measure with shuffled frames.
    context_phonemes: frame_csai conditions on so many first phonemes of a word; None: on all of them.
    distributed: join the utterances of all processes of `torch.distributed`'s default group.
Returns:
    Whichever were computed, of `nse` (0 to 1), `pai` and `csai` (bits, clipped at 0), `pai_above_chance` and
    `csai_above_chance` (bits, not clipped), `text_cka` (0 to 1 a layer), `frame_nse`, `cka` and `cka_debiased` (0 to
    1), `frame_pai` (nats), `frame_pai_normalized` (share of H(P)), `frame_csai` and `frame_csai_ceiling` (nats; the
    words' entropy given the context), and `details` of each: number of utterances, PCA sizes, ridge, chance level,
    bootstrap interval, unclipped values; spectrum; results of each probe family; seconds.
Raises:
    ValueError: what cannot be used, in words. It costs nothing else: utterances added before stay as they were.
Examples:
    >>> metric = evaluate.load("spaces/entropy_allocation")
    >>> metric.add_batch(predictions=[frames], phonemes=[["h", "aɪ"]])
    >>> metric.compute(pca_size=16)["pai"]
"""

_CITATION = """\
@misc{xie2026entropy, title={Rethinking Entropy Allocation in LLM-based ASR}, year={2026}, eprint={2604.08003}}
"""


class EntropyAllocation(evaluate.Metric):
    """The paper's figures from a summary of each utterance; frame-level ones from moments and a bounded sample.

    Args:
        max_probe_frames: Largest number of rows (frames and words) kept for probes. Beyond it, whole utterances are
            dropped at random.
        device: Where frames are summarised and summed up and probes are trained, and a named embedder runs, such as
            "cuda". None: where the frames are, and the CPU for probes and embedders.
        metrics: The only ones that will be asked for: nothing is computed or kept for others. None: all.
        *args, **kwargs: As for every `evaluate.Metric`; `num_process` must stay 1, see `compute(distributed=True)`.
    """

    def __init__(
        self,
        *args,
        max_probe_frames: int = 200_000,
        device: str | None = None,
        metrics: Sequence[str] | None = None,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        if self.num_process != 1:
            raise ValueError("num_process joins processes by files: use torch.distributed, compute(distributed=True).")
        if max_probe_frames < 1:
            raise ValueError(f"`max_probe_frames` must be at least 1, got {max_probe_frames}.")
        self.max_probe_frames = max_probe_frames
        self.device = device
        self.metrics = check_metrics(metrics)
        self.reset()

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Sequence(datasets.Value("float32"))),
                    "references": datasets.Sequence(datasets.Value("int64")),
                }
            ),
            reference_urls=["https://arxiv.org/abs/2604.08003", "https://arxiv.org/abs/2002.10689"],
        )

    def __len__(self) -> int:
        return self._collected.num_utterances

    def reset(self) -> None:
        """Forget all that was added."""
        self._collected = self._empty(self.metrics)

    def _empty(self, metrics: Sequence[str] | None) -> Collection:
        return Collection(frozenset(METRICS if metrics is None else metrics), Sample(self.max_probe_frames))

    def add(self, *, prediction=None, reference=None, **others) -> None:
        """Add one utterance.

        Args:
            prediction, reference: Single entries of `predictions` and `references` of `add_batch`.
            **others: Single entries of its other arguments, by their own names, or by these in the singular.
        """
        if prediction is None:
            raise ValueError("`prediction` missing: a (T, D) array of encoder frames.")
        one = {_SINGULAR.get(name, name): value for name, value in {"reference": reference, **others}.items()}
        self.add_batch(predictions=[prediction], **{k: None if v is None else [v] for k, v in one.items()})

    def add_batch(self, *, predictions=None, **inputs) -> None:
        """Add utterances: each is summarised and summed up at once, labelled frames are sampled for probes.

        All of them are looked at before the first is added.

        Args:
            predictions: One `(T, D)` array an utterance.
            **inputs: One entry an utterance each of `references`, `words`, `other_predictions`, `speakers`,
                `recognized_phonemes`, `phonemes`, `texts`, `languages`, `semantics`, `layers`, `text_embeddings`;
                what they are says `inputs_description`.

        Raises:
            ValueError: what cannot be used, in words; then none of the utterances was added. They are counted from 0
                on since the last result.
        """
        wanted = self._collected.wanted
        utterances = read_inputs(predictions, inputs, len(self), bool(wanted & {"pai", "csai"}))
        self._collected.check(utterances)
        for utterance in utterances:
            self._collected.add(utterance, self.device)

    def compute(self, *, predictions=None, **given) -> dict:
        """Compute the metrics of all utterances added, and forget them.

        After an error all is as it was before: what was added stays, and frames given here are not among it.

        Args:
            predictions: Further utterances, as for `add_batch`.
            **given: Inputs as for `add_batch`, and options: `metrics`, `embedder`, `pca_size`, `ridge`,
                `num_shuffles`, `num_bootstrap`, `seed`, `table`, `per_utterance`, `probes`, `num_seeds`, `control`,
                `context_phonemes`, `distributed`; what they are says `inputs_description`.
        """
        inputs = {name: given.pop(name) for name in PER_UTTERANCE if given.get(name) is not None}
        if unknown := sorted(set(given) - set(OPTIONS) - set(PER_UTTERANCE)):
            raise ValueError(
                f"Unknown arguments {', '.join(unknown)}: there are {', '.join((*PER_UTTERANCE, *OPTIONS))}."
            )
        request = Request(**{name: value for name, value in given.items() if name in OPTIONS})
        if isinstance(request.embedder, (np.ndarray, torch.Tensor)):
            inputs, request = {**inputs, "semantics": request.embedder}, replace(request, embedder=None)
        earlier = self._collected
        if predictions is not None:
            # What a failure must not touch is copied, if there is any.
            self._collected = earlier.copy() if len(self) else self._empty(request.metrics or self.metrics)
        try:
            if predictions is not None:
                self.add_batch(predictions=predictions, **inputs)
            elif unused := sorted(set(inputs) - {"semantics"}):
                raise ValueError(f"Unexpected without `predictions`: {', '.join(unused)}.")
            late = inputs.get("semantics") if predictions is None else None
            collected = self._with_semantics(self._collected, late, request)
            result = self._compute(collected.joined() if request.distributed else collected, request, given)
        except BaseException:
            self._collected = earlier
            raise
        self.reset()
        return result

    def _with_semantics(self, collected: Collection, semantics, request: Request) -> Collection:
        """With embeddings that were given for all utterances at once, or that an embedder makes of their texts."""
        summaries = collected.summaries
        if semantics is None and request.embedder is None:
            return collected
        name = "embedder" if semantics is None else "semantics"
        if request.metrics is not None and "csai" not in request.metrics:
            raise ValueError(f"`{name}` is for csai, which is not among the metrics asked for.")
        if not summaries and request.distributed:
            return collected  # an error here would leave the other processes waiting for this one
        if summaries and summaries[0].semantics is not None:
            raise ValueError("`semantics` were given twice, or beside an `embedder`.")
        if semantics is None:
            if not summaries or summaries[0].text is None:
                raise ValueError("`embedder` reads transcripts: give `texts`.")
            semantics = embed_texts(request.embedder, [summary.text for summary in summaries], self.device)
        if not summaries or summaries[0].phonemes is None:
            raise ValueError(f"`{name}` is for csai, which is given phonemes: give `phonemes` or `texts`.")
        return collected.with_semantics(vectors(semantics, "semantics", len(summaries), 0))

    def _compute(self, collected: Collection, request: Request, given: dict) -> dict:
        asked = _asked(request.metrics, collected)
        check_heeded(given, asked)
        result, details = {}, {}
        if "nse" in asked:
            result["nse"], details["nse"] = nse_figures(collected.summaries, request)
        found = _information(collected.summaries, asked, request)
        for name, (figures, facts) in found.items():
            result |= figures
            details[name] = facts
        others = {
            "text_cka": lambda: _text_cka(collected.summaries, request),
            "frame_nse": lambda: _frame_nse(collected.moments),
            "cka": lambda: _cka(collected.moments),
            "frame_pai": lambda: self._probed("frame_pai", collected.sample, request),
            "frame_csai": lambda: self._probed("frame_csai", collected.sample, request),
        }
        for name, measure in others.items():
            if name in asked:
                try:
                    figures, details[name] = measure()
                    result |= figures
                except ValueError as error:
                    details[name] = _left_out(error, request)
        return {**result, "details": details}

    def _probed(self, name: str, sample: Sample, request: Request) -> tuple[dict, dict]:
        """Figures and details of frame_pai or frame_csai."""
        utterances = [utterance for _, utterance in sample.utterances]
        if name == "frame_pai":
            examples, facts = frame_examples(utterances)
        else:
            examples, facts = word_examples(utterances, request.context_phonemes)
        found = accessible_information(examples.to(self.device), request.probes, request.num_seeds, request.control)
        facts |= {"num_seeds": request.num_seeds, "dropped_utterances": sample.num_dropped}
        return _headline(name, found[request.probes[0]]), facts | found


# What `add` calls one entry of what `add_batch` calls so.
_SINGULAR = {
    "reference": "references",
    "other_prediction": "other_predictions",
    "speaker": "speakers",
    "text": "texts",
    "language": "languages",
    "text_embedding": "text_embeddings",
}


def _left_out(error: ValueError, request: Request) -> dict[str, str]:
    """Why a metric is missing; what was asked for by name is missing with an error."""
    if request.metrics is not None:
        raise error
    return {"left_out": str(error)}


def _asked(metrics: list[str] | None, collected: Collection) -> list[str]:
    """The metrics to compute: those asked for, or all that the inputs allow."""
    if not collected.num_utterances and not collected.summaries and not collected.moments.count:
        raise ValueError("No frames were added: call `add_batch` or give `predictions`.")
    first = collected.summaries[0] if collected.summaries else None
    sampled = [utterance for _, utterance in collected.sample.utterances]
    possible = {
        "nse": first is not None,
        "pai": first is not None and first.phonemes is not None,
        "csai": first is not None and first.phonemes is not None and first.semantics is not None,
        "text_cka": first is not None and bool(first.layers),
        "frame_nse": bool(collected.moments.count),
        "frame_pai": bool(sampled),
        "frame_csai": any(len(utterance.word_ids) for utterance in sampled),
        "cka": len(collected.moments.widths or ()) == 2,
    }
    if metrics is None:
        # Of frames without labels the paper's figures alone: the other one needs far more frames.
        implied = collected.wanted if sampled or not collected.keeps_summaries else collected.wanted - {"frame_nse"}
        return [name for name in METRICS if possible[name] and name in implied]
    needed = {
        "pai": "`phonemes` or `texts`",
        "csai": "`phonemes` or `texts`, and `semantics` or an `embedder`",
        "text_cka": "`layers` and `text_embeddings`",
        "cka": "`other_predictions`",
        "frame_pai": "`references`",
        "frame_csai": "`references` and `words`",
    }
    for name in metrics:
        if name not in collected.wanted:
            raise ValueError(f"`{name}` is not among the metrics that the metric was loaded with.")
        if not possible[name]:
            raise ValueError(f"`{name}` needs {needed[name]}, which were not given.")
    return metrics


def _information(summaries: list[Summary], asked: list[str], request: Request) -> dict[str, tuple[dict, dict]]:
    """Figures and details of PAI and CSAI, which share their components."""
    names = [name for name in ("pai", "csai") if name in asked]
    found: dict[str, tuple[dict, dict]] = {}
    if not names:
        return found
    try:
        blocks = Blocks.of(summaries)
        for name in names:
            value, details = information_figures(blocks, name, request)
            found[name] = {name: value, f"{name}_above_chance": details["above_chance"]}, details
    except ValueError as error:
        # A size that was asked for is refused, whatever else there is.
        if request.pca_size is not None:
            raise
        return found | {name: ({}, _left_out(error, request)) for name in names if name not in found}
    return found


def _text_cka(summaries: list[Summary], request: Request) -> tuple[dict, dict]:
    start = time.perf_counter()
    # So that the same seed pairs the same utterances for chance, however they came.
    order = canonical_order(np.array([summary.pooled for summary in summaries]))
    summaries = [summaries[row] for row in order]
    names = list(summaries[0].layers)
    layers = [np.array([summary.layers[name] for summary in summaries]) for name in names]
    text = np.array([summary.text_embedding for summary in summaries])
    values = text_cka(layers, text)
    chance = [text_cka_chance(layer, text, request.num_shuffles, request.seed) for layer in layers]
    details = {"num_utterances": len(text), "layers": names, "dimensions": [layer.shape[1] for layer in layers]}
    details |= {"text_dimension": text.shape[1], "chance": chance}
    return {"text_cka": values}, details | {"seconds": round(time.perf_counter() - start, 2)}


def _headline(name: str, found: dict) -> dict[str, float]:
    """Figures of the first family: PAI and its share of the phonemes' entropy; CSAI and the most that it can be."""
    information, entropy = found["information"], found["entropy"]
    if name == "frame_pai":
        return {name: information, f"{name}_normalized": information / entropy if entropy > 0 else 0.0}
    return {name: information, f"{name}_ceiling": entropy}


def _cka(moments: FrameMoments) -> tuple[dict, dict]:
    details = {"num_frames": moments.count, "dimensions": list(moments.widths)}
    return {"cka": moments.cka(), "cka_debiased": moments.cka_debiased()}, details


def _frame_nse(moments: FrameMoments) -> tuple[dict, dict]:
    start = time.perf_counter()
    value, spectrum = moments.nse(), moments.spectrum()
    present = spectrum[spectrum > 0]
    return {"frame_nse": value}, {
        "num_frames": moments.count,
        "dimension": moments.widths[0],
        "effective_rank": float((-(present * present.log()).sum()).exp()),
        "spectrum": spectrum.tolist(),
        "seconds": round(time.perf_counter() - start, 2),
    }
