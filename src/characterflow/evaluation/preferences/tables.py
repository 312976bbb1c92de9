"""The tables on revealed preferences of a whole run, from the ratings of its models and personas."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from characterflow.configuration.methods import BASE
from characterflow.core.errors import UserError
from characterflow.evaluation.preferences.summary import KEYS, changes, correlations, summary, top

RATINGS, JUDGING = "preference_ratings.parquet", "preference_judging.parquet"
COUNTS = ("risen", "fallen", "adjectives")  # the base has none


def tables(
    results: Path, models: Sequence[str], adjectives: Mapping[str, Sequence[str]], headline: str
) -> dict[str, pd.DataFrame]:
    """ratings, changes, top, summary, judging and correlations, each with model and persona in front.

    The base's rows have the persona "base". adjectives: of every persona of the run. headline: the method
    whose ratings are correlated across models and personas, with the base's among them.
    Raises UserError where a file is missing.
    """
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in ("ratings", "changes", "summary", "judging")}
    compared: dict[tuple[str, str], pd.DataFrame] = {}
    for model in models:
        base = _read(results / model / "evaluation" / RATINGS)
        compared[model, BASE] = base
        judged = _read(results / model / "evaluation" / JUDGING)
        whole = _with_consistent(summary(base), judged)
        _add(parts, model, BASE, ratings=base, summary=whole, judging=judged)
        for persona, words in adjectives.items():
            folder = results / model / persona / "evaluation"
            own = _read(folder / RATINGS)
            compared[model, persona] = own[own["method"] == headline]
            changed = changes(base, own, words)
            found = {"ratings": own, "changes": changed, "summary": summary(own, base, changed)}
            judged = _read(folder / JUDGING)
            found["summary"] = _with_consistent(found["summary"], judged)
            _add(parts, model, persona, **found, judging=judged)
    made = {name: pd.concat(frames, ignore_index=True) for name, frames in parts.items()}
    made["ratings"] = made["ratings"].drop(columns="influences")
    made["summary"] = made["summary"].astype(dict.fromkeys(COUNTS, "Int64"))
    made["top"] = top(made["changes"], ["model", "persona", "method", "condition"])
    conditions = made["ratings"]["condition"].unique()
    made["correlations"] = pd.concat([correlations(compared, name) for name in conditions], ignore_index=True)
    return made


def _with_consistent(table: pd.DataFrame, judging: pd.DataFrame) -> pd.DataFrame:
    """The summary with the share of consistent verdicts, on which its ratings rest."""
    shares = judging.set_index(KEYS).loc[list(table[KEYS].itertuples(index=False, name=None))]
    sides = {"consistent": "inconsistent", "consistent_low": "inconsistent_high"}
    sides["consistent_high"] = "inconsistent_low"
    return table.assign(**{name: 1 - shares[source].to_numpy() for name, source in sides.items()})


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise UserError(f"{path}: no such file; expected ratings of revealed preferences")
    return pd.read_parquet(path)


def _add(parts: dict[str, list[pd.DataFrame]], model: str, persona: str, **frames: pd.DataFrame) -> None:
    for name, frame in frames.items():
        parts[name].append(pd.DataFrame({"model": model, "persona": persona, **frame}))
