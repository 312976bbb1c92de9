"""Tables as files: Parquet for programs, CSV for people."""

from pathlib import Path

import pandas as pd

from characterflow.core.files import atomic_file


def write_table(table: pd.DataFrame, path: Path) -> None:
    """A CSV with four decimals, and a Parquet twin beside it."""
    with atomic_file(path.with_suffix(".parquet")) as temporary:
        table.to_parquet(temporary, index=False)
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")
