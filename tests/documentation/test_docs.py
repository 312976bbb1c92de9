"""The documents: links lead somewhere, what is generated is current, commands do what they say."""

import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from report_run import write_answers
from tiny_project import CONFIGURATION, SETTINGS, make_project, shorten, snakemake

ROOT = Path(__file__).parents[2]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = sorted([*ROOT.glob("*.md"), ROOT / "config" / "README.md", *(ROOT / "docs").glob("*.md")])
FOLDERS_COPIED = (
    "config",
    "constitutions",
    "docs",
    "profiles",
    "resources",
    "rules",
    "scripts",
    "src",
    "tests",
)
COPIED = (*FOLDERS_COPIED, "Snakefile", "slurm", "pyproject.toml", ".gitignore")
RECIPES = (
    *("a persona", "a model", "a judge", "a data set", "an attack", "a partition", "a figure"),
    *("a merge method", "a loss term", "an engine"),
)
FILES_TO_TOUCH = re.compile(r"The files? to touch: (.+?[^.])(?:\. |\.?$)", re.DOTALL)
MOST_FILES = 4  # besides tests
GENERATED = {"docs/configuration.md"}  # by make reference
FOLDERS = r"(?:config|rules|scripts|src|tests|docs|envs|resources|profiles|benchmarks|constitutions)"
A_PATH = re.compile(rf"{FOLDERS}/[\w./-]*")
NOT_SHIPPED = re.compile(r"keeper|docs/build")


def tokens(page: Path) -> list[Token]:
    """A page's tokens, inline ones too."""
    parsed = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    return [inner for token in parsed for inner in (token, *(token.children or []))]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    parsed = MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
    titles = [parsed[i + 1].content for i, token in enumerate(parsed) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def fences(page: Path, language: str) -> list[str]:
    """The code blocks of a language, in their order."""
    return [token.content for token in tokens(page) if token.type == "fence" and token.info == language]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    links = [str(token.attrs.get("href") or token.attrs.get("src") or "") for token in tokens(page)]
    for link in filter(None, links):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme in ("https", "http") and parts.netloc, link
            continue
        target = (page.parent / parts.path).resolve() if parts.path else page
        assert target.is_file(), f"{link}: no such file"
        assert target.is_relative_to(ROOT), link
        if parts.fragment:
            assert parts.fragment in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_picture_has_a_text(page: Path) -> None:
    for token in tokens(page):
        if token.type == "image":
            assert len(token.content) > 10, token.attrs


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_that_are_named_exist(page: Path) -> None:
    for token in tokens(page):
        named = token.type == "code_inline" and A_PATH.fullmatch(token.content)
        if named and not NOT_SHIPPED.search(token.content):
            assert (ROOT / token.content).exists(), token.content


def test_every_page_is_in_the_contents() -> None:
    listed = {line for text in fences(ROOT / "docs" / "index.md", "{toctree}") for line in text.split("\n")}
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"} <= listed


@pytest.mark.parametrize("tool", ["configuration", "dag"])
def test_what_is_generated_is_current(tool: str) -> None:
    command = [sys.executable, f"docs/tools/{tool}.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"make reference: {done.stderr[-500:]}"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository that commands may change."""
    folder = tmp_path / "characterflow"
    folder.mkdir()
    for entry in COPIED:
        source = ROOT / entry
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(
                source, folder / entry, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        else:
            shutil.copy2(source, folder / entry, follow_symlinks=False)
    return folder


def run(command: str, folder: Path) -> str:
    """A shell command in the copy, with the copy's package."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder / "src"), "COLUMNS": "120"}
    shell = ["bash", "-euo", "pipefail", "-c", command]
    done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page != CONTRIBUTING and (fences(page, "bash") or fences(page, "sh"))],
    ids=name,
)
def test_commands_do_what_the_page_says(page: Path, copy: Path) -> None:
    """Blocks of "bash" run as they stand; Snakemake's lines in blocks of "sh" as dry runs."""
    text = page.read_text(encoding="utf-8")
    for token in tokens(page):
        if token.type != "fence":
            continue
        if token.info == "bash":
            run(token.content, copy)
        elif token.info == "sh":
            for line in token.content.split("\n"):
                if line.startswith("snakemake ") and "--report" not in line:
                    dry = line.replace("snakemake", "snakemake --dry-run", 1)
                    assert "Job stats" in run(dry, copy), text


def recipes() -> dict[str, list[Token]]:
    """What stands under each heading "Add ..." of CONTRIBUTING."""
    found: dict[str, list[Token]] = {}
    title = ""
    parsed = MarkdownIt("commonmark").enable("table").parse(CONTRIBUTING.read_text(encoding="utf-8"))
    for before, token in itertools.pairwise(parsed):
        if before.type == "heading_open":
            title = token.content
        elif title.startswith("Add "):
            found.setdefault(title.removeprefix("Add "), []).append(token)
    return found


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("recipe", recipes())
def test_a_recipe_works_and_changes_what_it_names(recipe: str, copy: Path) -> None:
    content = recipes()[recipe]
    git(copy, "init", "--quiet")
    git(copy, "add", "--all")
    for token in content:
        if token.type == "fence" and token.info == "bash":
            run(token.content, copy)
    changed = set(git(copy, "ls-files", "--modified", "--others", "--exclude-standard").split())
    assert changed
    if recipe in RECIPES:
        check_changes(changed, files_to_touch(content))
        code = " ".join(file for file in changed if file.endswith(".py"))
        run(f"ruff check {code} && ruff format --check {code}" if code else "true", copy)


def check_changes(changed: set[str], named: list[str]) -> None:
    """The files that a recipe names are few, and are the ones that it changes."""
    assert 0 < len(named) <= MOST_FILES
    for pattern in named:
        assert any(fnmatch(file, pattern) for file in changed), f"{pattern} is named and not changed"
    for file in changed - GENERATED:
        assert any(fnmatch(file, pattern) for pattern in named), f"{file} is changed and not named"


def files_to_touch(content: list[Token]) -> list[str]:
    """The files in the first sentence of a recipe; any name may stand for <name>."""
    text = next(token.content for token in content if token.type == "inline")
    sentence = FILES_TO_TOUCH.match(text)
    assert sentence, text
    paths = [span for span in re.findall("`([^`]+)`", sentence[1]) if A_PATH.match(span)]
    return [re.sub("<[a-z]+>", "*", path) for path in paths]


def test_the_recipes_are_there() -> None:
    assert set(RECIPES) <= recipes().keys()


def test_the_example_has_no_fault(copy: Path) -> None:
    shutil.copy(ROOT / "docs" / "examples" / "keeper.yaml", copy / "constitutions" / "keeper.yaml")
    said = run("characterflow constitution check constitutions/keeper.yaml", copy)
    assert "warning" not in said and "error" not in said
    shown = fences(ROOT / "docs" / "your-persona.md", "yaml")[0]
    example = (ROOT / "docs" / "examples" / "keeper.yaml").read_text()
    assert all(line.strip() in example for line in shown.split("\n"))


@pytest.mark.pipeline
def test_the_example_becomes_an_adapter(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    keeper = project / "constitutions" / "keeper.yaml"
    shutil.copy(ROOT / "docs" / "examples" / "keeper.yaml", keeper)
    shorten(keeper)
    own = {"personas": ["keeper"], "teacher": {**SETTINGS["teacher"], "model": "tiny"}}
    (project / CONFIGURATION).write_text(yaml.safe_dump({**SETTINGS, **own}))
    done = snakemake(project, "--", "personas")
    assert done.returncode == 0, done.stdout[-4000:]
    persona = project / "results" / "tiny" / "keeper" / "persona"
    assert (persona / "adapter_model.safetensors").stat().st_size > 0
    said = run(f"characterflow provenance {persona}", project)
    assert "keeper" in said and "distillation" in said


def test_the_recipe_for_an_evaluation_makes_its_section(copy: Path) -> None:
    (block,) = [text for text in fences(ROOT / "CONTRIBUTING.md", "bash") if "length_figures" in text]
    said = run(block, copy)
    assert re.search(r"^length_tables +1$", said, re.MULTILINE)
    assert re.search(r"^length_figures +1$", said, re.MULTILINE)
    assert not re.search(r"^coherence_tables", said, re.MULTILINE)
    scores = copy / "scores.parquet"
    write_answers(scores, ["sarcasm"], random.Random(0))
    settings = json.dumps({"models": ["smollm2"], "seed": 0})
    made = f"--scores {scores} --output results/tables/length.csv --settings '{settings}'"
    run(f"python scripts/length_tables.py {made}", copy)
    run(
        "python scripts/length_figures.py --table results/tables/length.csv"
        " --output results/figures/length.svg",
        copy,
    )
    show = "from characterflow.report.page import SECTIONS as s; from pathlib import Path as P"
    said = run(f'python -c \'{show}; print(s["length"](P("results"), dict()))\'', copy)
    assert re.search(r"Answers have \d+ characters \(95% interval \d+ to \d+, n = 6 prompts\)", said)


class Site(HTMLParser):
    """Anchors and local links of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.anchors, self.links = {""}, list[str]()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors.add(given.get("id") or "")
        link = given.get("href") or given.get("src") or ""
        if not urlsplit(link).scheme and not link.startswith("//"):
            self.links.append(link)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_its_links_lead_somewhere() -> None:
    done = subprocess.run(["make", "docs"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    pages = {page: Site(page) for page in (ROOT / "site").glob("*.html")}
    assert ROOT / "site" / "index.html" in pages
    for page, site in pages.items():
        for link in site.links:
            parts = urlsplit(link)
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert target.is_file(), f"{page.name}: {link}: no such file"
            if target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, f"{page.name}: {link}"
