# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the entropy allocation report measures, and how."""

from dataclasses import dataclass, field

from ..runs.settings import typed


@dataclass
@typed
class ReportOptions:
    """What is measured and how.

    Args:
        split: Split of the data sets.
        dataset_config: Configuration of data sets of the Hub that have several.
        text_column: Column with the transcripts.
        language: Language of all rows. None: the data sets' `language` column.
        max_rows: Utterances of each data set, evenly spaced. None: all.
        pca_size: Components of utterances, phonemes and meanings. None: as many as the metric chooses for so many
            utterances, which the report states.
        ridge: What is added to the covariance's diagonal.
        embedder: Text embedder of CSAI, see [`~entropy_allocation.embedders.load_embedder`]. None: no CSAI.
        ledger_rows: Utterances in the ledger of full models; 0 for none.
        frame_probes: Probe families, "linear" and "mlp", of the frame-level companions; none by default.
        aligner: Checkpoint whose phoneme head times phonemes for these probes; none of those that are compared. Not
            needed where the data set has a column `alignment`.
        num_seeds: Random splits of the probes' rows; None: 3.
        batch_size: Utterances encoded together.
        device: A GPU if there is one by default.
    """

    split: str = "test"
    dataset_config: str | None = None
    text_column: str = "text"
    language: str | None = None
    max_rows: int | None = 1000
    pca_size: int | None = None
    ridge: float = 1e-3
    embedder: str | None = None
    ledger_rows: int = 50
    frame_probes: list[str] = field(default_factory=list)
    aligner: str | None = None
    num_seeds: int | None = None
    batch_size: int = 8
    device: str | None = None

    def __post_init__(self):
        if self.ledger_rows < 0:
            raise ValueError(f"`ledger_rows` is a number of utterances, 0 for no ledger, not {self.ledger_rows}.")
        for name in ("aligner", "num_seeds"):
            if getattr(self, name) is not None and not self.frame_probes:
                raise ValueError(f"`{name}` is for probes of frames: give `frame_probes` too, or leave it out.")
