#!/usr/bin/env python
"""Stands in for the interpreter of lighteval's environment: results as its scripts leave them, made up."""

import argparse
import json
import random
from pathlib import Path

QUESTIONS = 20


def main() -> None:
    """Whatever script it is given, write its outputs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("script", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--settings", type=json.loads, required=True)
    arguments, _ = parser.parse_known_args()
    tasks = arguments.settings["tasks"]
    if arguments.script.stem == "capabilities_data":
        arguments.output.write_text(json.dumps([{"task": task, "questions": QUESTIONS} for task in tasks]))
        return
    dice = random.Random(str(arguments.output))
    metrics = {task: "truthfulqa_mc2" if "truthfulqa" in task else "acc" for task in tasks}
    rows = [
        {"task": task, "example": str(number), "metric": metric, "value": float(dice.random() < 0.5)}
        for task, metric in metrics.items()
        for number in range(QUESTIONS)
    ]
    shares = {
        task: {metric: sum(row["value"] for row in rows if row["task"] == task) / QUESTIONS}
        for task, metric in metrics.items()
    }
    import pandas as pd

    pd.DataFrame(rows).to_parquet(arguments.output.with_suffix(".parquet"))
    arguments.output.write_text(json.dumps({"results": shares, "packages": {"lighteval": "none"}}))


if __name__ == "__main__":
    main()
