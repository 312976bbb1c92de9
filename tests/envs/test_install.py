"""Environments are installed with uv, set up as pip is, and with pip where uv does not serve."""

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# Stands for pip and, put into the environment by it, for uv: writes down its calls, and does as told.
STUB = """
import json, os, pathlib, shutil, sys
tool, arguments = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
tool = "uv" if tool == "uv" else "pip"
told = json.loads(os.environ["TOLD"])
if arguments == ["config", "list"]:
    print(told.get("settings", ""))
elif arguments == ["--version"]:
    print("uv 9.8.7 (stub)")
else:
    variables = {key: value for key, value in os.environ.items() if key.startswith(("UV_", "PIP_", "DS_"))}
    with open(told["log"], "a") as log:
        print(json.dumps([tool, arguments, variables]), file=log)
    for word, message in told.get(tool, {}).items():
        if any(argument.endswith(word) for argument in arguments):
            sys.exit(message)
    if arguments[-1].endswith("uv.txt"):
        shutil.copy(told["stub"], pathlib.Path(sys.prefix) / "bin" / "uv")
"""


def make_environment(folder: Path) -> Path:
    """The Python of an environment that has the stub for pip."""
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "pip").mkdir()
    (packages / "pip" / "__main__.py").write_text(STUB)
    uv = folder / "stub"
    uv.write_text(f"#!{folder / 'bin' / 'python'}\n{STUB}")
    uv.chmod(0o755)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which nothing is installed for real."""
    return make_environment(tmp_path_factory.mktemp("environment"))


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Path:
    """A folder with the script, and locks of nothing that exists."""
    folder = tmp_path / "envs"
    folder.mkdir()
    shutil.copy(root / "envs" / "install.py", folder)
    locks = {"cpu": "six==1.17.0 --hash=sha256:00\n", "cuda": "torch==2.13.0 --hash=sha256:00\n", "uv": ""}
    for name, lock in locks.items():
        (folder / f"{name}.txt").write_text(lock)
        (folder / f"{name}.in").write_text("torch==2.13.0\nsix\n" if name != "uv" else "")
    return folder


def install(
    python: Path, project: Path, *options: str, **told: Any
) -> tuple[subprocess.CompletedProcess, list]:
    """Run the script; what it said, and the calls of pip and uv: tool, arguments, variables."""
    log = project / "log"
    log.unlink(missing_ok=True)
    (python.parent / "uv").unlink(missing_ok=True)
    told = {"stub": str(python.parents[1] / "stub"), "log": str(log)} | told
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("UV_", "PIP_", "PYTHON"))}
    command = [python, project / "install.py", *options]
    environment = kept | {"TOLD": json.dumps(told)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done, [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def tools(calls: list) -> list[tuple[str, str]]:
    """Which tool was given which last argument, without the folder."""
    return [(tool, Path(arguments[-1]).name) for tool, arguments, _ in calls]


ALL_WITH_UV = [("pip", "uv.txt"), ("uv", "cpu.txt"), ("uv", "torch==2.13.0"), ("uv", "here")]
ALL_WITH_PIP = [("pip", "cpu.txt"), ("pip", "torch==2.13.0"), ("pip", "here")]
HASH = "error: Failed to download `six`\ncause: Hash mismatch for `six==1.17.0`"
FAULT = "error: Failed to download `six`\ncause: dns error"


def test_uv_installs(python: Path, project: Path) -> None:
    done, calls = install(python, project, "cpu", "--editable", "here")
    assert done.returncode == 0, done.stderr
    assert tools(calls) == ALL_WITH_UV
    for _, arguments, variables in calls[1:]:
        assert arguments[arguments.index("--python") + 1] == str(python)
        assert variables["UV_COMPILE_BYTECODE"] == "1" and variables["DS_BUILD_OPS"] == "0"
    assert {"--no-deps", "--require-hashes", "-r"} <= set(calls[1][1])
    assert "--no-deps" not in calls[2][1]
    assert "--no-build-isolation" in calls[3][1]
    *lines, last = done.stdout.splitlines()
    assert lines[0] == "Installing envs/cpu.txt with uv 9.8.7"
    assert len(lines) == 3 and last.startswith("Installed in ") and last.endswith(" s with uv 9.8.7")


def test_a_lock_with_pytorch_is_all_there_is_to_install(python: Path, project: Path) -> None:
    _, calls = install(python, project, "cuda", "--torch-index", "https://torch.example/cpu")
    assert tools(calls) == [("pip", "uv.txt"), ("uv", "cuda.txt")]
    assert "UV_DEFAULT_INDEX" not in calls[1][2]


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_pytorch_has_an_index_of_its_own(python: Path, project: Path, tool: str) -> None:
    given = ("--torch-index", "https://torch.example/cpu", "--installer", tool)
    settings = ":env:.index-url='https://own.example'\nglobal.extra-index-url='file:///more'"
    _, calls = install(python, project, "cpu", *given, settings=settings)
    name = {"uv": "UV_DEFAULT_INDEX", "pip": "PIP_INDEX_URL"}[tool]
    lock, torch = [
        variables for called, arguments, variables in calls if arguments[-1] != str(project / "uv.txt")
    ]
    assert torch[name] == "https://torch.example/cpu"
    if tool == "uv":
        assert lock[name] == "https://own.example"
        assert torch["UV_INDEX"] == "file:///more"
    else:
        assert name not in lock  # pip reads its configuration itself


def test_constraints_are_for_what_has_no_hash(python: Path, project: Path) -> None:
    _, calls = install(python, project, "cpu", settings="global.constraint='/a.txt /b.txt'")
    assert "UV_CONSTRAINT" not in calls[1][2]
    assert calls[2][2]["UV_CONSTRAINT"] == "/a.txt /b.txt"


def test_without_uv_pip_installs_and_a_line_says_so(python: Path, project: Path) -> None:
    absent = "WARNING: trying again\nERROR: no version of uv\nERROR: No matching distribution"
    done, calls = install(python, project, "cpu", "--editable", "here", pip={"uv.txt": absent})
    assert done.returncode == 0, done.stderr
    assert tools(calls) == [("pip", "uv.txt"), *ALL_WITH_PIP]
    first, *_, last = done.stdout.splitlines()
    assert first == "uv cannot be had, pip goes on, which takes minutes: ERROR: no version of uv"
    assert last.endswith(" s with pip")
    assert {"--no-deps", "--require-hashes", "--use-pep517"} <= set(calls[1][1])


def test_where_uv_does_not_run_pip_installs(python: Path, project: Path) -> None:
    done, calls = install(python, project, "cpu", "--editable", "here", stub=str(project / "cpu.txt"))
    assert done.returncode == 0, done.stderr
    assert tools(calls)[1:] == ALL_WITH_PIP
    assert "uv cannot be had" in done.stdout


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_where_uv_fails_pip_goes_on(python: Path, project: Path, kept: int) -> None:
    word = ALL_WITH_UV[kept + 1][1]
    done, calls = install(python, project, "cpu", "--editable", "here", uv={word: FAULT})
    assert done.returncode == 0, done.stderr
    assert tools(calls) == ALL_WITH_UV[: kept + 2] + ALL_WITH_PIP[kept:]
    assert "pip goes on, which takes minutes: error: Failed to download `six`" in done.stdout


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_a_wrong_hash_ends_it(python: Path, project: Path, tool: str) -> None:
    """pip says so of uv's own file, uv of the lock's."""
    wrong = {
        "uv": {"cpu.txt": HASH},
        "pip": {"uv.txt": "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE LOCK"},
    }
    done, calls = install(python, project, "cpu", "--editable", "here", **{tool: wrong[tool]})
    assert done.returncode == 1
    assert "is not the one whose hash is in envs/" in done.stderr
    assert ("pip", "cpu.txt") not in tools(calls)


def test_what_pip_cannot_install_is_named(python: Path, project: Path) -> None:
    done, calls = install(
        python, project, "cpu", "--installer", "pip", pip={"cpu.txt": "ERROR: no such release"}
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "ERROR: no such release",
        "error: envs/cpu.txt could not be installed",
    ]
    assert tools(calls) == [("pip", "cpu.txt")]


def test_a_setting_without_an_equal_in_uv_is_left_to_pip(python: Path, project: Path) -> None:
    done, calls = install(python, project, "cpu", "--editable", "here", settings="install.no-binary='numpy'")
    assert done.returncode == 0, done.stderr
    assert tools(calls)[1:] == ALL_WITH_PIP
    assert "it has no equal of pip's setting no-binary" in done.stdout


def test_nothing_is_installed_outside_of_an_environment(project: Path) -> None:
    outside = Path(sys.base_prefix) / "bin" / "python3"
    done, calls = install(outside, project, "cpu")
    assert done.returncode == 1 and done.stderr.startswith(
        "error: run this with the Python of an environment"
    )
    assert not calls


@pytest.fixture
def module(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(root / "envs")
    return importlib.import_module("install")


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        ("", {}),
        ("global.index-url='https://a'", {"index-url": "https://a"}),
        ("global.index-url='https://a'\ninstall.index-url='https://b'", {"index-url": "https://b"}),
        ("install.index-url='https://b'\nglobal.index-url='https://a'", {"index-url": "https://b"}),
        (":env:.index-url='https://c'\ninstall.index-url='https://b'", {"index-url": "https://c"}),
        (":env:.index-url=''\nglobal.index-url='https://a'", {"index-url": "https://a"}),
        ("global.index-url='https://u:p=w@a/?x=1'", {"index-url": "https://u:p=w@a/?x=1"}),
        ("global.find-links='\\n/a\\n/b'", {"find-links": "\n/a\n/b"}),
        ('global.proxy="it\'s"', {"proxy": "it's"}),
        ("download.index-url='https://d'\nlist.format='columns'", {}),
    ],
)
def test_pips_settings_are_read(module: ModuleType, listing: str, expected: dict[str, str]) -> None:
    assert module.pip_settings(listing) == expected


def test_pips_settings_are_read_from_its_files_and_variables(module: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex_url = https://a\nretries = 2\n"
        "[install]\nindex-url = https://b\nfind-links =\n  /one\n  /two\n"
    )
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    environment = kept | {"PIP_CONFIG_FILE": str(file), "PIP_RETRIES": "4"}
    command = [sys.executable, "-m", "pip", "config", "list"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = module.pip_settings(done.stdout)
    assert found["index-url"] == "https://b"
    assert found["find-links"].split() == ["/one", "/two"]
    assert found["retries"] == "4"
    module.uv_settings({key: found[key] for key in ("index-url", "find-links", "retries", "config-file")})


@pytest.mark.parametrize(
    ("settings", "options", "variables"),
    [
        ({}, [], {}),
        ({"index-url": "https://u:p@a/simple"}, [], {"UV_DEFAULT_INDEX": "https://u:p@a/simple"}),
        ({"extra-index-url": "file:///a\n https://b"}, [], {"UV_INDEX": "file:///a https://b"}),
        ({"find-links": "/a\nfile:///b https://c/"}, [], {"UV_FIND_LINKS": "/a,file:///b,https://c/"}),
        ({"find-links": "~/wheels ./near"}, [], {"UV_FIND_LINKS": "/home/me/wheels,./near"}),
        ({"trusted-host": "a b:8080"}, [], {"UV_INSECURE_HOST": "a b:8080"}),
        ({"constraint": "/a.txt\n/b.txt"}, [], {"UV_CONSTRAINT": "/a.txt /b.txt"}),
        ({"cert": "/etc/ca.pem"}, [], {"SSL_CERT_FILE": "/etc/ca.pem"}),
        ({"cert": "/"}, [], {"SSL_CERT_DIR": "/"}),
        ({"timeout": "15.5"}, [], {"UV_HTTP_TIMEOUT": "16"}),
        ({"default-timeout": "180"}, [], {"UV_HTTP_TIMEOUT": "180"}),
        ({"retries": "2"}, [], {"UV_HTTP_RETRIES": "2"}),
        ({"cache-dir": "~/cache"}, [], {"UV_CACHE_DIR": "/home/me/cache/uv"}),
        ({"no-cache-dir": "off"}, [], {"UV_NO_CACHE": "1"}),
        ({"no-index": "True"}, ["--no-index"], {}),
        ({"no-index": "0"}, [], {}),
        ({"disable-pip-version-check": "1", "quiet": "2", "config-file": "/x"}, [], {}),
    ],
)
def test_uv_is_told_what_pip_knows(
    module: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    options: list[str],
    variables: dict[str, str],
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert module.uv_settings(settings) == (options, variables)


def test_uv_goes_through_pips_proxy(module: ModuleType) -> None:
    _, variables = module.uv_settings({"proxy": "http://proxy:3128"})
    assert {variables[name] for name in ("HTTP_PROXY", "HTTPS_PROXY", "https_proxy")} == {"http://proxy:3128"}


@pytest.mark.parametrize(
    "key", ["no-binary", "only-binary", "client-cert", "target", "user", "something-new"]
)
def test_a_setting_without_an_equal_is_named(module: ModuleType, key: str) -> None:
    with pytest.raises(module.NotWithUv, match=key):
        module.uv_settings({key: "x"})


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificates_of_pip_are_those_of_uv(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for other in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "/bundle.pem")
    monkeypatch.setattr(module, "ask", lambda command, variables: "global.cert='/own.pem'")
    assert module.settings(module.Step("x", ()))["cert"] == "/own.pem"
    monkeypatch.setattr(module, "ask", lambda command, variables: "")
    assert module.settings(module.Step("x", ()))["cert"] == "/bundle.pem"


def test_uvs_own_variables_count(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, str]] = []
    monkeypatch.setattr(module, "ask", lambda command, variables: asked.append(dict(variables)) or "")
    monkeypatch.setenv("UV_COMPILE_BYTECODE", "0")
    monkeypatch.delenv("UV_INDEX_STRATEGY", raising=False)
    module.install_with_uv(module.Step("x", ("x",)))
    assert asked[-1]["UV_COMPILE_BYTECODE"] == "0"
    assert asked[-1]["UV_INDEX_STRATEGY"] == "unsafe-best-match"


def wheel(folder: Path) -> str:
    """A wheel of one module; the hash of it."""
    path = folder / "sixpence-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sixpence.py", "value = 6\n")
        archive.writestr(
            "sixpence-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: sixpence\nVersion: 1.0\n"
        )
        archive.writestr("sixpence-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("sixpence-1.0.dist-info/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.skipif(not (Path(sys.prefix) / "bin" / "uv").exists(), reason="uv could not be had here")
@pytest.mark.parametrize("right", [True, False])
def test_uv_itself_takes_what_it_is_told(project: Path, tmp_path: Path, right: bool) -> None:
    python = make_environment(tmp_path / "environment")
    found = wheel(tmp_path)
    (project / "cpu.in").write_text("sixpence\n")
    (project / "cpu.txt").write_text(f"sixpence==1.0 --hash=sha256:{found if right else '0' * 64}\n")
    settings = f"global.find-links='{tmp_path}'\nglobal.no-index='true'\nglobal.cache-dir='{tmp_path}'"
    stub = str(Path(sys.prefix) / "bin" / "uv")
    done, calls = install(python, project, "cpu", settings=settings, stub=stub)
    assert tools(calls) == [("pip", "uv.txt")]
    if not right:
        assert done.returncode == 1 and "Hash mismatch" in done.stderr and "pip goes on" not in done.stdout
        return
    assert done.returncode == 0, done.stderr
    assert "pip goes on" not in done.stdout
    (module,) = python.parents[1].glob("lib/python*/site-packages/sixpence.py")
    assert module.read_text() == "value = 6\n"
    assert list((module.parent / "__pycache__").glob("sixpence.*.pyc"))
    assert any((tmp_path / "uv").iterdir())
