"""Says what changed code means, for every script whose digest scripts/meanings.txt does not list.

    python tests/meanings.py [--since REVISION] [--same SCRIPT ...] [--changed SCRIPT ...]

The project of tests/wide_project.py is run with the code of a revision whose digests are all listed. Then the
jobs of each script in question run again, alone, with the code of the working tree on a copy of that finished
run, and all files that they leave are compared with those of before. So every script has the inputs that it
had, whatever the scripts before it do now.

Equal files: the digest is added to the script's meaning. Other files: the meaning gets a new name, and
CHANGELOG.md a line. Neither, where the jobs fail, where there are none, or where none goes through the code
that changed: then a person has to say what holds, and the file of meanings keeps that.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from characterflow.core.errors import UserError
from characterflow.core.files import read_json, write_text
from characterflow.core.meaning import (
    FILE,
    VOUCHED,
    Meaning,
    code_digest,
    meanings_text,
    read_meanings,
    unlisted,
)
from comparison import CHANGED, SAME, Base, Comparison, changes, compare, first_error, verdict
from wide_project import JOBS, LIGHTEVAL, PROJECT, ROOT, STOOD_IN_FOR

SCRIPTS = "scripts"
LIST = f"{SCRIPTS}/{FILE}"
CACHE = ROOT.resolve() / ".snakemake" / "meanings"
NEW = "new"
UNLISTED = (
    "from pathlib import Path; from characterflow.core.meaning import unlisted; print(*unlisted(Path.cwd()))"
)
BY_HAND = "say what holds: make meanings SAME=... or CHANGED=..."
UNRELEASED = re.compile(r"## \[?unreleased", re.IGNORECASE)
RERUNS = re.compile(r"### reruns", re.IGNORECASE)


# The run before.


def base_source(revision: str) -> Path:
    """The code of a revision; UserError where its digests are not all listed."""
    commit = _git("rev-parse", "--verify", f"{revision}^{{commit}}").strip()
    source = CACHE / (commit + ("-capabilities" if LIGHTEVAL.exists() else "")) / "source"
    if not source.exists():
        partial = source.with_name("partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True)
        subprocess.run(["tar", "-x", "-C", partial], input=archive.stdout, check=True)
        if LIGHTEVAL.exists():
            (partial / LIGHTEVAL.parts[-3]).symlink_to(LIGHTEVAL.parents[1])
        partial.replace(source)
    if not (source / LIST).exists():
        raise UserError(f"{revision}: no {LIST}; expected a revision that lists all its code there")
    # By its own idea of a digest, which may differ from today's.
    missing = _python(source, "-c", UNLISTED).split()
    if missing:
        last = _git("log", "-1", "--format=%h", commit, "--", LIST).strip()
        raise UserError(
            f"{revision}: its {LIST} does not list the code of {', '.join(missing)}; expected a revision "
            f"that lists all its code, perhaps SINCE={last}"
        )
    return source


def base_run(source: Path) -> Base:
    """The finished run of a revision's own project, kept for the next time."""
    folder = source.parent
    if not (folder / JOBS).exists():
        shutil.rmtree(folder / PROJECT, ignore_errors=True)
        for other in set(CACHE.iterdir()) - {folder}:
            shutil.rmtree(other)
        say(
            f"running the project with the code of {folder.name[:12]}, some minutes; it is kept for next time"
        )
        _python(source, "tests/wide_project.py", str(folder))
    return Base(source, folder / PROJECT, read_json(folder / JOBS))


def compared(base: Base, scripts: list[str]) -> dict[str, str]:
    """For each script SAME, CHANGED, or why neither can be said."""
    able = [name for name in scripts if name in base.jobs]
    places = changes(base, ROOT, able)
    marked = {place for own in places.values() for place in own}
    found: dict[str, Comparison] = {}
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 2)) as pool:
        results = pool.map(lambda name: compare(base, ROOT, name, marked, CACHE / "after" / name), able)
        for name, result in zip(able, results, strict=True):
            found[name] = result
            say(f"{len(found)} of {len(able)} {name}: {_shown(result, base, name)}")
    reached = set().union(*(result.reached for result in found.values()))
    absent = dict.fromkeys(scripts, "the tiny project has no job of it")
    if not LIGHTEVAL.exists():
        hint = "it takes lighteval's environment, which make capabilities-environment makes"
        absent |= dict.fromkeys([name for name in scripts if name in STOOD_IN_FOR], hint)
    return absent | {name: verdict(places[name], result, reached) for name, result in found.items()}


def _shown(result: Comparison, base: Base, script: str) -> str:
    if result.failure or not result.different:
        return result.failure or "the same files"
    after = CACHE / "after" / script / "results"
    return f"other files, such as {result.different[0]}; diff -r {base.project / 'results'} {after}"


# What follows from it.


def with_same(digest: str, note: str, before: Meaning, now: Meaning | None) -> Meaning:
    """The meaning of before, with one digest more."""
    later = now.digests if now and now.name == before.name else {}
    return Meaning(before.name, {**before.digests, **later, digest: note})


def with_other(script: str, digest: str, note: str, *known: Meaning | None) -> Meaning:
    """A meaning with a name that the script never had."""
    numbers = [int(one.name.rpartition("-")[2]) for one in known if one]
    return Meaning(f"{script}-{max(numbers, default=0) + 1}", {digest: note})


def with_reruns(changelog: str, scripts: list[str]) -> str:
    """The changelog with a line, below Unreleased and Reruns, on those of the scripts that lack one."""
    lines = changelog.splitlines() or ["# Changelog", ""]
    top = _next(lines, 0, "## ")
    if top == len(lines) or not UNRELEASED.match(lines[top]):
        lines[top:top] = ["## [Unreleased]", ""]
    end = _next(lines, top + 1, "## ")
    heading = next((number for number in range(top, end) if RERUNS.match(lines[number])), end)
    if heading == end:
        lines[end:end] = ["### Reruns", ""]
    stop = _next(lines, heading + 1, "### ", "## ")
    new = [f"`{name}`" for name in scripts if f"`{name}`" not in "\n".join(lines[heading:stop])]
    if new:
        while not lines[stop - 1].strip():
            stop -= 1
        blank = [""] if stop == heading + 1 else []
        lines[stop:stop] = [*blank, f"- {', '.join(new)}: what changed, and what that means for results."]
    return "\n".join(lines).rstrip() + "\n"


def _next(lines: list[str], start: int, *beginnings: str) -> int:
    """The number of the next line that begins so, or of the line after the last."""
    return next((n for n in range(start, len(lines)) if lines[n].startswith(beginnings)), len(lines))


# The command.


def main(arguments: list[str] | None = None) -> int:
    """Decide, write both files, and tell; 2 where a script is left to a person."""
    options = _options(arguments)
    scripts = sorted(path.stem for path in (ROOT / SCRIPTS).glob("*.py"))
    now = {} if options.anew else dict(read_meanings(ROOT / LIST))
    wanted = scripts if options.anew else sorted({*unlisted(ROOT), *options.changed})
    for name in [*options.same, *options.changed]:
        if name not in (wanted if name in options.same else scripts):
            raise UserError(f"{name}: expected a script whose code {LIST} does not list")
    before: dict[str, Meaning] = {}
    verdicts = dict.fromkeys(wanted, NEW)
    if wanted and not options.anew:
        source = base_source(options.since)
        before = read_meanings(source / LIST)
        told = dict.fromkeys(options.same, SAME) | dict.fromkeys(options.changed, CHANGED)
        verdicts |= {name: value for name, value in told.items() if name in before}
        asked = [name for name in wanted if verdicts[name] == NEW and name in before]
        verdicts |= compared(base_run(source), asked) if asked else {}
    vouched = {*options.same, *options.changed}
    changed = [name for name in wanted if verdicts[name] == CHANGED]
    for name in wanted:
        digest, note = code_digest(ROOT / SCRIPTS / f"{name}.py"), VOUCHED if name in vouched else ""
        if verdicts[name] == SAME:
            now[name] = with_same(digest, note, before[name], now.get(name))
        elif verdicts[name] in (NEW, CHANGED):
            now[name] = with_other(name, digest, note, before.get(name), now.get(name))
    write_text(ROOT / LIST, meanings_text({name: now[name] for name in scripts if name in now}))
    if changed:
        changelog = ROOT / "CHANGELOG.md"
        write_text(changelog, with_reruns(changelog.read_text() if changelog.exists() else "", changed))
        say(f"CHANGELOG.md: complete the line on {', '.join(changed)}, below Reruns")
    left = [name for name in wanted if verdicts[name] not in (NEW, SAME, CHANGED)]
    for name in left:
        print(f"error: {name}: {verdicts[name]}; {BY_HAND}", file=sys.stderr)
    say(f"{LIST}: {len(wanted) - len(left)} digests added, {len(left)} left to you")
    return 2 if left else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--since", default="HEAD", metavar="REVISION", help="what to compare with")
    for option, says in (("--same", "the artifacts are equal"), ("--changed", "they are not")):
        told = f"a person says that {says}"
        parser.add_argument(option, nargs="+", default=[], metavar="SCRIPT", help=told)
    parser.add_argument("--anew", action="store_true", help="forget all meanings, and name the code as it is")
    return parser.parse_args(arguments)


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"git {' '.join(arguments)}: {first_error(done.stderr)}")
    return done.stdout


def _python(source: Path, *arguments: str) -> str:
    """What a revision's own code prints; UserError where it fails."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(source / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"{source}: python {arguments[0]} failed: {first_error(done.stdout)}")
    return done.stdout


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"error: {error}")
