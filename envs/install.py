"""Install envs/NAME.txt into the environment whose Python runs this: with uv, or else with pip.

    .venv/bin/python envs/install.py cpu --torch-index URL --editable .

pip's configuration, its files and its PIP_* variables, holds for both: uv is told in its own words. pip goes
on where uv cannot be had, fails, or has no equal of one of pip's settings, and a line says so. A file whose
hash is not the locked one ends the installation. Needs the standard library and pip.
"""

import argparse
import ast
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
UV = str(Path(sys.prefix) / "bin" / "uv")
PIP = [sys.executable, "-m", "pip"]
WRONG_HASH = re.compile(r"hash mismatch|do not match the hashes", re.IGNORECASE)
YES = ("y", "yes", "t", "true", "on", "1")
# For both: DeepSpeed compiles nothing while it is installed.
BUILDS = {"DS_BUILD_OPS": "0"}
# What pip does, and uv when told: it takes the best version of all indexes, and writes bytecode, or else the
# first import does, and every import where PYTHONDONTWRITEBYTECODE is set or the folder cannot be written.
AS_PIP = {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_COMPILE_BYTECODE": "1"}
# pip's settings that have several values: uv's variable, and what stands between its values.
LISTS = {
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "constraint": ("UV_CONSTRAINT", " "),
}
# Those that change nothing about what is installed from a lock, or from where.
WITHOUT_EFFECT = {
    *("config-file", "disable-pip-version-check", "no-python-version-warning", "root-user-action"),
    *("quiet", "verbose", "progress-bar", "no-color", "no-input", "log", "no-warn-script-location"),
    *("require-virtualenv", "break-system-packages", "no-warn-conflicts", "upgrade-strategy"),
    *("prefer-binary", "use-pep517", "use-feature", "use-deprecated"),
}


class NotWithUv(Exception):
    """Why uv does not serve."""


@dataclass(frozen=True)
class Step:
    """One call of uv or pip. index: in the place of the configured one."""

    what: str
    arguments: tuple[str, ...]
    index: str | None = None


def steps(folder: Path, name: str, torch_index: str | None, editable: str | None) -> list[Step]:
    """What is installed: the lock, PyTorch where the lock leaves its build open, and this package."""
    lock = folder / f"{name}.txt"
    found = [Step(f"envs/{name}.txt", ("--no-deps", "--require-hashes", "-r", str(lock)))]
    for torch in re.findall(r"^torch==\S+", lock.with_suffix(".in").read_text(), re.MULTILINE):
        if torch not in lock.read_text():
            found.append(Step(torch, (torch,), torch_index))
    if editable:
        found.append(Step("this package", ("--no-deps", "--no-build-isolation", "-e", editable)))
    return found


def pip_settings(listing: str) -> dict[str, str]:
    """What `pip config list` says, as `pip install` reads it: [global], over it [install], then variables."""
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for section, key, value in re.findall(r"^(global|install|:env:)\.([^=\n]+)=(.+)$", listing, re.MULTILINE):
        if text := ast.literal_eval(value):  # pip takes an empty value for none
            sections[section][key] = text
    return {key: value for section in sections.values() for key, value in section.items()}


def at_home(path: str) -> str:
    """A path or an address with ~ as the home folder."""
    return str(Path(path).expanduser()) if path.startswith("~") else path


def uv_settings(settings: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """uv's options and variables for pip's settings. Raises NotWithUv for one that has no equal."""
    options: list[str] = []
    variables: dict[str, str] = {}
    for key, value in settings.items():
        if key in LISTS:
            variable, between = LISTS[key]
            variables[variable] = between.join(map(at_home, value.split()))
        elif key == "index-url":
            variables["UV_DEFAULT_INDEX"] = value
        elif key == "no-index":
            options += ["--no-index"] if value.lower() in YES else []
        elif key == "cert":
            variables["SSL_CERT_DIR" if Path(value).is_dir() else "SSL_CERT_FILE"] = value
        elif key == "proxy":
            variables |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), value)
        elif key in ("timeout", "default-timeout"):
            variables["UV_HTTP_TIMEOUT"] = str(max(1, round(float(value))))
        elif key == "retries":
            variables["UV_HTTP_RETRIES"] = value
        elif key == "cache-dir":
            variables["UV_CACHE_DIR"] = f"{at_home(value)}/uv"
        elif key == "no-cache-dir":
            variables["UV_NO_CACHE"] = "1"  # any value of it says so
        elif key not in WITHOUT_EFFECT:
            raise NotWithUv(f"it has no equal of pip's setting {key}")
    return options, variables


def ask(command: list[str], variables: Mapping[str, str]) -> str:
    """What a command prints. Raises NotWithUv where it fails; ends where a hash was wrong."""
    environment = {**os.environ, **variables}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NotWithUv(str(error)) from error
    said = done.stderr.strip()
    if done.returncode and WRONG_HASH.search(said):
        sys.exit(f"{said}\nerror: a file is not the one whose hash is in envs/; nothing else is tried")
    if done.returncode:
        lines = said.splitlines() or ["no reason given"]
        raise NotWithUv(next((line for line in lines if line.lower().startswith("error")), lines[-1]))
    return done.stdout


def find_uv() -> str:
    """Put the uv of envs/uv.txt into the environment; its name and version."""
    lock = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(FOLDER / "uv.txt")]
    ask([*PIP, "install", "--quiet", *lock], {})
    return " ".join(ask([UV, "--version"], {}).split()[:2])


def settings(step: Step) -> dict[str, str]:
    """pip's settings for a step, with the certificates that it takes from variables of others."""
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    found = {"cert": bundle} if bundle else {}
    found |= pip_settings(ask([*PIP, "config", "list"], {}))
    if step.index:
        found["index-url"] = step.index
    if "--require-hashes" in step.arguments:
        found.pop("constraint", None)  # uv wants hashes of it, too, and a lock leaves nothing to constrain
    return found


def install_with_uv(step: Step) -> None:
    """Raises NotWithUv where that fails."""
    options, variables = uv_settings(settings(step))
    command = [UV, "pip", "install", "--quiet", "--python", sys.executable, *options, *step.arguments]
    as_pip = {name: os.environ.get(name, value) for name, value in AS_PIP.items()}
    ask(command, {**BUILDS, **as_pip, **variables})


def install_with_pip(step: Step) -> None:
    """Ends where that fails; pip has said why."""
    index = {"PIP_INDEX_URL": step.index} if step.index else {}
    command = [*PIP, "install", "--quiet", "--use-pep517", *step.arguments]
    if subprocess.run(command, env={**os.environ, **BUILDS, **index}, check=False).returncode:
        sys.exit(f"error: {step.what} could not be installed")


def install(found: list[Step], uv: str | None) -> str:
    """Take the steps, with uv as long as it serves. What the last one was taken with."""
    for step in found:
        print(f"Installing {step.what} with {uv or 'pip'}", flush=True)
        if uv:
            try:
                install_with_uv(step)
                continue
            except NotWithUv as reason:
                print(f"uv does not serve, pip goes on, which takes minutes: {reason}", flush=True)
                uv = None
        install_with_pip(step)
    return uv or "pip"


def main() -> None:
    """Say what is being installed, a line a step, and at the end how long it took."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("name", choices=sorted(path.stem for path in FOLDER.glob("*.in")))
    options.add_argument("--torch-index", help="where PyTorch is looked for; without it as pip is set up")
    options.add_argument("--editable", metavar="FOLDER", help="the package to install from its folder")
    options.add_argument("--installer", choices=["uv", "pip"], default="uv")
    given = options.parse_args()
    if sys.prefix == sys.base_prefix:
        sys.exit("error: run this with the Python of an environment: .venv/bin/python envs/install.py cpu")
    started, uv = time.monotonic(), None
    if given.installer == "uv":
        try:
            uv = find_uv()
        except NotWithUv as reason:
            print(f"uv cannot be had, pip goes on, which takes minutes: {reason}", flush=True)
    used = install(steps(FOLDER, given.name, given.torch_index, given.editable), uv)
    print(f"Installed in {time.monotonic() - started:.0f} s with {used}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
