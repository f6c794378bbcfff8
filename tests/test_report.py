import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pandas as pd
import pytest
from fixtures import raw_rows, rewrite_summary, summary
from needs import CHROMIUM
from synthetic import PROTOCOL, assert_one_sentence_each, frame, runs

from bayes_pruning import commands
from bayes_pruning.figures.catalogue import catalogue
from bayes_pruning.results.frame import publish
from bayes_pruning.results.selection import read_out
from bayes_pruning.studies import report
from bayes_pruning.studies.claims import verdicts

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=3000",
    "--proxy-server=127.0.0.1:9",  # nobody listens there: the browser is offline
)
WATCH = """<script>
  window.problems = [];
  addEventListener("error", (event) => problems.push(String(event.message || event.target.src)), true);
  addEventListener("securitypolicyviolation", (event) => problems.push("refused " + event.blockedURI));
</script>"""
PROBE = """<script>
addEventListener("load", () => {
  const table = document.getElementById("table-1"), rows = () => Array.from(table.tBodies[0].rows);
  const shown = () => rows().filter((row) => row.offsetParent !== null);
  const column = (name) => Array.from(table.tHead.rows[0].cells).findIndex((cell) => cell.textContent.trim() === name);
  const keys = (name) => shown().map((row) => row.cells[column(name)].dataset.key);
  const press = (name) => table.tHead.rows[0].cells[column(name)].querySelector("button").click();
  const type = (id, value) => {
    const field = document.getElementById(id);
    if (field.type === "checkbox") field.checked = value; else field.value = value;
    field.dispatchEvent(new Event(field.tagName === "SELECT" || field.type === "checkbox" ? "change" : "input"));
  };
  const found = { width: innerWidth, scroll: document.documentElement.scrollWidth, all: shown().length };
  found.images = Array.from(document.images, (image) => [image.complete && image.naturalWidth > 0, image.alt]);
  press("Accuracy before pruning"); found.ascending = keys("Accuracy before pruning");
  found.sorted = table.tHead.rows[0].cells[column("Accuracy before pruning")].getAttribute("aria-sort");
  press("Accuracy before pruning"); found.descending = keys("Accuracy before pruning");
  press("Method"); found.methods = keys("Method");
  type("table-filter", "Bayes 90%"); found.filtered = shown().map((row) => row.textContent.trim());
  type("table-filter", "");
  const missing = document.getElementById("table-missing");
  const without = () => Array.from(missing.querySelectorAll("tbody tr")).filter((row) => row.checkVisibility()).length;
  found.folded = without(); missing.open = true; found.unfolded = without();
  found.verdicts = {};
  for (const outcome of ["undecided", "fails"]) {
    type("claims-filter", outcome);
    found.verdicts[outcome] = Array.from(document.querySelectorAll(".claims tbody tr"))
      .filter((row) => row.offsetParent !== null).map((row) => row.dataset.verdict);
  }
  const resources = performance.getEntriesByType("resource").map((each) => each.name);
  found.fetched = resources.filter((name) => !name.startsWith("data:"));
  found.problems = problems;
  parent.postMessage(found, "*");
});
</script>"""

FRAME = """<!DOCTYPE html><link rel="icon" href="data:,">
<iframe src="page.html" width="{}" height="900" style="border: 0">
</iframe><script>
addEventListener("message", (event) => {{
  const out = document.createElement("pre");
  out.id = "probe"; out.textContent = JSON.stringify(event.data);
  document.body.append(out);
}});
</script>"""  # a browser's window has a least width, a frame has not


class Page(HTMLParser):
    """Tags with their attributes, and the table's cells, of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self._cell = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        self._cell = tag in ("td", "button")
        if tag == "td":
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self._cell = False if tag in ("td", "button") else self._cell

    def handle_data(self, data):
        if self._cell and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def as_mnist(real):
    """The fixture's runs as if they were of the paper's MNIST, so that its numbers are there."""
    return real.assign(dataset="mnist")


@pytest.fixture(scope="module")
def text(as_mnist):
    return report.page(as_mnist, catalogue(), [("cut-short", "not finished: 2 epochs so far")], "make <it>", ["2 runs"])


# ---- what is in it


def cell_rows(frame):
    """Rows of the table by (data set, network, method, sparsity asked)."""
    found = [dict(zip(report.HEADER, row.entries, strict=True)) for row in report.table_rows(frame)]
    return {tuple(row[name].text for name in report.HEADER[:4]): row for row in found}


def test_the_table_has_the_means_of_the_raw_rows(folder, as_mnist):
    last = [raw_rows(next(folder.glob(f"*-bayes_magnitude-0.9-seed{seed}-*")))[-1] for seed in (0, 1)]
    row = cell_rows(as_mnist)["MNIST", "FCN", "Bayes magnitude", "90%"]
    for name, column in (
        ("Accuracy before pruning", "test_accuracy"),
        ("Accuracy after pruning", "pruned_test_accuracy"),
    ):
        first, second = (float(values[column]) for values in last)
        mean, deviation = (first + second) / 2, abs(first - second) / 2**0.5
        assert row[name].text == f"{mean:.4f} ± {deviation:.4f} (n = 2)"
        assert float(row[name].key) == pytest.approx(mean, rel=1e-15)
    zeros = sum(float(values["sparsity"]) for values in last) / 2
    assert zeros == pytest.approx(0.9, abs=5e-4)
    assert row["Zeros after pruning"].text == "90%"
    assert row["Paper"].text == "0.9772"
    before = sum(float(values["test_accuracy"]) for values in last) / 2
    assert row["Before minus paper"].text == f"{before - 0.9772:+.4f}"
    keys = {"Sparsity asked": 0.9, "Zeros after pruning": zeros, "Paper": 0.9772, "Before minus paper": before - 0.9772}
    assert {name: float(row[name].key) for name in keys} == pytest.approx(keys)  # by which the page sorts its rows


def test_bayes_minus_classic_is_paired_by_seed():
    parts = [runs("mnist fcn random 0.5", seeds=3, test_accuracy=lambda e, s: 0.5 + 0.1 * s)]
    parts.append(runs("mnist fcn bayes_random 0.5", seeds=3, test_accuracy=lambda e, s: 0.52 + 0.1 * s))
    rows = cell_rows(frame(*parts))
    assert rows["MNIST", "FCN", "Bayes random", "50%"]["Bayes minus classic, before"].text.startswith("+0.0200 [+0.02")
    assert rows["MNIST", "FCN", "random", "50%"]["Bayes minus classic, before"].text == ""


def test_the_table_has_the_papers_126_rows_and_marks_those_without_runs(as_mnist):
    rows = report.table_rows(as_mnist)
    assert len(rows) == 6 * (1 + 5 * 4)
    assert sum(not row.missing for row in rows) == 1 + 2 * 4
    for row in rows:
        accuracy = row.entries[report.HEADER.index("Accuracy before pruning")]
        assert (accuracy.text == "missing") == row.missing
        assert (accuracy.key == "") == row.missing
        assert (row.entries[report.HEADER.index("Zeros after pruning")].text == "missing") == row.missing


def test_every_image_is_inside_the_page_and_has_words(text):
    images = Page(text).of("img")
    assert len(images) == 3  # figures 5, 6 and the accuracies
    for image in images:
        assert image["src"].startswith("data:image/svg+xml;base64,")
        assert len(image["alt"]) > 40


def test_figures_without_runs_are_listed(text):
    assert "<li>Figure 21. CIFAR-10, CNN: test loss of Bayes magnitude pruning</li>" in text
    assert "<li>Figure 5." not in text


def test_nothing_in_the_page_points_outside_it(text):
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "object", "embed")
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, name)
    styles = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    assert "url(" not in styles
    assert "@import" not in styles
    [policy] = [meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert any(meta.get("name") == "viewport" for meta in page.of("meta"))


def test_what_made_it_is_there_and_escaped(text, as_mnist):
    assert "make &lt;it&gt;" in text
    assert "cut-short: not finished: 2 epochs so far" in text
    assert PROTOCOL in text
    assert "bayes_pruning 0." in text
    assert "matplotlib 3." in text
    assert verdicts.summary(verdicts.check(as_mnist)) in text


def test_every_finding_is_in_the_page(text, as_mnist):
    told = [attributes["data-verdict"] for attributes in Page(text).of("tr") if "data-verdict" in attributes]
    outcomes = [finding.verdict.outcome for finding in verdicts.check(as_mnist)]
    assert told == [outcome for outcome in outcomes if outcome != "undecided"] + ["undecided"] * outcomes.count(
        "undecided"
    )


def test_sweep_command_names_what_the_runs_are():
    found = frame(runs("mnist fcn none"), runs("mnist cnn random 0.5", seeds=3), runs("mnist cnn random 0.99"))
    assert report.sweep_command(found) == (
        "python train.py -m dataset=mnist model=cnn,fcn pruner=none,random sparsity=0.5,0.99 seed=0,1,2 epochs=8"
    )


def test_sweep_command_trains_the_reading_and_the_length_that_the_runs_have():
    candidate = PROTOCOL.replace("previous", "candidate")
    found = frame(
        runs("mnist fcn bayes_random 0.5", protocol=candidate),
        runs("mnist fcn matched_random 0.5", protocol=candidate),  # which takes an option that no name says
        runs("mnist fcn magnitude 0.0", protocol=candidate),
    )
    assert report.sweep_command(read_out(found, 3)) == (
        "python train.py -m protocol=candidate dataset=mnist model=fcn pruner=bayes_random,magnitude sparsity=0.0,0.5 "
        "seed=0,1 epochs=8"
    )


def test_origins_are_the_same_from_a_folder_and_its_archive(folder, real, tmp_path):
    publish(folder, tmp_path / "runs.parquet")
    said = summary(next(folder.glob("*none-seed0*")))
    [line] = report.origins(folder, real)
    assert line.startswith(f"{real['hash'].nunique()} runs: python {said['versions']['python']}, torch ")
    assert f"commit {said['git_commit']}" in line
    assert report.origins(tmp_path / "runs.parquet", real) == [line]
    assert report.origins(tmp_path, real) == [line]


def test_origins_begin_with_what_made_most_runs(monkeypatch):
    said = {"a": {"device": "cpu", "git_commit": None}, "b": {"device": "cuda", "git_commit": "1f"}}
    said = {run: about | {"versions": {"torch": "2.1"}} for run, about in (said | {"c": said["b"]}).items()}
    monkeypatch.setattr(report, "load_summaries", lambda _: said)
    assert report.origins("somewhere", pd.DataFrame({"run": ["a", "a", "b", "c"]})) == [
        "2 runs: torch 2.1; device cuda; commit 1f", "1 run: torch 2.1; device cpu; commit unknown"
    ]  # fmt: skip


# ---- in a browser


def browse(page, folder, width):
    """What the probe found in headless Chromium, and what the console said."""
    path = folder / "page.html"
    path.write_text(page.replace("<head>", "<head>" + WATCH).replace("</body>", PROBE + "</body>"), encoding="utf-8")
    outer = folder / "frame.html"
    outer.write_text(FRAME.format(width))
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", outer.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.slow
@pytest.mark.needs("chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_works_offline_in_a_browser(text, as_mnist, tmp_path, width):
    found, console = browse(text, tmp_path, width)
    assert (found["problems"], console, found["fetched"]) == ([], [], [])
    assert found["width"] == width
    assert found["scroll"] <= width  # no part of the page is wider than the screen
    assert [drawn for drawn, _ in found["images"]] == [True] * 3
    assert found["all"] == 9  # what is there comes first, what is missing is folded away
    assert (found["folded"], found["unfolded"]) == (0, 117)
    known = [float(key) for key in found["ascending"] if key]
    assert len(known) == 9
    assert known == sorted(known)
    assert found["sorted"] == "ascending"
    assert [float(key) for key in found["descending"] if key] == known[::-1]
    assert found["methods"] == sorted(found["methods"])
    assert len(found["filtered"]) == 2
    assert all("Bayes" in row and "90%" in row for row in found["filtered"])
    outcomes = [finding.verdict.outcome for finding in verdicts.check(as_mnist)]
    for outcome, shown in found["verdicts"].items():
        assert 0 < len(shown) < len(outcomes)  # some are shown, and not all
        assert shown == [outcome] * outcomes.count(outcome)


@pytest.mark.slow
@pytest.mark.needs("chromium")
def test_the_browser_test_would_see_a_fetch_and_an_error(text, tmp_path):
    """The page with its policy taken out, an image from elsewhere and a broken line of script put in."""
    unsafe = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", text, flags=re.S)
    broken = '<img src="http://127.0.0.1:9/x.png" alt="x"><script>nothing.here();</script></body>'
    found, console = browse(unsafe.replace("</body>", broken), tmp_path, 600)
    assert any("nothing" in problem for problem in found["problems"])
    assert any("nothing" in line for line in console)
    assert found["fetched"] == ["http://127.0.0.1:9/x.png"]


# ---- the script


def test_script_writes_one_page(script, folder, tmp_path):
    code, printed = script("make_report.py", folder, "--mnist", "mnist_5k", "--out", tmp_path / "a new" / "page.html")
    assert code == 0
    [path] = (tmp_path / "a new").iterdir()
    assert printed.startswith(f"{path}: ")
    page = path.read_text()
    assert len(Page(page).of("img")) == 3
    typed = f"python scripts/make_report.py {folder} --mnist mnist_5k --out '{path}'"
    assert typed in html.unescape(page)
    assert "runs: python 3." in page


def test_the_installed_command_is_shown_as_it_was_called(folder, tmp_path, monkeypatch):
    [run] = folder.glob("*none-seed0*")
    monkeypatch.setattr("sys.argv", ["bayes-pruning", "report", str(run), "--out", str(tmp_path / "page.html")])
    commands.main()
    page = (tmp_path / "page.html").read_text()
    assert f"<pre>bayes-pruning report {run} --out {tmp_path}/page.html</pre>" in page
    assert "as far as data set, network, pruner,\nsparsity, seed and length say" in page


def test_script_on_nothing(script, tmp_path):
    assert_one_sentence_each(script, "make_report.py", tmp_path, "--out", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_script_on_one_run(script, folder, tmp_path):
    code, _ = script("make_report.py", next(folder.glob("*none-seed0*")), "--out", tmp_path / "page.html")
    assert code == 0
    page = (tmp_path / "page.html").read_text()
    assert Page(page).of("img") == []
    assert "1 finished run." in page


def test_script_refuses_to_mix_two_protocols(script, folder, tmp_path):
    both = tmp_path / "runs"
    shutil.copytree(folder, both)
    other = shutil.copytree(next(both.glob("*bayes_random-0.5-seed0*")), both / "other")
    rewrite_summary(other, hash="0000000000", protocol=summary(other)["protocol"] | {"beta": 2.0})
    code, _ = script("make_report.py", both, "--out", tmp_path / "page.html")
    assert code.startswith("The runs follow 2 protocols")
    assert "\n" not in code


def test_the_page_is_the_same_each_time(as_mnist, text):
    again = report.page(
        as_mnist, catalogue(), [("cut-short", "not finished: 2 epochs so far")], "make <it>", ["2 runs"]
    )
    assert again == text
