"""The report: its parts against hand-made artifacts, and the page in a real browser."""

import base64
import csv
import importlib.util
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

import characterflow.report.page as page_module
from browser import emulate, open_browser
from characterflow.core.errors import UserError
from characterflow.core.files import write_jsonl
from characterflow.evaluation.section import Figure, Finding, Section, Table
from characterflow.planning.stages import load
from characterflow.report import gallery as gallery_module
from characterflow.report.comparison import comparison
from characterflow.report.gallery import gallery
from characterflow.report.page import embedded, image, page
from characterflow.report.tabular import number, shown_table
from report_run import (
    METHODS,
    MODELS,
    PERSONAS,
    PROMPTS,
    evaluation_section,
    settings,
    write_run,
)

EMPTY_IMAGE = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
PHONE, TABLET, DESKTOP = 360, 768, 1440
SIZES = {"one": (MODELS[:1], PERSONAS[:1]), "many": (MODELS, PERSONAS)}


@pytest.fixture(scope="module", params=SIZES)
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, root: Path
) -> Iterator[Any]:
    """Settings and page of a run with one persona, and of one with three models and eleven personas."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name in page_module.SECTIONS:
            patch.setitem(page_module.SECTIONS, name, partial(evaluation_section, name))
        folder = tmp_path_factory.mktemp("run") / "results"
        configuration = write_run(folder, *SIZES[request.param])
        path = folder / "index.html"
        path.write_text(page(settings(configuration)), encoding="utf-8")
        yield configuration.run, path


@pytest.fixture(scope="module")
def window() -> Iterator[Any]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def opened(run: Any, window: Any) -> Any:
    """The page in the browser, freshly loaded on a desktop."""
    emulate(window, DESKTOP)
    window.get_log("browser")
    window.get_log("performance")
    window.get(run[1].as_uri())
    return window


def script(window: Any, text: str, *arguments: Any) -> Any:
    return window.execute_script(text, *arguments)


# The parts.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.125", "0.13"),
        ("-0.125", "−0.13"),
        ("0.3350", "0.34"),
        ("12.34", "12.3"),
        ("-1234.5678", "−1235"),
        ("0.0012", "0.0012"),
        ("0.0000", "0.00"),
        ("1e-05", "0.0000"),
        ("45", "45"),
        ("-3", "−3"),
        ("", "–"),
        ("nan", "–"),
        ("inf", "inf"),
    ],
)
def test_numbers_are_short(text: str, expected: str) -> None:
    assert number(text) == expected


def test_a_table_folds_its_intervals_and_carries_its_file(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(
        'persona,rate,rate_low,rate_high,n,took\n"a, ""b"" #1 & <i>",0.5000,0.4,0.6,45,True\nc,,,,3,\n'
    )
    headings = {"persona": "persona", "rate": "share", "rate_low": "from", "n": "n", "took": "took"}
    table = shown_table(Table(path, "Rates.", headings))
    assert [column.heading for column in table.columns] == ["persona", "share", "n", "took"]
    assert [column.kind for column in table.columns] == ["text", "number", "number", "flag"]
    assert table.rows == [['a, "b" #1 & <i>', "0.50 (0.40 to 0.60)", "45", "yes"], ["c", "–", "3", "–"]]
    assert unquote(table.link.split(",", 1)[1]) == path.read_text()
    assert not re.search(r"[\s\"'<>&#]", table.link)


def test_a_table_without_a_promised_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_text("persona\na\n")
    with pytest.raises(UserError, match="no column 'rate'"):
        shown_table(Table(tmp_path / "rates.csv", "Rates.", {"rate": "share"}))


def test_the_comparison_has_a_cell_for_each_headline() -> None:
    findings = [
        Finding("Took.", "m1", "a", shown=True, value="+12 points (3 to 20)"),
        Finding("Did not.", "m2", "a", shown=False, value="−3% (−8 to 2)"),
        Finding("Beside it.", "m1", "a", shown=True),
        Finding("As a whole.", "m1", value="0.8"),
    ]
    parts = [
        Section("first", "First", "", measure="gain", findings=findings),
        Section("empty", "Empty", "", findings=[Finding("Nothing.", "m1", "a")]),
    ]
    result = comparison(parts, ["m1", "m2"], ["a", "b"])
    assert result.groups == [("first", "First", "gain")]
    assert list(result.rows) == ["", "a"]
    states = [cell and (cell.text, cell.state, cell.order) for cell in result.rows["a"]]
    assert states == [("+12 points (3 to 20)", "shown", "+12"), ("−3% (−8 to 2)", "open", "-3")]
    assert [cell and cell.state for cell in result.rows[""]] == ["plain", None]


def test_the_gallery_takes_any_method() -> None:
    assert gallery_module.described("steered") == "a control vector added to its activations"
    assert gallery_module.described("by-other") == "introspection written by other"
    assert gallery_module.described("released") == "an adapter made elsewhere"


def test_a_section_counts_its_headlines() -> None:
    findings = [Finding("Text.", "m", f"p{n}", shown=n % 2 == 0, value="1%") for n in range(20)]
    part = Section("a", "A", "", findings=[Finding("Beside.", "m", shown=True), *findings])
    assert (
        part.verdict
        == "10 of 20 headline numbers are beyond noise; with no effect anywhere about 1 would be."
    )
    assert part.ordered == [*findings, part.findings[0]]
    assert Section("a", "A", "", findings=findings[:3]).verdict.endswith("anywhere less than one would be.")
    rare = [replace(finding, by_luck=0.01) for finding in findings]
    assert "less than one" in Section("a", "A", "", findings=rare).verdict
    assert Section("a", "A", "", findings=findings[:1]).verdict == ""


def test_the_gallery_fits_a_page(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration, path = run
    arguments = (path.parent, configuration["models"], configuration["personas"], list(METHODS))
    whole = gallery(*arguments)
    assert whole["prompts"] == [f"Question {n}?" for n in range(2, PROMPTS)]
    assert whole["held_out"] == PROMPTS - 2
    persona = configuration["personas"][-1]
    answer, taken_for = whole["answers"][configuration["models"][-1]][persona]["reflections"][1]
    assert answer.startswith(f"{persona}/reflections/3:") and taken_for in (persona, "base")
    monkeypatch.setattr(gallery_module, "LARGEST", 10)
    monkeypatch.setattr(gallery_module, "LONGEST_ANSWER", 20)
    small = gallery(*arguments)
    assert len(small["prompts"]) == 3
    assert len(small["answers"][configuration["models"][0]]["base"]["base"][0][0]) <= 20 + len(" […]")


def test_embedded_json_cannot_end_its_script() -> None:
    assert "</script" not in embedded({"a": "</script><b>"})
    assert json.loads(embedded({"a": "</script>"})) == {"a": "</script>"}


def test_a_figure_without_a_size_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    path.write_text('<svg width="75pt" height="150pt"><g/></svg>')
    assert (image(path)["width"], image(path)["height"]) == (100, 200)
    path.write_text("<svg><g/></svg>")
    with pytest.raises(UserError, match=r"a\.svg: expected an SVG"):
        image(path)


# The page as text.


def test_the_page_says_what_was_run(run: Any) -> None:
    configuration, path = run
    text = path.read_text()
    for expected in ("is a recording", "97 of 100; 3 too long", "exact: 1.0 × distillation", "torch 2.13.0"):
        assert expected in text
    pairs = len(configuration["models"]) * len(configuration["personas"])
    assert re.search(rf"<dt>jobs</dt><dd>{2 * pairs}</dd>", text)
    assert f"<dd>{pairs * 10 * 500:,}</dd>" in text
    assert ("&lt; 0.01" in text) == (pairs == 1)
    assert path.stat().st_size < (300_000 if pairs == 1 else 3_000_000)


def test_every_evaluation_has_a_section(root: Path) -> None:
    schema = yaml.safe_load((root / "config" / "schemas" / "config.schema.yaml").read_text())
    include = schema["properties"]["evaluation"]["properties"]["include"]
    assert set(page_module.SECTIONS) == set(include["items"]["enum"])


def test_every_figure_has_a_text_that_stands_for_it(run: Any) -> None:
    alternatives = re.findall(r"<img [^>]*alt=\"([^\"]*)\"", run[1].read_text())
    assert len(alternatives) == 1 + len(run[0]["evaluation"]["include"])
    assert all(len(text) > 10 for text in alternatives)


def test_a_large_figure_is_folded_away(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "which is large" not in run[1].read_text()
    picture = tmp_path / "wide.svg"
    picture.write_text('<svg width="75pt" height="1500pt"><g/></svg>')
    part = Section("coherence", "Coherence", "", figures=[Figure(picture, "A picture", "It is large.")])
    monkeypatch.setitem(page_module.SECTIONS, "coherence", lambda results, configuration: part)
    configuration = load(run[0])
    assert "<summary>Figure wide, which is large</summary>" in page(settings(configuration))


def test_the_page_names_no_address_to_load(run: Any) -> None:
    text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", run[1].read_text())
    assert not re.search(r"(?:src|href|url\()\s*=?\s*[\"']?(?:https?:)?//", text)


# Snakemake's own report.


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The demo's project with a file in every output's place."""
    folder = tmp_path_factory.mktemp("finished")
    for name in ("Snakefile", "config", "constitutions", "resources", "rules", "scripts", "src"):
        (folder / name).symlink_to(root / name)
    for line in snakemake(folder, "--summary").splitlines()[1:]:
        output = folder / line.split("\t")[0]
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(EMPTY_IMAGE if output.suffix == ".svg" else "a,b\n1,2\n")
    return folder


def snakemake(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_snakemake_s_report_has_everything_with_captions(finished: Path) -> None:
    snakemake(finished, "--report", "report.html")
    text = (finished / "report.html").read_text()
    shown = [*(finished / "results" / "figures").iterdir(), *(finished / "results" / "tables").glob("*.csv")]
    assert len(shown) > 8
    for path in (*shown, finished / "results" / "report" / "index.html"):
        assert path.name in text
    for caption in ("needs no network", "Loss of both training stages", "A classifier, trained on answers"):
        assert caption in text


# The page in a browser.


def test_nothing_is_logged_or_fetched(opened: Any, run: Any) -> None:
    script(opened, "document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert opened.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert run[1].as_uri() in urls
    assert {url for url in urls if not url.startswith("data:")} == {run[1].as_uri()}


@pytest.mark.parametrize("width", [PHONE, TABLET, DESKTOP])
def test_the_page_fits_the_screen(opened: Any, width: int) -> None:
    emulate(opened, width)
    script(opened, "document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert script(opened, "return document.documentElement.scrollWidth") <= width
    assert script(
        opened, "return [...document.querySelectorAll('.scroll')].every((one) => one.tabIndex === 0)"
    )


SHOWN = "return [...document.querySelectorAll('.examples article')].map((one) => one.innerText)"
CHOOSE = """
const [name, value] = arguments, field = document.querySelector('form[data-gallery]').elements[name];
field.value = value; field.dispatchEvent(new Event('change', {bubbles: true})); return field.value;
"""


def test_the_gallery_is_filtered_by_model_persona_and_prompt(opened: Any, run: Any) -> None:
    model, persona = run[0]["models"][-1], run[0]["personas"][-1]
    assert script(opened, CHOOSE, "model", model) == model
    assert script(opened, CHOOSE, "persona", persona) == persona
    every = script(opened, SHOWN)
    assert len(every) == PROMPTS - 2
    for method in METHODS:
        assert f"{persona}/{method}/2:" in every[0]
    assert "base/base/2:" in every[0]
    assert "<b>nobody</b>" in " ".join(every)
    assert script(opened, CHOOSE, "prompt", "3") == "3"
    (only,) = script(opened, SHOWN)
    assert only.startswith("Question 5?")
    assert f"1 of {PROMPTS - 2} prompts, {persona} on {model}" in script(
        opened, "return document.querySelector('[data-gallery-count]').innerText"
    )


def test_texts_from_right_to_left_are_readable(window: Any, run: Any, tmp_path: Path) -> None:
    """A text has the direction of its own first letter, whether the server or the script wrote it."""
    arabic = "ما عاصمة فرنسا؟ (Paris)"
    path = tmp_path / "index.html"
    persona, prompt = run[0]["personas"][0], 3
    text = run[1].read_text(encoding="utf-8").replace(f"Question {prompt}?", arabic)
    text = text.replace(f"{persona}/persona/{prompt}: ", f"{arabic} ")
    path.write_text(text.replace('<dd dir="auto">', f'<dd dir="auto">{arabic} '), encoding="utf-8")
    window.get(path.as_uri())
    directions = """
        return [...document.querySelectorAll(".examples h3, .answer > p:not(.verdict), .personas dd")].map(
            (one) => [one.textContent.startsWith(arguments[0]), getComputedStyle(one).direction,
                      getComputedStyle(one).textAlign])"""
    for _ in range(2):
        shown = script(window, directions, arabic[:8])
        assert sum(is_arabic for is_arabic, _, _ in shown) >= 3
        assert all(direction == ("rtl" if is_arabic else "ltr") for is_arabic, direction, _ in shown)
        assert {alignment for _, _, alignment in shown} == {"start"}
        script(window, 'document.querySelector("[data-gallery]").dispatchEvent(new Event("change"))')


def test_a_persona_s_name_leads_to_its_answers(opened: Any, run: Any) -> None:
    persona = run[0]["personas"][-1]
    script(opened, "document.querySelector(`a[data-persona=${arguments[0]}]`).click()", persona)
    assert f"{persona}/persona/2:" in script(opened, SHOWN)[0]


CELLS = """
const part = document.querySelector(`[data-table=${arguments[0]}]`);
return [...part.querySelectorAll('tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent));
"""
CLICK = "document.querySelectorAll(`[data-table=${arguments[0]}] thead button`)[arguments[1]].click()"
SORTED = "return [...document.querySelectorAll(`[data-table=${arguments[0]}] th`)].map((one) => one.ariaSort)"


def test_tables_are_sorted_whole(opened: Any, run: Any) -> None:
    results = run[1].parent
    with (results / "tables" / "robustness.csv").open() as file:
        rows = list(csv.DictReader(file))
    before = script(opened, CELLS, "robustness")
    rating, label = 4, 2
    script(opened, CLICK, "robustness", rating)
    assert script(opened, SORTED, "robustness")[rating] == "descending"
    cells = script(opened, CELLS, "robustness")
    largest = sorted((row["rating"] for row in rows), key=float, reverse=True)[: len(cells)]
    assert [row[rating] for row in cells] == [number(text) for text in largest]
    script(opened, CLICK, "robustness", rating)
    assert script(opened, SORTED, "robustness").count("ascending") == 1
    assert script(opened, CELLS, "robustness")[0][rating] == number(
        min((r["rating"] for r in rows), key=float)
    )
    script(opened, CLICK, "robustness", label)
    assert script(opened, CELLS, "robustness")[0][label] == 'trait "0", or <i>another</i>'
    assert len(script(opened, CELLS, "robustness")) == len(before)


def test_rows_are_found_and_shown_like_the_server_s(opened: Any, run: Any) -> None:
    served = script(opened, CELLS, "coherence")
    find = """
    const field = document.querySelector('[data-table=coherence] input');
    field.value = arguments[0]; field.dispatchEvent(new Event('input'));
    """
    script(opened, find, "")
    assert script(opened, CELLS, "coherence") == served
    persona = run[0]["personas"][-1]
    script(opened, find, persona.upper())
    found = script(opened, CELLS, "coherence")
    assert found and {row[1] for row in found} == {persona}
    script(opened, find, "there is no such row")
    assert script(opened, CELLS, "coherence") == []


def test_more_rows_come_on_request(opened: Any, run: Any) -> None:
    total = 20 * len(run[0]["models"]) * len(run[0]["personas"])
    more = "const more = document.querySelector('[data-table=coherence] button.more'); return more"
    first = len(script(opened, CELLS, "coherence"))
    hidden = script(opened, f"{more}.hidden")
    assert hidden == (total <= first)
    if not hidden:
        script(opened, f"{more}.click()")
        assert len(script(opened, CELLS, "coherence")) == first + 100


def test_a_download_is_the_table(opened: Any, run: Any) -> None:
    name, link = script(
        opened,
        "const a = document.querySelector('[data-table=coherence] a'); return [a.download, a.href]",
    )
    text = unquote(link.split(",", 1)[1])
    assert name == "coherence.csv"
    assert text == (run[1].parent / "tables" / "coherence.csv").read_text()
    assert len(list(csv.DictReader(io.StringIO(text)))) == 20 * len(run[0]["models"]) * len(
        run[0]["personas"]
    )


def test_the_comparison_is_sorted(opened: Any, run: Any) -> None:
    names = (
        "return [...document.querySelectorAll('.comparison tbody tr')].map((row) => row.cells[0].innerText)"
    )
    assert script(opened, names) == run[0]["personas"]
    script(opened, "document.querySelector('.comparison thead button').click()")
    assert script(opened, names) == sorted(run[0]["personas"])


def test_everything_is_reached_by_the_keyboard(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    body = opened.switch_to.active_element
    body.send_keys(Keys.TAB)
    assert opened.switch_to.active_element.get_attribute("class") == "skip"
    reached = set()
    for _ in range(60):
        element = opened.switch_to.active_element
        outline = script(opened, "return getComputedStyle(arguments[0]).outlineStyle", element)
        assert outline != "none", element.get_attribute("outerHTML")[:200]
        reached.add(element.tag_name)
        element.send_keys(Keys.TAB)
    assert {"a", "button", "select", "div"} <= reached


CONTRAST = """
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
  .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const ground = (element) => {
  for (let one = element; one; one = one.parentElement) {
    const colour = parse(getComputedStyle(one).backgroundColor);
    if (colour.length < 4 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const low = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
  const pair = [light(parse(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
  const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
  if (ratio < 4.5) low.push([ratio, element.outerHTML.slice(0, 120)]);
}
return low;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(opened: Any, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1."""
    emulate(opened, TABLET, scheme)
    script(opened, "document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert script(opened, CONTRAST) == []
    dark = script(opened, "return getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 26)"
    assert dark == (scheme == "dark")


def axe() -> str:
    """The script of axe-core, out of a package whose code is not run."""
    (folder,) = importlib.util.find_spec("axe_playwright_python").submodule_search_locations
    return Path(folder, "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "light"), (DESKTOP, "dark")])
def test_axe_finds_no_fault(opened: Any, width: int, scheme: str) -> None:
    """Every rule of axe-core: WCAG 2.2 at A and AA, and its own advice."""
    emulate(opened, width, scheme)
    script(opened, "document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    script(opened, axe())
    result = opened.execute_async_script("axe.run().then(arguments[0])")
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in result["violations"]] == []
    assert len(result["passes"]) > 40


def test_structure_serves_screen_readers(opened: Any) -> None:
    faults = """
    const faults = [], ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
    if (new Set(ids).size < ids.length) faults.push('an id twice');
    const levels = [...document.querySelectorAll('h1,h2,h3,h4')].map((one) => Number(one.tagName[1]));
    levels.forEach((level, i) => { if (i && level > levels[i - 1] + 1) faults.push(`heading ${i} jumps`); });
    for (const one of document.querySelectorAll('a[href^="#"]'))
      if (!document.getElementById(one.hash.slice(1))) faults.push(`${one.hash} leads nowhere`);
    for (const one of document.querySelectorAll('select, input'))
      if (!one.labels.length) faults.push(`no label: ${one.outerHTML}`);
    for (const one of document.querySelectorAll('[aria-labelledby]'))
      if (!document.getElementById(one.getAttribute('aria-labelledby'))) faults.push(`no title: ${one.id}`);
    for (const one of document.querySelectorAll('thead th'))
      if (!one.scope) faults.push('a heading without scope');
    for (const one of document.querySelectorAll('button a, a button')) faults.push('a link in a button');
    return faults;
    """
    assert script(opened, faults) == []
    assert script(opened, "return document.querySelectorAll('h1, main, nav').length") == 3


def test_paper_shows_what_is_folded_and_no_controls(opened: Any) -> None:
    emulate(opened, TABLET, "dark", "print")
    script(opened, "dispatchEvent(new Event('beforeprint'))")
    hidden = ["nav", ".controls", ".below a", ".below button", ".skip"]
    for selector in hidden:
        assert not script(
            opened, "return document.querySelector(arguments[0]).checkVisibility()", selector
        ), selector
    assert script(opened, "return [...document.querySelectorAll('.count')].every((e) => e.checkVisibility())")
    assert script(opened, "return [...document.querySelectorAll('details')].every((one) => one.open)")
    assert script(opened, "return getComputedStyle(document.body).backgroundColor") == "rgb(253, 253, 252)"
    assert script(opened, CONTRAST) == []
    pdf = base64.b64decode(opened.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert pdf.startswith(b"%PDF-")


def test_without_a_script_the_first_answers_stand_there(run: Any) -> None:
    with open_browser(scripts=False) as window:
        window.get(run[1].as_uri())
        assert len(script(window, SHOWN)) == 3
        assert script(window, "return document.querySelector('noscript').checkVisibility()")


def test_a_missing_artifact_is_named(
    run: Any, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(root)
    configuration = write_run(tmp_path / "results", MODELS[:1], PERSONAS[:1])
    write_jsonl(tmp_path / "results" / "prompts" / "evaluation.jsonl", [{"id": "p1"}])
    with pytest.raises(UserError, match="lacks the key 'prompt'"):
        page(settings(configuration))
