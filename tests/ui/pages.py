"""What a user does on Airflow's pages, in words of the pages. Every wait is for something that is to be seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

DEFAULT_CONNECTION = "vectorize_default"
ROOT = Path(__file__).parents[2]
#: What is to be seen on a page, with one text in place of another.
REPLACE = """([old, other]) => {
    for (const field of document.querySelectorAll('input')) {
        if (field.value.includes(old)) field.value = field.value.replaceAll(old, other);
    }
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode;
        if (text.data.includes(old)) text.data = text.data.replaceAll(old, other);
    }
}"""


@dataclass
class Shots:
    """Screenshots, numbered in the order in which they are taken."""

    folder: Path
    taken: int = 0

    def take(self, page: Page, name: str) -> None:
        self.taken += 1
        page.screenshot(path=self.folder / f"{self.taken:02}-{name}.png", animations="disabled")

    def for_docs(self, page: Page, name: str, *, height: int) -> None:
        """One for the documentation, under the name that it has there: the upper part of the page.

        The folder of this checkout, which is nobody else's, reads as that of a reader.
        """
        page.evaluate(REPLACE, [str(ROOT), "/home/you/airflow-provider-vectorize"])
        clip = {"x": 0, "y": 0, "width": 1280, "height": height}
        page.screenshot(path=self.folder / "docs" / f"{name}.png", animations="disabled", clip=clip)  # type: ignore[arg-type]


class ConnectionForm:
    """The dialog in which a connection is added or edited. One of its sections is open at a time."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.dialog = page.get_by_role("dialog")
        self.dialog.wait_for()

    @property
    def save_button(self) -> Locator:
        return self.dialog.get_by_role("button", name="Save")

    def section(self, name: str) -> Locator:
        return self.dialog.get_by_role("button", name=name, exact=True)

    def standard_fields(self) -> None:
        self._expand("Standard Fields")

    def extra_fields(self) -> None:
        self._expand("Extra Fields")

    def _expand(self, name: str) -> None:
        section = self.section(name)
        if section.get_attribute("aria-expanded") != "true":
            section.click()
        self.dialog.get_by_role("button", name=name, exact=True, expanded=True).wait_for()

    def field(self, label: str) -> Locator:
        """One of Airflow's own fields, by its label."""
        return self.dialog.get_by_label(label, exact=True)

    def extra(self, name: str) -> Locator:
        """One of the connection type's fields; Airflow does not tie their labels to them."""
        return self.dialog.locator(f"[name=element_{name}]")

    def extra_group(self, name: str) -> Locator:
        """The same with its label and its help text."""
        return self.dialog.get_by_role("group").filter(has=self.page.locator(f"[name=element_{name}]")).first

    def save(self) -> None:
        self.save_button.click()
        self.dialog.wait_for(state="hidden")

    def close(self) -> None:
        self.dialog.get_by_role("button", name="Close").click()
        self.dialog.wait_for(state="hidden")


class Connections:
    """Admin, Connections."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def open(self) -> None:
        """By the menu, as a user does. Where it is open already, what popped up there goes: it lies on buttons."""
        if self.page.url.endswith("/connections"):
            self.page.reload()
        else:
            self.page.goto("/")
            self.page.get_by_role("button", name="Admin").click()
            self.page.get_by_role("menuitem", name="Connections").click()
        self.page.get_by_role("button", name="Add Connection").wait_for()

    def add(self, connection_id: str, connection_type: str) -> ConnectionForm:
        self.page.get_by_role("button", name="Add Connection").click()
        form = ConnectionForm(self.page)
        form.dialog.get_by_role("textbox", name="Connection ID").fill(connection_id)
        form.dialog.get_by_role("combobox", name="Connection Type").fill(connection_type)
        form.dialog.get_by_role("option", name=connection_type, exact=True).click()
        form.section("Standard Fields").wait_for()
        return form

    def row(self, connection_id: str = DEFAULT_CONNECTION) -> Locator:
        return self.page.get_by_role("row", name=connection_id)

    def edit(self, connection_id: str = DEFAULT_CONNECTION) -> ConnectionForm:
        self.row(connection_id).get_by_role("button", name="Edit Connection").click()
        return ConnectionForm(self.page)

    def test(self, connection_id: str = DEFAULT_CONNECTION) -> str:
        """Press Test, and read what pops up."""
        self.open()
        self.row(connection_id).get_by_role("button", name="Test Connection").click()
        told = self.page.get_by_role("status").filter(has_text=re.compile("^Test Connection"))
        told.wait_for()
        return " ".join(told.inner_text().split("\n"))


@dataclass(frozen=True)
class Run:
    """A run of a DAG, and the pages of its tasks."""

    page: Page
    dag_id: str
    run_id: str
    states: tuple[tuple[str, str], ...] = ()

    def open(self) -> None:
        self.page.goto(f"/dags/{self.dag_id}/runs/{quote(self.run_id)}")

    def task(self, task_id: str) -> None:
        """Click the task in the run's table, and see its log."""
        self.open()
        self.page.get_by_role("table").get_by_role("link", name=task_id, exact=True).click()
        self.page.get_by_role("heading", name=task_id, exact=True).wait_for()

    def tab(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).click()

    def log(self, ending: str) -> str:
        """The task's log, once a line of it has this."""
        lines = self.page.locator("code code")
        lines.filter(has_text=ending).first.wait_for()
        return "\n".join(lines.all_inner_texts())

    def xcoms(self, expected: str) -> dict[str, str]:
        """Key and value as they are to be seen, once the expected key is there."""
        self.tab("Storage")
        self.tab("XCom")
        self.page.get_by_role("cell", name=expected, exact=True).wait_for()
        # Each value comes by a request of its own.
        self.page.wait_for_function(
            "[...document.querySelectorAll('tbody tr')].every(row => row.cells[2].innerText.trim())"
        )
        rows = self.page.get_by_role("table").get_by_role("row").all()[1:]
        cells = [row.get_by_role("cell").all_inner_texts() for row in rows]
        return {row[0].strip(): row[2].partition("\n")[0] for row in cells}  # then its button, Copy

    def rendered_templates(self) -> dict[str, str]:
        """Field and value, as they are to be seen."""
        self.tab("Rendered Templates")
        self.page.get_by_role("row").first.wait_for()
        cells = [row.get_by_role("cell").all_inner_texts() for row in self.page.get_by_role("row").all()]
        # The highlighting puts line breaks between the words of a value.
        return {row[0].strip(): "".join(row[1].split()) for row in cells if len(row) > 1}


def trigger(page: Page, dag_id: str, parameters: dict[str, str], see: Callable[[], None]) -> Run:
    """Press Trigger on the DAG's page, give the parameters, see what the dialog looks like, and press it there."""
    page.goto(f"/dags/{dag_id}")
    page.get_by_role("button", name="Trigger").first.click()
    dialog = page.get_by_role("dialog")
    for name, value in parameters.items():
        dialog.locator(f"[name=element_{name}]").fill(value)
    see()
    dialog.get_by_role("button", name="Trigger", exact=True).click()
    page.wait_for_url(re.compile(r"/runs/"))
    run_id = unquote(page.url.partition("/runs/")[2].split("/")[0].split("?")[0])
    return Run(page, dag_id, run_id)
