"""The one table of report formats; a format is `as_NAME.py` beside this file and its row here."""

from __future__ import annotations


class Format:
    """One row: the name is that of `--format`, and the module `as_NAME.py` holds `text(report)`.

    `file` is the name beside report.json, empty where `up` and `check` write no such file.
    `templates` are read by the caller and passed to `text` as a second argument, by name.
    """

    # A plain class: every start of the command line reads this table, and msgspec costs more.
    def __init__(self, file: str = "", templates: tuple[str, ...] = ()) -> None:
        self.file, self.templates = file, templates


FORMATS = {
    "text": Format(),
    "markdown": Format(file="report.md"),
    "json": Format(),
    "junit": Format(file="junit.xml"),
    "prometheus": Format(),
    "html": Format(
        file="report.html", templates=("page.html", "page.css", "page.js", "chart.html")
    ),
}
