"""One self-contained page of results: tables to sort and filter, figures with their values.

It needs no network, and shows everything without its script too, only not sorted or filtered.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from string import Template

from foretune.records import AgreementRecord, PublishedRecord, TuningRecord

from ..figures import Drawing, palette
from ..settings import judged
from ..tables import Ratio
from . import tables

__all__ = ["page"]

_TITLE = "foretune: results"
_INTRODUCTION = (
    "Transferability estimators score pre-trained speech models, and the layers of each, for a task before "
    "fine-tuning. Here their rankings are held against those of real fine-tuning. Rows in italics are "
    "baselines that look at no label of the task."
)
_PAGE = {"page": ("#ffffff", "#0d1117"), "raised": ("#f3f5f7", "#171c24"), "link": ("#0a58ca", "#79b8ff")}


def page(
    agreements: Sequence[AgreementRecord],
    runs: Sequence[TuningRecord] = (),
    tabulated: Sequence[PublishedRecord] = (),
    drawings: Sequence[Drawing] = (),
    *,
    ratio: Ratio = lambda cell: None,
) -> str:
    """Return the page, the same bytes for the same records.

    Args:
        agreements: one a cell; of any suites.
        runs: the fine-tuning behind them.
        tabulated: what was found in published results of real models.
        drawings: the figures, by `figures.draw`.
        ratio: what fine-tuning a cell's candidates costs over what scoring them does; None where not known.
    """
    agreements = sorted(agreements, key=lambda cell: cell.key)
    shown = [tables.summary(agreements, ratio), tables.agreements_table(agreements, ratio)]
    shown += [tables.candidates(agreements)]
    shown += [tables.published(tabulated)] if tabulated else []
    shown += [tables.provenance([*agreements, *runs])]
    sections = [table.html() for table in shown]
    names = [(table.name, table.heading) for table in shown]
    if drawings:
        sections.insert(1, _figures(drawings))
        names.insert(1, ("figures", "Figures"))
    script = _resource("page.js")
    return Template(_resource("page.html")).substitute(
        title=escape(_TITLE),
        introduction=escape(_INTRODUCTION),
        contents="\n".join(f'<li><a href="#{name}">{escape(text)}</a></li>' for name, text in names),
        filters=_filters(agreements, tabulated),
        colours=_colours(),
        style=_resource("page.css"),
        sections="\n".join(sections),
        script=script,
        script_hash=_hash(f"\n{script}"),
    )


def _resource(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """Return what lets only this script run (Content Security Policy, level 3, W3C)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _colours() -> str:
    """Return the colours of page and figures as custom properties: light, dark, and light on paper."""
    both = {name: (light, dark) for light, (name, dark) in palette.ROLES.items()} | _PAGE
    light, dark = (
        ":root{" + ";".join(f"--{name}:{pair[index]}" for name, pair in both.items()) + "}"
        for index in (0, 1)
    )
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{{dark}}}"


def _figures(drawings: Iterable[Drawing]) -> str:
    parts = [
        '<section id="figures" aria-labelledby="figures-heading">',
        '<h2 id="figures-heading">Figures</h2>',
        "<p>Point at a mark to see its value, or move the focus to a figure and use the arrow keys.</p>",
    ]
    for drawing in drawings:
        suite = f' data-suite="{escape(drawing.suite)}"' if drawing.suite else ""
        family = f' data-family="{escape(drawing.task)}"' if drawing.task else ""
        where = f" ({drawing.suite})" if drawing.suite else ""
        svg = palette.styled(drawing.svg).replace(
            "<svg ", f'<svg role="group" aria-labelledby="{drawing.name}-caption" ', 1
        )
        parts.append(
            f'<figure id="{drawing.name}"{suite}{family}>\n<h3>{escape(drawing.title + where)}</h3>\n'
            f'<div class="drawing">{svg}</div>\n'
            f'<figcaption id="{drawing.name}-caption">{escape(drawing.alt)}</figcaption>\n</figure>'
        )
    return "\n".join([*parts, "</section>"])


def _filters(agreements: Sequence[AgreementRecord], tabulated: Sequence[PublishedRecord]) -> str:
    found = {
        name: sorted({str(getattr(cell, name)) for cell in (*agreements, *tabulated)})
        for name in ("suite", "task", "setting", "estimator")
    }
    found["protocol"] = sorted({tables.protocol_of(setting) for setting in judged(agreements)})
    parts = [_select(name, found[name]) for name in ("suite", "task", "setting", "protocol")]
    options = "".join(f'<option value="{escape(name)}"></option>' for name in found["estimator"])
    parts.append(
        '<label>Estimator <input type="search" name="estimator" list="estimators" autocomplete="off" '
        f'spellcheck="false"></label><datalist id="estimators">{options}</datalist>'
    )
    return "\n".join(parts)


def _select(name: str, values: Iterable[str]) -> str:
    options = "".join(f'<option value="{escape(value)}">{escape(value)}</option>' for value in values)
    return (
        f'<label>{name.capitalize()} <select name="{name}"><option value="">all</option>{options}</select>'
        "</label>"
    )
