"""Rules preference_ratings and base_preference_ratings: ratings of traits from a judge's verdicts.

In: verdicts. Out: ratings (Parquet: method, condition, trait, rating, its interval, the influence of each
prompt, connected, games, elo, elo_order_sd), and how the judge did (Parquet: method, condition, counts and
shares).
--settings: RatingsSettings of characterflow.evaluation.preferences.settings.
"""

from pathlib import Path

from characterflow.core.job import parser, progress, run

REQUIRED = ("method", "condition", "trial", "prompt_id", "first", "second", "named", "order", "verdict")


def main(arguments) -> None:
    from characterflow.core.files import atomic_file, read_jsonl
    from characterflow.core.settings import read_settings
    from characterflow.evaluation.preferences.settings import RatingsSettings
    from characterflow.evaluation.preferences.summary import judging, ratings, trials

    table = trials(read_jsonl(arguments.verdicts, REQUIRED))
    made = ratings(table, str(arguments.verdicts), read_settings(RatingsSettings, arguments.settings).seed)
    progress(
        f"{made['trait'].nunique()} traits rated from {table['score'].notna().sum()} of {len(table)} trials"
    )
    for path, result in ((arguments.ratings, made), (arguments.judging, judging(table))):
        with atomic_file(path) as temporary:
            result.to_parquet(temporary, index=False)


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--verdicts", type=Path, required=True)
    arguments.add_argument("--ratings", type=Path, required=True)
    arguments.add_argument("--judging", type=Path, required=True)
    run(main, arguments.parse_args())
