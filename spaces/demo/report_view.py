# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The tab that compares checkpoints: a report of `entropy-asr report`, data set by data set."""

import html
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote


FOLD, END_OF_FOLD = "<details>", "</details>"
_IMAGE = re.compile(r"!\[(.*)\]\((.+)\)")


@dataclass(frozen=True)
class Plot:
    """A picture of a report and what it shows."""

    path: Path
    caption: str


@dataclass
class Section:
    """What a report says of one data set; `title` is None for what it says of all of them.

    Attributes:
        text: Shown at once.
        folded: What the report folds away.
        plots: Its pictures.
    """

    title: str | None
    text: str = ""
    folded: str = ""
    plots: list[Plot] = field(default_factory=list)

    def plots_html(self) -> str:
        """The pictures; empty where there are none."""
        return f'<div class="plots">{"".join(map(_figure, self.plots))}</div>' if self.plots else ""


def read_report(folder: Path) -> list[Section]:
    """Sections of `report.md` in a folder, the one about all data sets first; its first heading is left out."""
    sections, is_folded = [Section(None)], False
    for line in (folder / "report.md").read_text(encoding="utf-8").splitlines():
        image = _IMAGE.fullmatch(line.strip())
        if line.startswith("## "):
            sections.append(Section(line[3:].strip()))
        elif image:
            sections[-1].plots += _find_plot(folder, *image.groups())
        elif line.startswith((FOLD, END_OF_FOLD)):
            is_folded = line.startswith(FOLD)
        elif is_folded:
            sections[-1].folded += f"{line}\n"
        elif not line.startswith("# "):
            sections[-1].text += f"{line}\n"
    return sections


def _find_plot(folder: Path, caption: str, name: str) -> list[Plot]:
    """The plot, sharp at every size where it lies there as SVG as well; none where it is missing."""
    paths = (folder / name).with_suffix(".svg"), folder / name
    return [Plot(path.resolve(), caption) for path in paths if path.is_file()][:1]


def _figure(plot: Plot) -> str:
    # Relative to the page: it works behind any proxy.
    source, caption = f"gradio_api/file={quote(str(plot.path))}", html.escape(plot.caption)
    return (
        f'<figure><a href="{source}" target="_blank" title="Open in full size"><img loading="lazy" src="{source}" '
        f'alt="{caption}"></a><figcaption>{caption}</figcaption></figure>'
    )
