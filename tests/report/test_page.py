"""The page of results: its structure, that nothing escapes from records into markup, and that it works.

What its script does is tried in Chromium, where that is installed.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from foretune import records
from foretune.report import figures, write_report
from foretune.report.page import page

VOID = {"meta", "input", "wbr", "link", "br", "img"}
ODD = "</td><script>alert('1')</script>\"&amp;"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Document(HTMLParser):
    """A page as its elements: (tag, attributes, the text inside), and the tags around each."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.open = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        element = (tag, dict(attrs), [], [each[0] for each in self.open])
        assert len(attrs) == len(element[1]), f"an attribute of {tag} is there twice"
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, _, texts, _ in self.open:
            texts.append(data)

    def all(self, tag):
        return [(attributes, "".join(texts)) for name, attributes, texts, _ in self.elements if name == tag]

    def table(self, name):
        """Return a table's rows as texts, the header first, and the values of each cell to sort by."""
        rows = []
        inside = False
        for tag, attributes, texts, _ in self.elements:
            if tag == "section":
                inside = attributes["id"] == name
            if inside and tag == "tr":
                rows.append([])
            if inside and tag in ("th", "td"):
                rows[-1].append(("".join(texts), attributes.get("data-value")))
        return rows


class TestStructure:
    def test_is_a_document_that_can_be_read_without_looking(self, study):
        found = Document(page(study, drawings=figures.draw(study)))
        assert dict(found.all("html")[0][0]) == {"lang": "en"}
        assert found.all("title")[0][1]
        names = [attributes["id"] for _, attributes, *_ in found.elements if "id" in attributes]
        assert len(names) == len(set(names))
        for _, attributes, *_ in found.elements:
            assert attributes.get("aria-labelledby", names[0]) in names
        assert len(found.all("caption")) == len(found.all("table"))
        for attributes, _ in found.all("th"):
            assert attributes["scope"] in ("col", "row")
        fields = [(tag, around) for tag, _, _, around in found.elements if tag in ("select", "input")]
        assert len(fields) == 5
        assert all("label" in around for _, around in fields)
        assert [tag for tag in ("h1", "main", "nav", "header") if len(found.all(tag)) != 1] == []

    def test_links_lead_somewhere_on_the_page(self, study):
        found = Document(page(study, drawings=figures.draw(study)))
        names = {attributes["id"] for _, attributes, *_ in found.elements if "id" in attributes}
        targets = [attributes["href"] for attributes, _ in found.all("a")]
        assert targets
        assert {target.removeprefix("#") for target in targets} <= names

    def test_without_its_script_there_are_tables_and_no_controls(self, study):
        found = Document(page(study))
        assert "hidden" in found.all("form")[0][0]
        assert not [around for tag, _, _, around in found.elements if tag == "button" and "table" in around]


class TestTables:
    def test_every_agreement_and_its_values(self, study):
        head, *rows = Document(page(study)).table("settings")
        columns = [text for text, _ in head]
        assert columns[:7] == ["estimator", "suite", "task", "setting", "layers' scores", "n", "ρ"]
        assert len(rows) == len(study)
        by_name = [dict(zip(columns, row, strict=True)) for row in rows]
        ours = next(
            row for row in by_name if row["estimator"][0] == "logme" and row["layers' scores"][0] == "each"
        )
        assert ours["setting"] == ("layers of hubert", None)
        assert ours["ρ"] == ("1.00", "1")
        assert ours["p"] == ("0.33", "0.333333333")
        failed = next(row for row in by_name if row["estimator"][0] == "otce")
        assert failed["ρ"] == ("–", None)
        assert failed["note"][0] == "needs source features"

    def test_columns_that_no_record_fills_are_left_out(self, layers):
        columns = [text for text, _ in Document(page([layers()])).table("settings")[0]]
        assert not {"95 %", "ceiling", "gate", "note", "partial ρ"} & set(columns)
        filled = layers(low=0.2, high=1.0, ceiling=0.9, least_spearman=0.5)
        head, row = Document(page([filled])).table("settings")
        cells = dict(zip([text for text, _ in head], row, strict=True))
        assert cells["95 %"] == ("[0.20, 1.00]", "0.2")
        assert cells["ceiling"] == ("0.90", "0.9")
        assert cells["gate"] == ("held", None)

    def test_summary(self, study):
        whole = page(study[:-1], ratio=lambda cell: cell.score_seconds)  # whatever it is, the median
        head, *rows = Document(whole).table("summary")
        assert [text for text, _ in head] == [
            "estimator", "suite", "mean ρ", "asr", "settings", "p < 0.01", "seconds", "cost ratio",
        ]  # fmt: skip
        assert [[text for text, _ in row][:5] for row in rows] == [
            ["held_out_evidence", "embedded", "0.75", "0.75", "2"],
            ["logme", "embedded", "0.75", "0.75", "2"],
            ["random", "embedded", "-0.75", "-0.75", "2"],
        ]
        assert [row[-1][0] for row in rows] == ["1.8", "1.5", "0.0020"]
        # without records of the costs there is no column: seconds may be of several machines
        assert "cost ratio" not in [text for text, _ in Document(page(study)).table("summary")[0]]

    def test_candidates_ranked_by_fine_tuning(self, layers):
        head, *rows = Document(page([layers(values=[0.9, 0.25, 0.9])])).table("candidates")
        place = [text for text, _ in head].index("rank")
        assert [(row[0][0], row[place][0]) for row in rows] == [
            ("layer 0", "2"),
            ("layer 1", "1"),
            ("layer 2", "2"),
        ]

    def test_each_candidate_has_its_own_number_of_seeds(self, layers):
        head, *rows = Document(page([layers(seeds_each=[3, 5, 3])])).table("candidates")
        place = [text for text, _ in head].index("seeds")
        assert [row[place][0] for row in rows] == ["3", "5", "3"]


class TestSafety:
    def test_names_from_records_are_text(self, layers, models):
        odd = [
            layers(ODD, task=ODD, suite=ODD, model=ODD, metric=ODD, error=ODD, reason=ODD),
            models(ODD, task=ODD, suite=ODD, names=[ODD, "b", "c"]),
        ]
        text = page(odd, drawings=figures.draw(odd))
        found = Document(text)
        assert len(found.all("script")) == 1
        assert "alert(" not in found.all("script")[0][1]
        assert (ODD, None) in found.table("settings")[1]
        assert ODD in [attributes.get("data-task") for attributes, _ in found.all("tr")]
        assert ODD in [attributes["value"] for attributes, _ in found.all("option")]

    def test_nothing_is_fetched(self, study):
        text = page(study, drawings=figures.draw(study))
        found = Document(text)
        for tag, attributes, *_ in found.elements:
            for name in ("src", "srcset", "href", "xlink:href", "action", "data", "poster"):
                assert attributes.get(name, "#").startswith("#"), tag
        assert set(re.findall(r"\w+://[^\s\"'<]*", text)) == {"http://www.w3.org/2000/svg"}
        assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", text)

    def test_only_its_own_script_may_run(self, study):
        found = Document(page(study))
        policy = next(
            attributes["content"]
            for attributes, _ in found.all("meta")
            if attributes.get("http-equiv") == "Content-Security-Policy"
        )
        digest = base64.b64encode(hashlib.sha256(found.all("script")[0][1].encode()).digest()).decode()
        assert "default-src 'none'" in policy
        assert f"script-src 'sha256-{digest}'" in policy
        assert not [name for _, attributes, *_ in found.elements for name in attributes if name[:2] == "on"]

    def test_the_same_records_give_the_same_bytes(self, study):
        drawings = [figures.draw(study[:2])] * 2
        assert page(study, drawings=drawings[0]) == page(study[::-1], drawings=drawings[1])

    def test_written_by_the_command(self, study, tmp_path, run):
        path, output = tmp_path / "records.jsonl", tmp_path / "page.html"
        for record in study[:3]:
            records.append(path, record)
        write_report([path], tmp_path / "R.md", [], html=output)
        expected = output.read_bytes()
        arguments = ["--records", path, "--output", tmp_path / "R.md", "--ground-truth", path]
        assert run("report", *arguments, "--html", output, "--no-figures")[0] == 0
        assert output.read_bytes() == expected
        code, _, err = run("report", *arguments, "--html", tmp_path / "absent" / "page.html")
        assert code == 2
        assert "--html" in err


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
class TestInChromium:
    SCRIPT = """
const found = {};
const column = (table, index) =>
  [...document.querySelectorAll(`#${table} tbody tr`)].filter((row) => !row.hidden)
    .map((row) => row.cells[index].textContent);
const click = (table, index) => document.querySelectorAll(`#${table} thead button`)[index].click();
const header = (table, index) =>
  document.querySelectorAll(`#${table} thead th`)[index].getAttribute("aria-sort");
const form = document.querySelector("form");
const choose = (name, value) => {
  form.elements[name].value = value;
  form.dispatchEvent(new Event("input", { bubbles: true }));
};
found.before = header("settings", 6);
click("settings", 6);
found.descending = [header("settings", 6), column("settings", 6)];
click("settings", 6);
found.ascending = [header("settings", 6), column("settings", 6)];
click("settings", 0);
found.names = [header("settings", 0), header("settings", 6), column("settings", 0)];
choose("task", "emotion_recognition");
found.task = column("settings", 2);
found.figures = [...document.querySelectorAll("figure:not([hidden])")].map((each) => each.id);
choose("task", "");
const protocols = ["full", "layer", "probe"].map((protocol) => {
  choose("protocol", protocol);
  return [...new Set(column("settings", 3))];
});
found.protocols = [protocols, [...new Set(column("candidates", 3))]];
choose("protocol", "");
choose("estimator", " RANDOM ");
found.estimator = column("settings", 0);
found.count = document.querySelector("output").textContent;
choose("estimator", "");
const svg = document.querySelector("#layer_curves-embedded-asr svg");
const box = document.querySelector(".value");
const press = (key) => {
  svg.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  return box.hidden ? null : box.textContent;
};
found.keys = ["ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft", "Home", "Escape"].map(press);
const mark = svg.querySelectorAll("use.point")[1].getBoundingClientRect();
const point = (x, y) => {
  svg.dispatchEvent(new PointerEvent("pointermove", { clientX: x, clientY: y, bubbles: true }));
  return box.hidden ? null : box.textContent;
};
found.hover = [point(mark.x + mark.width / 2, mark.y + mark.height / 2), point(mark.x, mark.y - 60)];
found.focusable = svg.tabIndex === 0 && !form.hidden;
const result = document.createElement("pre");
result.id = "found";
result.textContent = JSON.stringify(found);
document.body.append(result);
"""

    @pytest.fixture
    def found(self, study, models, tmp_path):
        """Return what the script above found on the page, whose policy lets it run besides the page's own."""
        probed = models(protocol="probe", layer_policy="best", p_value=1 / 3)
        text = page([*study, probed], drawings=figures.draw(study))
        digest = base64.b64encode(hashlib.sha256(self.SCRIPT.encode()).digest()).decode()
        text = text.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
        path = tmp_path / "page.html"
        path.write_text(text.replace("</body>", f"<script>{self.SCRIPT}</script></body>"), encoding="utf-8")
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-extensions"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]
        written = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout
        return json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', written)[1]))

    def test_sorts_filters_and_shows_values(self, found):
        numbers = [[text for text in found[name][1] if text != "–"] for name in ("descending", "ascending")]
        assert found["before"] == "none"
        assert found["descending"][0] == "descending"
        assert found["ascending"][0] == "ascending"
        assert numbers[0] == sorted(numbers[0], key=float, reverse=True)
        assert numbers[1] == sorted(numbers[1], key=float)
        assert found["descending"][1][-1] == found["ascending"][1][-1] == "–"  # no score is last either way
        assert found["names"][:2] == ["ascending", "none"]
        assert found["names"][2] == sorted(found["names"][2])

        assert found["task"] == ["emotion_recognition"]
        assert found["figures"] == [
            "heat_map",
            "cost-embedded",
            "scatter-nemo_real_speech-emotion_recognition",
        ]
        by_protocol = [["models, full"], ["layers of hubert"], ["models, probed"]]
        assert found["protocols"] == [by_protocol, ["models, probed"]]
        assert found["estimator"] == ["random", "random"]
        assert re.fullmatch(r"\d+ of \d+ rows", found["count"])

        first, second, back, last, home, escaped = found["keys"]
        assert first == back == home == "layer 0: WER 0.900 ± 0.010"
        assert second == "layer 1: WER 0.250 ± 0.020"
        assert "random" in last
        assert escaped is None
        assert found["hover"] == ["layer 1: WER 0.250 ± 0.020", None]
        assert found["focusable"]
