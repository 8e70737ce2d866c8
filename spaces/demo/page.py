# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The demo's page and its API: what is shown, and what the buttons call."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from entropy_asr.modeling.languages_entropy_asr import LANGUAGES
from entropy_asr.trainers.subtitles import FORMATS, make_cues

from .entropy_view import explanation_html
from .events import gpu, told
from .live_page import LiveHandlers, add_live
from .recognizer import Recognizer, language_code
from .settings import DemoSettings
from .transcript_view import PLAYER_SCRIPT, hint_html, transcript_html


FOLDER = Path(__file__).resolve().parent
LANGUAGE_NAMES = [("Let the model decide", "auto"), ("English", "en"), ("Mandarin", "zh")]
DOWNLOADS = ("txt", "srt", "vtt", "json")
EXAMPLES = {
    "English": (str(FOLDER / "examples" / "english.flac"), "en"),
    "Mandarin": (str(FOLDER / "examples" / "mandarin.flac"), "zh"),
}
INTRODUCTION = """# entropy-asr
Speech recognition by two parts that share the work: an **encoder** hears phonemes, the sounds that words are made of,
and a **language model** turns them into text. This page runs {model}."""
SMALL = " It shows how everything works, and mishears a lot."
ENTROPY_HELP = """How sure is each part of the text, and which part knows it? Uncertainty is counted in **nats**: 0 is
certain, 0.7 a coin toss, 2.3 a guess among ten, 4.6 a guess among a hundred."""
# All work of the model queues for one place: it is computed one request at a time anyway.
MODEL_QUEUE = {"concurrency_id": "model", "concurrency_limit": 1}
NO_REPORT = """Training decides whether the encoder or the language model does more of the work. A report measures it
for checkpoints, or for the stages of one training run, and this tab shows it:

```bash
entropy-asr report \\
  --model runs/mine/encoder \\
  --model runs/mine/joint_sft \\
  --dataset DATA --output_dir my-report
entropy-asr demo --report my-report
```

On a Space, put the report's folder beside `app.py` and name it in the variable `ENTROPY_ASR_REPORT`."""

# Kinds of plots of a report, the others behind them.
FIRST_PLOTS = ("ledger", "allocation")

assert {language_code(value) for _, value in LANGUAGE_NAMES} == {None, *LANGUAGES}


class Handlers:
    """What the page's events call.

    Args:
        recognizer: Model and limits.
    """

    def __init__(self, recognizer: Recognizer):
        self.recognizer = recognizer
        self.live = LiveHandlers(recognizer)

    @told
    @gpu
    def transcribe(
        self, audio: str | None, language: str = "auto", hotwords: str = "", hotword_file: str | None = None
    ) -> Iterator[tuple]:
        """Transcribe a recording: its text, the page's transcript, all details, and files to download."""
        result = self.recognizer.transcribe(audio, language, hotwords, hotword_file)
        details = {"file": Path(audio).name, **result}
        # The folder lives until Gradio has copied the files into its cache.
        with TemporaryDirectory() as folder:
            files = write_downloads(details, Path(folder))
            yield (result["text"], transcript_html(result, audio), details, *files)

    @told
    @gpu
    def explain(self, audio: str | None, language: str = "auto", transcript: str = "") -> tuple[str, dict[str, Any]]:
        """Where the entropy goes: the picture, and its figures (nats)."""
        explanation = self.recognizer.explain(audio, language, transcript)
        ledger = explanation.ledger.to_dict()
        figures = {
            "text": explanation.text,
            "seconds_per_frame": explanation.seconds_per_frame,
            "frame_entropies": [round(float(value), 4) for value in explanation.frame_entropies],
            "phonemes": explanation.phonemes,
            # JSON has no infinity.
            "ledger": json.loads(json.dumps(ledger).replace("Infinity", "null")),
        }
        return explanation_html(explanation), figures


def write_downloads(details: dict[str, Any], folder: Path) -> list[str]:
    """Write the transcript as text, subtitles and JSON; gives the files' paths, in the order of `DOWNLOADS`."""
    stem = Path(details["file"]).stem or "transcript"
    cues = make_cues(details["chunks"], details["duration"])
    contents = {
        "txt": details["text"] + "\n",
        **{name: write(cues) for name, write in FORMATS.items()},
        "json": json.dumps(details, ensure_ascii=False, indent=2) + "\n",
    }
    paths = [folder / f"{stem}.{name}" for name in DOWNLOADS]
    for path in paths:
        path.write_text(contents[path.suffix[1:]], encoding="utf-8")
    return [str(path) for path in paths]


def build_page(settings: DemoSettings) -> gr.Blocks:
    """The page; the model is loaded in the background meanwhile."""
    handlers = Handlers(Recognizer(settings))
    with gr.Blocks(title="entropy-asr", delete_cache=(1800, 3600), analytics_enabled=False) as page:
        gr.Markdown(INTRODUCTION.format(model=settings.model_name) + (SMALL if settings.is_bundled else ""))
        with gr.Tab("Transcribe"):
            _add_transcribe(handlers)
        with gr.Tab("Live"):
            add_live(handlers.live, LANGUAGE_NAMES)
        with gr.Tab("Where the entropy goes"):
            _add_explain(handlers)
        with gr.Tab("Compare checkpoints"):
            _add_report(settings)
    page.queue(max_size=settings.max_queue)
    return page


def launch_options(settings: DemoSettings) -> dict[str, Any]:
    """Arguments of `launch`: look and upload limit."""
    return {
        "css_paths": FOLDER / "style.css",
        "max_file_size": f"{settings.max_megabytes}mb",
        "footer_links": ["api", "settings"],
        # Rendering on the server needs Node, and would start a second process.
        "ssr_mode": False,
    }


def _add_transcribe(handlers: Handlers) -> None:
    settings = handlers.recognizer.settings
    with gr.Row():
        with gr.Column(min_width=300):
            audio = gr.Audio(label=f"Recording (up to {settings.max_seconds / 60:g} min)", type="filepath")
            language = gr.Dropdown(LANGUAGE_NAMES, value="auto", label="Language")
            _add_examples(audio, language)
            with gr.Accordion("Hotwords: names and terms that may occur", open=False):
                hotwords = gr.Textbox(
                    label="Words to listen for", placeholder="names and terms, separated by commas", lines=2
                )
                file = gr.File(label="Or a text file, one a line", file_types=[".txt"], type="filepath", height=120)
            button = gr.Button("Transcribe", variant="primary")
        with gr.Column(min_width=300):
            waiting = hint_html("transcript", "The transcript appears here: its words light up while the audio plays.")
            view = gr.HTML(waiting, label="Transcript", js_on_load=PLAYER_SCRIPT, min_height=80, container=True)
            gr.HTML(hint_html("transcript", "Download as text, subtitles, or all details:"))
            with gr.Row():
                downloads = [gr.DownloadButton(name.upper(), size="sm", min_width=50) for name in DOWNLOADS]
            with gr.Accordion("Text and details", open=False):
                text = gr.Textbox(label="Text", lines=3, buttons=["copy"], elem_id="text")
                details = gr.JSON(label="Details")
    button.click(
        handlers.transcribe,
        [audio, language, hotwords, file],
        [text, view, details, *downloads],
        api_name="transcribe",
        **MODEL_QUEUE,
    )


def _add_examples(audio: gr.Audio, language: gr.Dropdown) -> None:
    """Recordings to try the page with."""
    rows = [list(row) for row in EXAMPLES.values()]
    gr.Examples(rows, [audio, language], example_labels=list(EXAMPLES), label="No recording at hand? Take this")


def _add_explain(handlers: Handlers) -> None:
    settings = handlers.recognizer.settings
    gr.Markdown(ENTROPY_HELP)
    with gr.Row():
        audio = gr.Audio(
            label=f"Recording (up to {settings.max_explained_seconds:g} s)", type="filepath", min_width=300
        )
        with gr.Column(min_width=300):
            language = gr.Dropdown(LANGUAGE_NAMES, value="auto", label="Language")
            _add_examples(audio, language)
            transcript = gr.Textbox(label="What was said (empty: what the model writes)", lines=2)
            button = gr.Button("Show where the entropy goes", variant="primary")
    view = gr.HTML(label="Where the entropy goes", elem_id="entropy")
    with gr.Accordion("Figures", open=False):
        figures = gr.JSON(label="In nats")
    button.click(handlers.explain, [audio, language, transcript], [view, figures], api_name="explain", **MODEL_QUEUE)


def _plot_rank(path: Path) -> tuple[int, str]:
    """What people ask first comes first: who knows how much, then the rest."""
    data, _, kind = path.stem.rpartition("-")
    return FIRST_PLOTS.index(kind) if kind in FIRST_PLOTS else len(FIRST_PLOTS), data


def _add_report(settings: DemoSettings) -> None:
    folder = settings.report_folder
    if folder is None or not (folder / "report.md").is_file():
        missing = f"**There is no report in {folder}.**\n\n" if folder else ""
        gr.Markdown(missing + NO_REPORT)
        return
    plots = sorted(folder.glob("*.png"), key=_plot_rank)
    if plots:
        gr.Gallery([(str(path), path.stem) for path in plots], label="Plots", columns=2, object_fit="contain")
    text = (folder / "report.md").read_text(encoding="utf-8")
    gr.Markdown("\n".join(line for line in text.splitlines() if not line.startswith("![")))
