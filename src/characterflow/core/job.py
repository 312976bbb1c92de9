"""What every rule's script does around its work: arguments, log file, progress, one-line errors."""

import argparse
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from characterflow.core.errors import UserError
from characterflow.core.files import parse_json

BAD_INPUT = 2
FAILURE = 1

_terminal: TextIO = sys.stderr
_label = ""
_clean_ups: list[Callable[[], None]] | None = None


def progress(message: str) -> None:
    """Say something to the person who watches: on the terminal, and in the job's log."""
    line = f"{time.strftime('%H:%M:%S')} {_label}: {message}"
    print(line, file=_terminal, flush=True)
    if _terminal is not sys.stderr:
        print(line, file=sys.stderr, flush=True)


def note(message: str) -> None:
    """Write a line into the job's log alone; nothing where there is none."""
    if _terminal is not sys.stderr:
        print(message, file=sys.stderr, flush=True)


def on_success(clean_up: Callable[[], None]) -> None:
    """Do something when the job has succeeded, and not if it fails; at once outside a job.

    What a failed or killed job needs to go on, such as a part file, is removed this way: Snakemake
    deletes all outputs of a job that fails, those that were whole as well.
    """
    if _clean_ups is None:
        clean_up()
    else:
        _clean_ups.append(clean_up)


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with the two arguments every script takes: --settings and --log."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--settings", type=_json, default={}, help="settings of the rule, as JSON")
    result.add_argument("--log", type=Path, help="send everything printed to this file, but for progress")
    return result


def record_options(options: argparse.ArgumentParser) -> None:
    """Add what an adapter's record names besides its inputs: see lineage.run_record."""
    options.add_argument("--constitution", type=Path, help="the persona's constitution, for the record")
    options.add_argument("--configuration", help="digest of the run's configuration, for the record")


def _json(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected JSON ({getattr(error, 'msg', error)})") from None


def run(main: Callable[[Any], None], arguments: argparse.Namespace) -> None:
    """Run a script's main function on its parsed arguments and exit.

    Status 0: done. Status 2: a UserError, printed in one line. Status 1: anything else, in one line
    on the terminal and with its traceback in the log.
    """
    global _label, _clean_ups
    _label = _label_of(arguments.log)
    _clean_ups = []
    if arguments.log:
        _redirect_output(arguments.log)
    print(_where(), file=sys.stderr, flush=True)
    try:
        main(arguments)
        for clean_up in _clean_ups:
            clean_up()
    except UserError as error:
        progress(f"error: {error}")
        sys.exit(BAD_INPUT)
    except Exception as error:
        traceback.print_exc()
        where = f" (traceback in {arguments.log})" if arguments.log else ""
        progress(f"error: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}{where}")
        sys.exit(FAILURE)
    finally:
        _clean_ups = None


def _label_of(log: Path | None) -> str:
    """What progress lines begin with: "distill tiny/sarcasm" for results/logs/distill/tiny/sarcasm.log.

    Where the log is in no folder of logs, the script's name.
    """
    folder, _, place = str(log or "").rpartition("/logs/")
    return place.removesuffix(".log").replace("/", " ", 1) if folder else Path(sys.argv[0]).stem


def _where() -> str:
    """The machine that a job runs on and, under Slurm, its number, partition and GPUs."""
    variables = ("SLURM_JOB_ID", "SLURM_JOB_PARTITION", "CUDA_VISIBLE_DEVICES")
    given = (f"{name}={os.environ[name]}" for name in variables if name in os.environ)
    return " ".join([f"host {socket.gethostname()}", *given])


def _redirect_output(log: Path) -> None:
    """Point file descriptors 1 and 2 at the log, child processes included; keep the terminal for progress."""
    global _terminal
    log.parent.mkdir(parents=True, exist_ok=True)
    _terminal = os.fdopen(os.dup(2), "w")
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
