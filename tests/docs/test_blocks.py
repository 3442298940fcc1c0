"""Every block of code in README and docs is run or checked somewhere; this knows where, and does what is left over."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import textwrap
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook
from airflow_provider_vectorize.load.progress import Progress
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.local.serve import banner, parser
from tests.airflow.runs import readme_dag
from tests.airflow.test_example_dags import EXAMPLES
from tests.docs.test_pages import PAGES

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


class Block(NamedTuple):
    """One between fences."""

    page: Path
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        return [
            line.removeprefix("$ ").partition("  #")[0].rstrip()
            for line in self.text.split("\n")
            if line.startswith("$ ")
        ]

    @property
    def output(self) -> list[str]:
        return [line for line in self.text.rstrip("\n").split("\n") if not line.startswith("$ ")]


BLOCKS = [
    Block(page, language, textwrap.dedent(text))
    for page in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")])
    for language, text in re.findall(r"^ *```(\w+)\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL)
]


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def test_there_is_no_other_language() -> None:
    assert {block.language for block in BLOCKS} == {"console", "json", "mermaid", "python", "text"}


def test_every_python_is_run() -> None:
    for page, _, text in of("python"):
        if text.startswith("--8<--"):  # by tests/airflow/test_example_dags.py
            (name,) = re.findall(r'"example_dags/(\w+)\.py"', text)
            assert name in (*EXAMPLES, "quickstart", "after_load")
        elif page.name == "README.md" and page.parent == ROOT:  # by the same
            assert text == readme_dag(page)
        else:  # by test_pages.py and test_test_your_dags.py here, and by tests/local/test_docs.py
            assert page in PAGES or page.name in ("local-vectorize.md", "test-your-dags.md"), page


def test_every_text_is_the_tree_of_errors_or_a_line_about_progress() -> None:
    nothing = Receipt("upsert", "docs")
    progress = Progress(
        dataclasses.replace(nothing, vectors=30_000, bytes_sent=284_200_000),
        nothing,
        0.508,
        0.0,
        284.2 / 114.9,
        7,
        0,
        0,
        0.0,
    )
    assert {block.page.name: block.text.split("\n")[0] for block in of("text")} == {
        "errors.md": "VectorizeError",
        "progress.md": str(progress),
    }


@pytest.mark.parametrize("block", of("json"), ids=lambda block: block.page.name)
def test_every_json_is_a_row(block: Block) -> None:
    row = json.loads(block.text)
    assert set(row) == {"id", "values", "namespace", "metadata"}


def commands() -> list[str]:
    return sorted({command for block in of("console") for command in block.commands})


@pytest.mark.parametrize("command", commands())
def test_every_command_can_be_given(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    match shlex.split(command):
        case ["make", verb]:
            assert re.search(rf"^{verb}:.*## ", MAKEFILE, re.MULTILINE)
        case ["pip", "install", *constraint, what]:
            assert re.fullmatch(r"(?:\.|airflow-provider-vectorize)\[(\w+)\]", what)
            assert set(re.findall(r"\[(\w+)\]", what)) <= EXTRAS
            assert not constraint or (ROOT / constraint[1]).exists()
        case ["python", "-m", "airflow_provider_vectorize.local", *options]:  # run by tests/local/test_command.py
            parser().parse_args(options)
        case ["export", *settings]:
            for setting in settings:
                check_setting(*setting.split("=", 1), monkeypatch)
        case ["python3.11", "-m", "venv", "venv", "&&", ".", "venv/bin/activate"] | [".", "venv/bin/activate"]:
            pass  # by make test-wheel, in its own way
        case ["airflow", "standalone"]:
            pass  # by make test-ui, process by process
        case ["curl", *_] | ["npx", "wrangler", *_]:
            pass  # by tests/clients/test_local_vectorize_page.py
        case ["pytest", "tests"]:
            pass  # by test_test_your_dags.py
        case ["rm", "-rf", *folders]:  # what git ignores, and nothing else
            assert {f"/{folder}/" for folder in folders} <= set((ROOT / ".gitignore").read_text().split("\n"))
        case _:
            pytest.fail("say here how it is checked")


def check_setting(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "AIRFLOW_CONN_VECTORIZE_DEFAULT":
        monkeypatch.setenv(
            name, value.replace("<account id>", "0" * 32).replace("<API token>", "t").replace("<token>", "t")
        )
        with VectorizeHook().get_conn() as client:
            assert client.credentials.account_id == "0" * 32
    elif name.startswith("CLOUDFLARE_") or name == "VECTORIZE":
        pass  # by tests/clients/test_local_vectorize_page.py
    elif name != "AIRFLOW_HOME":
        from airflow.configuration import conf

        _, section, option = name.lower().split("__")
        # Airflow 2 has not all of Airflow 3's.
        assert conf.has_option(section, option) or not conf.has_section("api_auth"), name


def test_the_local_vectorize_prints_what_its_page_shows() -> None:
    (block,) = (block for block in of("console") if block.output)
    options = parser().parse_args(["--data", "./vectorize-data"])
    printed = banner("http://127.0.0.1:8787/client/v4", options.data, options).split("\n")
    *shown, last = block.output
    assert shown == printed[:-1]
    assert printed[-1].startswith(last.removesuffix("...}'"))


def test_readme_and_quickstart_give_the_same_commands() -> None:
    pages = {
        name: [c for b in of("console") if b.page.name == name for c in b.commands]
        for name in ("README.md", "quickstart.md")
    }
    given = "\n".join(pages["README.md"])
    assert "\n".join(pages["quickstart.md"]) in given


def test_the_limits_are_those_of_the_code() -> None:
    page = (ROOT / "docs/guarantees.md").read_text()
    told = {
        name: int(number.replace(",", ""))
        for name, number in re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", page, re.MULTILINE)
    }
    limits = dataclasses.asdict(Limits())
    assert f"| `index_name_pattern` | `{limits.pop('index_name_pattern')}` |" in page
    assert told == limits


@pytest.mark.parametrize(
    "page", sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")}), ids=lambda page: page.name
)
def test_every_link_and_picture_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_picture_is_shown_and_small() -> None:
    text = "".join(page.read_text() for page in (ROOT / "docs").rglob("*.md"))
    pictures = list((ROOT / "docs/images").glob("*"))
    assert len(pictures) >= 8
    for picture in pictures:
        assert f"images/{picture.name})" in text
        assert picture.stat().st_size < 150_000
