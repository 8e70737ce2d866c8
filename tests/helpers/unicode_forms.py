# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pairs of texts that differ in how they are typed, and in nothing that anybody says."""

import unicodedata


FORMS = [
    (
        unicodedata.normalize("NFD", "a café sold crème brûlée and a résumé"),
        "a café sold crème brûlée and a résumé",
    ),
    (unicodedata.normalize("NFD", "Nguyễn Łódź Ångström"), "Nguyễn Łódź Ångström"),
    (unicodedata.normalize("NFD", "한국어 がぎ"), "한국어 がぎ"),
    ("ＡＢＣ １２３ ok", "ABC 123 ok"),
    ("ze\u200bro soft\u00adhyphen \ufeffone\u200e two\u2060", "zero softhyphen one two"),
    ("new\u00a0york\u202fcity\u3000now", "new york city now"),
    ("don’t stop, donʼt, don‘t, don´t, don`t go", "don't stop, don't, don't, don't, don't go"),
    ("ﬁve ﬂat oﬃces", "five flat offices"),
    ("go for it ❤️ now", "go for it ❤ now"),
    ("wait…what ①", "wait...what 1"),
    ("カタカナ と ﾊﾞｽ", "カタカナ と バス"),
]
