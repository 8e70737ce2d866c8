# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pages of the demo in a browser: opening them, and how they look."""

import os
from pathlib import Path


WAIT = 180_000  # milliseconds that anything may take on a busy machine


def open_page(browser, app: str):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["microphone"])
    page = context.new_page()
    page.set_default_timeout(WAIT)
    elsewhere = []
    page.on("request", lambda r: None if r.url.startswith((app, "data:", "blob:")) else elsewhere.append(r.url))
    page.goto(app)
    page.get_by_role("button", name="Transcribe", exact=True).wait_for()
    yield page
    context.close()
    assert not elsewhere


def open_tab(page, name: str) -> None:
    """A tab: all are in sight, on a phone as well."""
    page.get_by_role("tab", name=name, exact=True).click(timeout=20_000)


def check_look(page, width: int, theme: str, tab: str) -> None:
    """Nothing is wider than the screen; SCREENSHOTS names a folder for pictures to look at."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if screenshots := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(screenshots) / f"{width}-{theme}-{tab}.png", full_page=True)


def contrast(page, selector: str, colour: str = "color") -> float:
    """Contrast of a text against what is behind it, by the formula of WCAG 2 (readable from 4.5 on)."""
    return page.locator(selector).first.evaluate(
        """(node, colour) => {
          const rgb = text => text.match(/[\\d.]+/g).map(Number);
          const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
            .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const text = luminance(rgb(getComputedStyle(node)[colour]));
          let behind = node;
          while (behind.parentElement && (rgb(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) {
            behind = behind.parentElement;
          }
          const back = luminance(rgb(getComputedStyle(behind).backgroundColor));
          return (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
        }""",
        colour,
    )
