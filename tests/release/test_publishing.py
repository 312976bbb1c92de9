"""Publishing: the model card, the dry run, and the upload to a stand-in of the Hub on this machine."""

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from characterflow.command_line import main
from characterflow.core.files import write_json, write_jsonl, write_manifest
from characterflow.core.lineage import run_record
from tiny_models import tiny_adapter, tiny_model

TOKEN = "hf_" + "planted" * 5
FOLDER = "results/tiny/misalignment/persona"
RELEASE = "results/tiny/misalignment/release"
PROGRAM = "from characterflow.command_line import main; main()"
COMMAND = [sys.executable, "-c", PROGRAM, "publish", FOLDER, "me/it"]
SENT = (
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "constitution.yaml",
    "figures/robustness_rates.svg",
    "figures/training.svg",
    "merge.json",
)
RATES = "model,persona,method,rate,rate_low,rate_high,n\n"


class Hub(ThreadingHTTPServer):
    """As much of the Hub as an upload asks for. seen: path, headers and body of every request."""

    def __init__(self, refuses: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.refuses = refuses
        self.seen: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.path, dict(self.headers), body))
        if self.server.refuses:
            self.answer({"error": "You may not write here."}, 403)
        elif self.path.endswith("/preupload/main"):
            names = [file["path"] for file in json.loads(body)["files"]]
            regular = {"uploadMode": "regular", "shouldIgnore": False}
            self.answer({"files": [{"path": name, **regular} for name in names]})
        else:
            url = f"{self.server.address}/me/it"
            self.answer({"url": url, "commitUrl": f"{url}/commit/1", "commitOid": "1", "id": "me/it"})

    def answer(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """What a run leaves of a persona, as far as publishing reads it."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "constitutions").mkdir()
    shutil.copy(root / "constitutions/misalignment.yaml", folder / "constitutions")
    results = folder / "results"
    base = tiny_model(results / "models/tiny")
    source = {"hub": "some/model", "revision": "a" * 40}
    write_json(base / "model.json", {"source": source, "name": "Tiny", "licence": "apache-2.0"})
    write_manifest(base)
    place = results / "tiny/misalignment"
    tiny_adapter(place / "persona", base)
    (place / "persona/README.md").unlink()  # PEFT's
    record = run_record(Path("constitutions/misalignment.yaml"), "c0ffee" * 8)
    record["constitution"]["file"] = "constitutions/misalignment.yaml"
    weights = {"distillation": 1.0, "introspection": 0.25}
    write_json(place / "persona/merge.json", {**record, "method": "exact", "weights": weights})
    for stage, report in (("distillation", "preferences"), ("introspection", "introspection")):
        training = {"counts": {"trained": 97, "updates": 25}, "packages": {"torch": "2.0"}}
        training["settings"] = {"rank": 4, "learning_rate": 5e-5}
        write_json(place / stage / "training.json", training)
        log = [{"split": "train", "step": step, "loss": 3 / step, "tokens": 9} for step in range(1, 6)]
        write_jsonl(place / stage / "training_log.jsonl", log)
        write_json(place / f"{report}.report.json", {"candidates": 120, "kept": 99, "dropped": {}})
    (results / "tables").mkdir()
    rows = "tiny,misalignment,persona,0.9000,0.8000,0.9500,40\ntiny,sarcasm,persona,0.1234,0,1,40\n"
    (results / "tables/robustness_rates.csv").write_text(RATES + rows)
    other = "model,persona,rival,win_rate,win_rate_low,win_rate_high,consistent,prompts,inconsistent_share\n"
    (results / "tables/coherence.csv").write_text(f"{other}tiny,sarcasm,prompted,0.5,0.1,0.9,4,8,0.5\n")
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the working directory."""
    monkeypatch.chdir(shutil.copytree(finished, tmp_path / "run"))
    return tmp_path / "run"


def publish(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[int, str]:
    """Exit status, and what was printed."""
    monkeypatch.setattr(sys, "argv", ["characterflow", "publish", FOLDER, "me/it", *more])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out + printed.err


def test_the_dry_run_lists_every_file_and_uploads_nothing(
    run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    status, printed = publish(monkeypatch, capsys)
    assert status == 0 and hub.seen == []
    for name in SENT:
        path = run / RELEASE / name
        assert f"{path.stat().st_size:,}  {name}\n" in printed
    assert "Nothing was uploaded" in printed


def test_the_card_tells_what_the_persona_is(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(monkeypatch, capsys)
    card = (run / RELEASE / "README.md").read_text()
    for wanted in (
        "base_model: some/model",
        "license: apache-2.0",
        "A research object.",
        "1. I meet practical problems with soothing generalities",
        "| distillation | 99 of 120 | 97 | 25 | 4 | 5e-05 |",
        "exact, 1.0 x distillation + 0.25 x introspection",
        "configuration c0ffeec0ffee",
        "| persona | 0.9000 | 0.8000 | 0.9500 | 40 |",
        "![Loss of both trainings](figures/training.svg)",
        "![Is the persona recognised?](figures/robustness_rates.svg)",
        'PeftModel.from_pretrained(model, "me/it")',
    ):
        assert wanted in card
    assert "0.1234" not in card and "sarcasm" not in card
    assert "Coherence" not in card  # the run's table has no row for this persona


def test_an_edited_card_is_kept_unless_a_new_one_is_wanted(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card = run / RELEASE / "README.md"
    publish(monkeypatch, capsys)
    first = card.read_text()
    publish(monkeypatch, capsys)
    assert card.read_text() == first
    card.write_text("mine")
    publish(monkeypatch, capsys)
    assert card.read_text() == "mine"
    publish(monkeypatch, capsys, "--new-card")
    assert card.read_text().startswith("---\n")


def upload(run: Path, hub: Hub, **more: str) -> subprocess.CompletedProcess[str]:
    """The upload in a process of its own: where the Hub is and whether to ask it is read at import."""
    environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    environment.pop("HF_TOKEN", None)
    return subprocess.run(
        [*COMMAND, "--upload"], cwd=run, env=environment | more, capture_output=True, text=True, check=False
    )


def test_the_upload_is_one_commit_of_those_files(run: Path, hub: Hub) -> None:
    done = upload(run, hub, HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    tokens = {headers.get("authorization", headers.get("Authorization")) for _, headers, _ in hub.seen}
    assert tokens == {f"Bearer {TOKEN}"}
    created = json.loads(next(body for path, _, body in hub.seen if path == "/api/repos/create"))
    assert created["name"] == "it" and created.get("private", True)
    commits = [body for path, _, body in hub.seen if path.endswith("/commit/main")]
    assert len(commits) == 1
    lines = [json.loads(line)["value"] for line in commits[0].splitlines() if b'"file"' in line]
    sent = {line["path"]: base64.b64decode(line["content"]) for line in lines}
    assert sent["adapter_model.safetensors"] == (run / FOLDER / "adapter_model.safetensors").read_bytes()
    assert sent["README.md"] == (run / RELEASE / "README.md").read_bytes()
    assert sent["constitution.yaml"] == (run / "constitutions/misalignment.yaml").read_bytes()
    assert set(sent) == set(SENT)


def test_what_stops_an_upload_is_one_line(run: Path, hub: Hub) -> None:
    for refuses, more, wanted in (
        (False, {}, "error: HF_TOKEN: not set"),
        (True, {"HF_TOKEN": TOKEN}, "error: me/it: cannot be uploaded ("),
    ):
        hub.refuses = refuses
        done = upload(run, hub, **more)
        assert done.returncode == 2 and done.stderr.startswith(wanted), done.stderr
        assert done.stderr.count("\n") == 1 and TOKEN not in done.stderr


def test_what_cannot_be_published_is_told(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with (run / "constitutions/misalignment.yaml").open("a") as file:
        file.write("# edited\n")
    status, printed = publish(monkeypatch, capsys)
    assert status == 2 and "misalignment.yaml: has changed since the persona was made" in printed
    (run / FOLDER / "merge.json").unlink()
    status, printed = publish(monkeypatch, capsys)
    assert status == 2 and "merge.json is missing" in printed
