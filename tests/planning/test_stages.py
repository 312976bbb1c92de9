"""What is gathered from the stages: every start of Snakemake, and so of every job, does that."""

import subprocess
import sys


def test_gathering_the_stages_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'datasets', 'pyarrow', 'numpy', 'pandas'}"
    gathered = "import sys; from characterflow.planning import stages; stages._checks(); stages._stages()"
    code = f"{gathered}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "set()\n", done.stderr
