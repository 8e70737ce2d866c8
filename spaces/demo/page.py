# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The demo's page and its API: what is shown, and what the buttons call."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from entropy_asr.modeling.languages_entropy_asr import AUTOMATIC, LANGUAGES
from entropy_asr.modeling.subtitles_entropy_asr import FORMATS, make_cues

from .entropy_view import explanation_html
from .events import gpu, show_errors
from .live_page import LiveHandlers, add_live
from .recognizer import Recognizer
from .report_view import Section, read_report
from .settings import DemoSettings
from .transcript_view import PLAYER_SCRIPT, hint_html, transcript_html


FOLDER = Path(__file__).resolve().parent
DOWNLOADS = ("txt", "srt", "vtt", "json")
EXAMPLES = {
    "English": (str(FOLDER / "examples" / "english.flac"), "en", ""),
    "Mandarin": (str(FOLDER / "examples" / "mandarin.flac"), "zh", ""),
    "English with a hotword": (str(FOLDER / "examples" / "hotword.flac"), "en", "robert, Kaldi"),
}
INTRODUCTION = """# entropy-asr
Speech recognition in two parts: an **encoder** hears phonemes, the sounds that words are made of, and a **language
model** turns them into text. This page runs {model}."""
SMALL = " It is there to show how everything works, and it mishears a lot."
ENTROPY_HELP = """### Where the entropy goes
How sure is the model of each part of the text, and which of its two parts knows it? Uncertainty is counted in
**nats**: 0 is certain, 0.7 is a coin toss, 2.3 a guess among ten, 4.6 a guess among a hundred."""
REPORT_HELP = """### Checkpoints compared
Training decides whether the encoder or the language model does more of the work. This report measures it, data set by
data set."""
# Gradio takes uploads by a list of its own, which names types that nothing here reads and leaves out video with sound.
# What reads the file is the judge of it, so each goes to the server as audio.
UPLOAD_SCRIPT = """
const place = (event) => event.target.closest?.('#recording, #explained');
const isInput = (event) => event.target.type === 'file' && place(event);
const asAudio = (files) => {
  const box = new DataTransfer();
  for (const file of files) box.items.add(new File([file], file.name, {type: 'audio/wav'}));
  return box.files;
};
document.addEventListener('click', (event) => { if (isInput(event)) event.target.accept = 'audio/*,video/*'; }, true);
document.addEventListener('change', (event) => {
  if (isInput(event)) event.target.files = asAudio(event.target.files);
}, true);
document.addEventListener('drop', (event) => {
  const input = place(event)?.querySelector('input[type=file]');
  if (!input || !event.dataTransfer.files.length) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  event.target.dispatchEvent(new DragEvent('dragleave', {bubbles: true}));
  input.files = event.dataTransfer.files;
  input.dispatchEvent(new Event('change', {bubbles: true}));
}, true);
"""
# The footer lies where Gradio lets no style sheet reach; on a phone it has one link and needs no divider.
FOOTER_STYLE = "@media (max-width: 640px) { footer .divider { display: none !important; } }"
# All work of the model queues for one place: it is computed one request at a time anyway.
MODEL_QUEUE = {"concurrency_id": "model", "concurrency_limit": 1}
NO_REPORT = """Training decides whether the encoder or the language model does more of the work. A report measures it
for several checkpoints, or for the stages of one training run. Write one and show it here:

```bash
entropy-asr report \\
  --model runs/mine/encoder \\
  --model runs/mine/joint_sft \\
  --dataset DATA --output_dir my-report
entropy-asr demo --report my-report
```

On a Space, put the report's folder beside `app.py` and name it in the variable `ENTROPY_ASR_REPORT`."""


def language_choices() -> list[tuple[str, str]]:
    """What visitors choose a language by, and its code."""
    return [("Let the model decide", AUTOMATIC), *((entry.spoken_name, code) for code, entry in LANGUAGES.items())]


class Handlers:
    """What the page's events call.

    Args:
        recognizer: Model and limits.
    """

    def __init__(self, recognizer: Recognizer):
        self.recognizer = recognizer
        self.live = LiveHandlers(recognizer)

    @show_errors
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

    @show_errors
    @gpu
    def explain(self, audio: str | None, language: str = "auto", transcript: str = "") -> tuple[str, dict[str, Any]]:
        """Where the entropy goes: the picture, and its figures (nats)."""
        explanation = self.recognizer.explain(audio, language, transcript)
        figures = {
            "text": explanation.text,
            "is_recognized": explanation.is_recognized,
            "confidence": explanation.confidence,
            "flags": explanation.flags,
            "seconds_per_frame": explanation.seconds_per_frame,
            "frame_entropies": [round(float(value), 4) for value in explanation.frame_entropies],
            "phonemes": explanation.phonemes,
            "ledger": explanation.ledger.to_dict(),
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
            add_live(handlers.live, language_choices())
        with gr.Tab("Entropy"):
            _add_explain(handlers)
        with gr.Tab("Compare"):
            _add_report(settings)
    page.queue(max_size=settings.max_queue, api_open=False)  # requests beside the queue would know no limit
    return page


def gradio_options(settings: DemoSettings) -> dict[str, Any]:
    """Arguments of `launch`: look, upload limit, and the report's folder, whose plots visitors may see."""
    return {
        "allowed_paths": [str(settings.report_folder.resolve())] if settings.report_folder else None,
        "css_paths": FOLDER / "style.css",
        "head": f"<style>{FOOTER_STYLE}</style><script>(() => {{{UPLOAD_SCRIPT}}})();</script>",
        "max_file_size": f"{settings.max_megabytes}mb",
        "footer_links": ["api", "settings"],
        # Rendering on the server needs Node, and would start a second process.
        "ssr_mode": False,
    }


def _recording(seconds: str, elem_id: str) -> gr.Audio:
    """Upload or microphone. Its player is an `<audio>` of the page, which words can follow; a waveform is not."""
    plain = gr.WaveformOptions(show_recording_waveform=False)
    label = f"Recording (up to {seconds})"
    return gr.Audio(label=label, type="filepath", elem_id=elem_id, waveform_options=plain, buttons=[])


def _add_transcribe(handlers: Handlers) -> None:
    with gr.Row():
        with gr.Column(min_width=300):
            asked = audio, *_ = _add_request(handlers.recognizer.settings)
            button = gr.Button("Transcribe", variant="primary")
        # The style sheet hides what belongs to a result for as long as there is none.
        with gr.Column(min_width=300, elem_classes="result"):
            waiting = hint_html(
                "transcript", "The transcript appears here. Its words light up as the recording plays."
            )
            view = gr.HTML(waiting, label="Transcript", js_on_load=PLAYER_SCRIPT, min_height=80, container=True)
            with gr.Row(elem_classes=["needs-result", "downloads"]):
                downloads = [gr.DownloadButton(name.upper(), size="sm", min_width=50) for name in DOWNLOADS]
            with gr.Accordion("Text and details", open=False, elem_classes="needs-result"):
                text = gr.Textbox(label="Text", lines=3, buttons=["copy"], elem_id="text")
                details = gr.JSON(label="Details")
    # Another recording: the transcript is not of it.
    audio.change(None, None, view, js=f"() => {json.dumps(waiting)}", api_visibility="private")
    button.click(handlers.transcribe, asked, [text, view, details, *downloads], api_name="transcribe", **MODEL_QUEUE)


def _add_request(settings: DemoSettings) -> tuple[gr.Audio, gr.Dropdown, gr.Textbox, gr.File]:
    """What is asked for: recording, language, hotwords and a file of them."""
    audio = _recording(f"{settings.max_seconds / 60:g} min", "recording")
    language = gr.Dropdown(language_choices(), value=AUTOMATIC, label="Language", render=False)
    hotwords = gr.Textbox(
        label="Hotwords: names and terms that may occur", placeholder="separated by commas", render=False
    )
    _add_examples([audio, language, hotwords])
    language.render()
    hotwords.render()
    with gr.Accordion("Hotwords from a file", open=False):
        file = gr.File(label="Text file, one hotword a line", file_types=[".txt"], type="filepath", height=120)
    return audio, language, hotwords, file


def _add_examples(inputs: list[gr.components.Component]) -> None:
    """Recordings to try the page with; `inputs` take their audio, language and, where there is a third, hotwords."""
    # Where nobody asks for hotwords, an example that needs them is none.
    chosen = {name: row for name, row in EXAMPLES.items() if len(inputs) == len(row) or not row[-1]}
    rows = [list(row)[: len(inputs)] for row in chosen.values()]
    gr.Examples(rows, inputs, example_labels=list(chosen), label="No recording at hand? Try one of these")


def _add_explain(handlers: Handlers) -> None:
    settings = handlers.recognizer.settings
    gr.Markdown(ENTROPY_HELP)
    with gr.Row():
        with gr.Column(min_width=300):
            audio = _recording(f"{settings.max_explained_seconds:g} s", "explained")
            language = gr.Dropdown(language_choices(), value=AUTOMATIC, label="Language", render=False)
            _add_examples([audio, language])
        with gr.Column(min_width=300):
            language.render()
            transcript = gr.Textbox(label="What was said (leave empty for what the model writes)", lines=2)
            button = gr.Button("Show where the entropy goes", variant="primary")
    with gr.Column(elem_classes="result"):
        waiting = hint_html("entropy", "The picture appears here.")
        view = gr.HTML(waiting, label="Where the entropy goes", elem_id="entropy")
        with gr.Accordion("Figures", open=False, elem_classes="needs-result"):
            figures = gr.JSON(label="In nats")
    audio.change(None, None, view, js=f"() => {json.dumps(waiting)}", api_visibility="private")
    button.click(handlers.explain, [audio, language, transcript], [view, figures], api_name="explain", **MODEL_QUEUE)


def _add_report(settings: DemoSettings) -> None:
    folder = settings.report_folder
    if folder is None or not (folder / "report.md").is_file():
        missing = f"**There is no report in {folder}.**\n\n" if folder else ""
        gr.Markdown(missing + NO_REPORT)
        return
    general, *sections = read_report(folder)
    gr.Markdown(REPORT_HELP)
    for number, section in enumerate(sections):
        with gr.Accordion(section.title, open=number == 0, elem_classes="dataset"):
            _add_section(section)
    if general.text.strip():
        with gr.Accordion("How this was measured", open=False):
            _add_section(general)


def _add_section(section: Section) -> None:
    """Table and pictures of a report's section, and what it folds away in an accordion."""
    gr.Markdown(section.text, elem_classes="report")
    if plots := section.plots_html():
        gr.HTML(plots)
    if section.folded.strip():
        with gr.Accordion("Figures", open=False):
            gr.Markdown(section.folded, elem_classes="report")
