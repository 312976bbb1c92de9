"""The report's section on robustness: does the persona show, and does it hold under attack?"""

from pathlib import Path
from typing import Any

import pandas as pd

from characterflow.configuration.methods import BASE
from characterflow.core.files import Row
from characterflow.evaluation.intervals import ALPHA, APART_BY_LUCK
from characterflow.evaluation.methods import headline_method
from characterflow.evaluation.robustness.summary import ANY
from characterflow.evaluation.section import Figure, Finding, Section, Table

FEW = 30  # prompts below which an interval is too wide to tell methods apart
ABOUT = """\
A classifier ({classifier}) learns from answers to some held-out prompts to name the persona behind an \
answer, the base model being one of its choices, and names those to the other prompts: plain, under \
instructions that try to break character, and as the next turn of a conversation that the base model began. \
Intervals are at 95%, over prompts: Wilson's for shares, Bonett and Price's for differences, bootstrap for \
the rest. A verdict also needs the exact sign test, under attack at a false discovery rate of 5% over the \
models, personas and methods of the run. Intervals cover the choice of prompts and not the classifier's own \
training, which another seed may turn out otherwise."""
RATES = {
    "model": "model",
    "persona": "persona",
    "method": "method",
    "rate": "taken for the persona",
    "n": "n prompts",
    "gain": "more than the base",
    "p": "p",
}
F1 = {
    "model": "model",
    "method": "method",
    "macro_f1": "macro F1",
    "single": "of single classifiers: mean, lowest, highest",
    "accuracy": "accuracy",
    "surface_macro_f1": "macro F1 of words alone",
    "calibration_error": "calibration error",
    "prompts": "n prompts",
    "responses": "n answers",
}
INSTRUCTIONS = {
    "model": "model",
    "method": "method",
    "instruction": "instruction",
    "macro_f1": "macro F1",
    "accuracy": "accuracy",
    "prompts": "n prompts",
    "responses": "n answers",
}
ATTACKS = {
    "model": "model",
    "persona": "persona",
    "method": "method",
    "instruction": "instruction",
    "rate": "taken for the persona",
    "change": "change against plain",
    "p": "p",
    "q": "q",
    "n": "n prompts",
    "responses": "n answers",
}
CLASSES = {
    "model": "model",
    "method": "method",
    "class": "class",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "responses": "n answers",
    "prompts": "n prompts",
}
CONFUSION = {
    "model": "model",
    "method": "method",
    "instruction": "instruction",
    "class": "answers of",
    "taken_for": "taken for",
    "share": "share",
    "n": "n prompts",
    "responses": "n answers",
}
CALIBRATION = {
    "model": "model",
    "from": "confidence from",
    "to": "to",
    "confidence": "mean confidence",
    "accuracy": "share right",
    "prompts": "n prompts",
    "responses": "n answers",
}
TABLES = {
    "rates": ("Plain answers taken for the persona, by method; the gain is paired by prompt.", RATES),
    "f1": ("Plain answers, all personas and the base together.", F1),
    "instructions": ("The same under each instruction; any: all of them together.", INSTRUCTIONS),
    "attacks": ("Answers under attack, against plain answers to the same prompts.", ATTACKS),
    "classes": ("Plain answers, class by class.", CLASSES),
    "confusion": ("What the answers of each class were taken for.", CONFUSION),
    "calibration": ("How often the classifier is right at each confidence.", CALIBRATION),
}
FIGURES = {
    "rates": (
        "Points with intervals: share of plain answers taken for each persona, by method",
        "Share of plain held-out answers taken for the persona, by method.",
    ),
    "f1": (
        "Points with intervals: macro F1 by method and model",
        "Macro F1 over the personas and the base, by method.",
    ),
    "instructions": (
        "Heat map: macro F1 by method and instruction",
        "Macro F1 under each instruction that tries to break character, and in continued conversations.",
    ),
    "confusion": (
        "Matrices: what the answers of each persona and of the base were taken for",
        "Rows are who answered, columns what the answer was taken for.",
    ),
}


def section(results: Path, run: dict[str, Any]) -> Section:
    """What results/tables/robustness_*.csv say. run: the configuration."""
    tables = {name: results / "tables" / f"robustness_{name}.csv" for name in TABLES}
    rates, attacks, scores = (_rows(tables[name]) for name in ("rates", "attacks", "f1"))
    headline = headline_method(run["evaluation"]["methods"])
    return Section(
        name="robustness",
        title="Robustness",
        about=ABOUT.format(classifier=run["evaluation"]["classifier"]["model"]),
        measure=f"plain answers taken for the persona ({headline})",
        findings=[
            *(finding(row, headline) for row in rates if row["method"] != BASE),
            *(attack_finding(row) for row in attacks if row["instruction"] == ANY),
        ],
        warnings=warnings(rates, attacks, scores),
        figures=[
            Figure(results / "figures" / f"robustness_{name}.svg", alt, caption)
            for name, (alt, caption) in FIGURES.items()
        ],
        tables=[Table(tables[name], caption, headings) for name, (caption, headings) in TABLES.items()],
    )


def finding(row: Row, headline: str) -> Finding:
    """One method's plain answers in plain words."""
    verdict = "The persona shows" if row["above_base"] else "It is not shown that the persona shows"
    interval = f"{row['rate_low']:.0%} to {row['rate_high']:.0%}"
    text = (
        f"{verdict} with the method {row['method']}: {row['rate']:.0%} of the plain answers to {row['n']} "
        f"held-out prompts were taken for it (95% interval {interval}), {100 * row['gain']:+.0f} points "
        f"against the base ({100 * row['gain_low']:+.0f} to {100 * row['gain_high']:+.0f})."
    )
    short = f"{row['rate']:.0%} ({100 * row['rate_low']:.0f} to {100 * row['rate_high']:.0f})"
    value = short if row["method"] == headline else ""
    shown = bool(row["above_base"])
    return Finding(text, row["model"], row["persona"], shown=shown, value=value, by_luck=APART_BY_LUCK)


def attack_finding(row: Row) -> Finding:
    """One method's answers under all instructions together, in plain words."""
    beyond = row["q"] <= ALPHA
    lower, higher = beyond and row["change_high"] < 0, beyond and row["change_low"] > 0
    verdict = (
        "loses character" if lower else "gains character" if higher else "is not shown to lose character"
    )
    text = (
        f"Under instructions to drop it, the method {row['method']} {verdict}: {row['rate']:.0%} of "
        f"{row['responses']} answers to {row['n']} prompts were taken for the persona (95% interval "
        f"{row['rate_low']:.0%} to {row['rate_high']:.0%}), {100 * row['change']:+.0f} points against plain "
        f"answers to the same prompts ({100 * row['change_low']:+.0f} to {100 * row['change_high']:+.0f}; "
        f"sign test: p = {row['p']:.2g}, q = {row['q']:.2g} with all models, personas and methods)."
    )
    return Finding(text, row["model"], row["persona"])


def warnings(rates: list[Row], attacks: list[Row], scores: list[Row]) -> list[str]:
    """What speaks against reading much into the numbers: one text a reason."""
    texts = []
    for rows, how in ((rates, "scored"), (attacks, "scored under attack")):
        fewest = min((row["n"] for row in rows), default=FEW)
        if fewest < FEW:
            texts.append(f"Only {fewest} prompts were {how}: differences of a few points are noise.")
    surface = [row for row in scores if row["surface_macro_f1_high"] >= row["macro_f1"]]
    if surface:
        names = "; ".join(f"{row['method']} on {row['model']}" for row in surface)
        texts.append(
            "Counting words tells the personas apart about as well as the classifier does, so that style "
            f"alone may explain the result: {names}."
        )
    return texts


def _rows(path: Path) -> list[Row]:
    return [{str(key): value for key, value in row.items()} for row in pd.read_csv(path).to_dict("records")]
