"""What a newcomer waits for: clone, install, demo and tests of this repository, each timed.

    python benchmarks/first_minutes.py [--no-demo] [--no-tests] [--installer pip] [--torch-index URL]

What is committed is cloned into a temporary folder (TMPDIR moves it; environment and caches take 5 GB), and
nothing downloaded earlier is used. The times are those of this machine, its network and what else it does
meanwhile, of which the CPU seconds depend least. `make demo` and `make test` take the environment that the
install made.
"""

import argparse
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
INSTALLER = re.compile(r"^Installed in \d+ s with (.+)$", re.MULTILINE)
OF_ANOTHER_ENVIRONMENT = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "MAKEFLAGS", "MAKELEVEL")


def processor(information: str) -> tuple[str, str]:
    """Model and instructions that matter to the speed, from the text of /proc/cpuinfo."""
    fields: dict[str, str] = dict(re.findall(r"^(.+?)\s*: *(.*)$", information, re.MULTILINE))
    has = fields.get("flags", fields.get("Features", "")).split()
    told = [flag if flag in has else f"no {flag}" for flag in FLAGS] if has else ["unknown"]
    return fields.get("model name", platform.machine()), ", ".join(told)


def environment(folder: Path) -> dict[str, str]:
    """The variables of a newcomer: empty caches, and no environment active."""
    kept = {key: value for key, value in os.environ.items() if key not in OF_ANOTHER_ENVIRONMENT}
    active = str(Path(sys.prefix) / "bin") if sys.prefix != sys.base_prefix else ""
    kept["PATH"] = os.pathsep.join(part for part in kept["PATH"].split(os.pathsep) if part != active)
    caches = {"XDG_CACHE_HOME": "", "PIP_CACHE_DIR": "pip", "UV_CACHE_DIR": "uv"}
    return kept | {name: str(folder / "cache" / below) for name, below in caches.items()}


def run(command: list[str], folder: Path, variables: dict[str, str]) -> tuple[int, str]:
    """Exit status and output of a command, which is shown as it comes."""
    lines = []
    with subprocess.Popen(
        command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)


def cpu_seconds() -> float:
    """What the commands up to now have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def steps(given: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
    """The commands, by what the table calls them."""
    options = [f"INSTALLER={given.installer}"]
    if given.torch_index:
        options.append(f"TORCH_INDEX={given.torch_index}")
    clone = ["git", "clone", "--quiet", str(given.repository), str(folder / "clone")]
    found = {"clone": clone, "install": ["make", "environment", *options]}
    if given.demo:
        found["demo"] = ["make", "demo", *options]
    if given.tests:
        found["tests"] = ["make", "test", *options]
    return found


def measure(given: argparse.Namespace, folder: Path) -> tuple[list[str], str, str]:
    """Lines of the table, what installed, and the command that failed, each empty where there is none."""
    rows: list[str] = []
    installer = ""
    for step, command in steps(given, folder).items():
        where = folder if step == "clone" else folder / "clone"
        started, computed = time.monotonic(), cpu_seconds()
        status, said = run(command, where, environment(folder))
        seconds, computed = time.monotonic() - started, cpu_seconds() - computed
        if status:
            return rows, installer, " ".join(command)
        rows.append(f"{step} | {seconds:.0f} | {computed:.0f} | {os.getloadavg()[0]:.1f}")
        installer = installer or "".join(INSTALLER.findall(said))
    return rows, installer, ""


def show(rows: list[str], installer: str) -> None:
    """Print the table, and what it was measured on."""
    information = Path("/proc/cpuinfo")
    model, flags = processor(information.read_text() if information.exists() else "")
    print("\nstep | seconds | CPU seconds | load average at its end")
    print("\n".join(rows))
    print(f"\nprocessor | {model}, {os.cpu_count()} cores\ninstructions | {flags}")
    print(f"installed with | {installer or 'nothing'}\nPython | {platform.python_version()}", flush=True)


def main() -> None:
    """Time the steps and print the table."""
    layout = argparse.RawDescriptionHelpFormatter
    options = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    options.add_argument("--demo", action=argparse.BooleanOptionalAction, default=True)
    options.add_argument("--tests", action=argparse.BooleanOptionalAction, default=True)
    options.add_argument("--installer", choices=["uv", "pip"], default="uv")
    options.add_argument("--torch-index", help="as TORCH_INDEX of the Makefile")
    options.add_argument("--repository", default=ROOT, help="what is cloned, if not this one")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="first-minutes-") as name:
        rows, installer, failed = measure(given, Path(name))
        show(rows, installer)
    if failed:
        sys.exit(f"error: {failed} failed")


if __name__ == "__main__":
    main()
