"""Page objects for what a user does in Airflow's UI. Each of them waits for something visible, never for a time."""

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
#: JavaScript that replaces one text by another in everything that a page shows.
REPLACE_TEXT_SCRIPT = """([old, other]) => {
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
class Screenshots:
    """Takes screenshots and numbers them in the order in which they are taken.

    :param folder: Folder for the screenshots.
    :param taken: Number of screenshots so far.
    """

    folder: Path
    taken: int = 0

    def take(self, page: Page, name: str) -> None:
        self.taken += 1
        page.screenshot(path=self.folder / f"{self.taken:02}-{name}.png", animations="disabled")

    def for_docs(self, page: Page, name: str, *, height: int) -> None:
        """Take a screenshot of the upper part of the page for the documentation, under its file name there.

        The path of this checkout is replaced by the one that the documentation uses.

        :param height: Height of the part in pixels.
        """
        page.evaluate(REPLACE_TEXT_SCRIPT, [str(ROOT), "/home/you/airflow-provider-vectorize"])
        clip = {"x": 0, "y": 0, "width": 1280, "height": height}
        page.screenshot(path=self.folder / "docs" / f"{name}.png", animations="disabled", clip=clip)  # type: ignore[arg-type]


class ConnectionForm:
    """The dialog that adds or edits a connection. Only one of its sections is open at a time."""

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
        """Return one of Airflow's own fields, by its label."""
        return self.dialog.get_by_label(label, exact=True)

    def extra(self, name: str) -> Locator:
        """Return a field of the connection type, by its name, because Airflow does not link labels to these fields."""
        return self.dialog.locator(f"[name=element_{name}]")

    def extra_group(self, name: str) -> Locator:
        """Return a field of the connection type together with its label and help text."""
        return self.dialog.get_by_role("group").filter(has=self.page.locator(f"[name=element_{name}]")).first

    def save(self) -> None:
        self.save_button.click()
        self.dialog.wait_for(state="hidden")

    def close(self) -> None:
        self.dialog.get_by_role("button", name="Close").click()
        self.dialog.wait_for(state="hidden")


class Connections:
    """The page "Admin, Connections"."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def open(self) -> None:
        """Open the page from the menu. If it is already open, reload it, because pop-ups of it may cover buttons."""
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
        """Click the test icon of a connection, and return the text of the notification."""
        self.open()
        self.row(connection_id).get_by_role("button", name="Test Connection").click()
        notification = self.page.get_by_role("status").filter(has_text=re.compile("^Test Connection"))
        notification.wait_for()
        return " ".join(notification.inner_text().split("\n"))


@dataclass(frozen=True)
class Run:
    """A run of a DAG, and the pages of its tasks.

    :param states: Pairs of task id and state, in the order in which they were observed.
    """

    page: Page
    dag_id: str
    run_id: str
    states: tuple[tuple[str, str], ...] = ()

    def open(self) -> None:
        self.page.goto(f"/dags/{self.dag_id}/runs/{quote(self.run_id)}")

    def task(self, task_id: str) -> None:
        """Click a task in the table of the run, which opens its log."""
        self.open()
        self.page.get_by_role("table").get_by_role("link", name=task_id, exact=True).click()
        self.page.get_by_role("heading", name=task_id, exact=True).wait_for()

    def tab(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).click()

    def log(self, expected: str) -> str:
        """Return the log of the task once one of its lines contains the expected text."""
        lines = self.page.locator("code code")
        lines.filter(has_text=expected).first.wait_for()
        return "\n".join(lines.all_inner_texts())

    def xcoms(self, expected: str) -> dict[str, str]:
        """Return the keys and values that the page shows, once it shows the expected key."""
        self.tab("Storage")
        self.tab("XCom")
        self.page.get_by_role("cell", name=expected, exact=True).wait_for()
        # The page loads each value with its own request.
        self.page.wait_for_function(
            "[...document.querySelectorAll('tbody tr')].every(row => row.cells[2].innerText.trim())"
        )
        rows = self.page.get_by_role("table").get_by_role("row").all()[1:]
        cells = [row.get_by_role("cell").all_inner_texts() for row in rows]
        return {row[0].strip(): row[2].partition("\n")[0] for row in cells}  # The second line is the button Copy.

    def rendered_templates(self) -> dict[str, str]:
        """Return the fields and values that the page shows."""
        self.tab("Rendered Templates")
        self.page.get_by_role("row").first.wait_for()
        cells = [row.get_by_role("cell").all_inner_texts() for row in self.page.get_by_role("row").all()]
        # The syntax highlighting puts line breaks between the words of a value.
        return {row[0].strip(): "".join(row[1].split()) for row in cells if len(row) > 1}


def trigger(page: Page, dag_id: str, parameters: dict[str, str], inspect_dialog: Callable[[], None]) -> Run:
    """Trigger a run with the buttons of the DAG's page and of its dialog.

    :param inspect_dialog: Called when the dialog is filled in, before its button is clicked.
    """
    page.goto(f"/dags/{dag_id}")
    page.get_by_role("button", name="Trigger").first.click()
    dialog = page.get_by_role("dialog")
    for name, value in parameters.items():
        dialog.locator(f"[name=element_{name}]").fill(value)
    inspect_dialog()
    dialog.get_by_role("button", name="Trigger", exact=True).click()
    page.wait_for_url(re.compile(r"/runs/"))
    run_id = unquote(page.url.partition("/runs/")[2].split("/")[0].split("?")[0])
    return Run(page, dag_id, run_id)
