"""Every code block of the README and the docs is run or checked, here or in a test that is named here."""

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
from airflow_provider_vectorize.local.options import parser
from airflow_provider_vectorize.local.serve import banner
from airflow_provider_vectorize.state import _parser as state_parser
from airflow_provider_vectorize.sync.progress import SyncProgress
from airflow_provider_vectorize.sync.result import SyncResult
from tests.airflow.runs import readme_dag
from tests.airflow.test_example_dags import EXAMPLES, OTHER_EXAMPLES
from tests.docs.test_pages import DAGS, PAGES

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
#: tests/producers loads the rows, columns and operators of these pages.
PRODUCERS = ROOT / "docs" / "producers"
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


class CodeBlock(NamedTuple):
    """A fenced code block of a page."""

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


CODE_BLOCKS = [
    CodeBlock(page, language, textwrap.dedent(text))
    for page in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")])
    for language, text in re.findall(r"^ *```(\w+)\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL)
]


def blocks_in(language: str) -> list[CodeBlock]:
    return [block for block in CODE_BLOCKS if block.language == language]


def test_code_blocks_have_only_known_languages() -> None:
    assert {block.language for block in CODE_BLOCKS} == {
        "console",
        "js",
        "json",
        "mermaid",
        "python",
        "sql",
        "text",
        "typescript",
    }


def test_javascript_is_only_on_the_page_whose_examples_are_run() -> None:
    # run by tests/clients/test_local_vectorize_page.py
    assert {block.page for block in blocks_in("js")} == {ROOT / "docs/local-vectorize.md"}


def test_sql_is_only_on_pages_whose_queries_are_checked() -> None:
    # tests/airflow/test_recipes.py runs the model of the recipe with dbt.
    pages = (PRODUCERS / "warehouses.md", ROOT / "docs/query-state.md", ROOT / "docs/recipes/dbt.md")
    assert {block.page for block in blocks_in("sql")} == set(pages)


def test_typescript_is_only_on_the_page_whose_worker_is_checked() -> None:
    # tests/clients/test_worker.py checks its types and runs it.
    assert {block.page for block in blocks_in("typescript")} == {ROOT / "docs/switch-over.md"}


def test_every_python_block_is_run_by_a_test() -> None:
    for page, _, text in blocks_in("python"):
        if text.startswith("--8<--"):  # run by tests/airflow/test_example_dags.py
            ((folder, name),) = re.findall(r'"example_dags/(recipes/)?(\w+)\.py"', text)
            # tests/airflow/test_recipes.py runs the recipes
            assert (
                (ROOT / f"example_dags/recipes/{name}.py").exists() if folder else name in (*EXAMPLES, *OTHER_EXAMPLES)
            )
        elif page.name == "README.md" and page.parent == ROOT:  # run by tests/airflow/test_example_dags.py
            assert text == readme_dag(page)
        else:  # run by test_pages.py and others in this folder, and by tests/local/test_docs.py
            pages_with_tests = ("local-vectorize.md", "test-your-dags.md", "query-state.md")
            elsewhere = page.name in pages_with_tests or page.parent == PRODUCERS
            assert page in PAGES or elsewhere, page


def test_text_blocks_are_the_error_tree_and_progress_messages() -> None:
    empty = Receipt("upsert", "docs")
    progress = Progress(
        dataclasses.replace(empty, vectors=30_000, bytes_sent=284_200_000),
        empty,
        0.508,
        0.0,
        284.2 / 114.9,
        7,
        0,
        0,
        0.0,
    )
    sent = dataclasses.replace(empty, vectors=20_000, bytes_sent=330_000_000)
    sync_progress = SyncProgress(sent, empty, 0.6, 0.0, 10.0, 5, 0, 1, 0.0, 1_200_000, 1_000, 20_000, 1_179_000)
    result = SyncResult(
        "upsert",
        "docs",
        mutation_id="…",
        vectors=21_000,
        batches=10,
        bytes_sent=346_500_000,
        added=1_000,
        changed=20_000,
        unchanged=2_979_000,
        vanished=500,
        deleted=500,
        objects_skipped=3,
        rows_read=2_000_000,
    )
    texts = [block for block in blocks_in("text") if block.page.parent != PRODUCERS]
    assert {(block.page.name, block.text.split("\n")[0]) for block in texts} == {
        ("errors.md", "VectorizeError"),
        ("progress.md", str(progress)),
        ("progress.md", str(sync_progress)),
        ("progress.md", result.summary(45).removesuffix(".")),
    }


@pytest.mark.parametrize(
    "block",
    [block for block in blocks_in("json") if block.page.parent != PRODUCERS],
    ids=lambda block: block.page.name,
)
def test_every_json_block_is_a_row_with_all_fields(block: CodeBlock) -> None:
    row = json.loads(block.text)
    assert set(row) == {"id", "values", "namespace", "metadata"}


def console_commands() -> list[str]:
    return sorted({command for block in blocks_in("console") for command in block.commands})


@pytest.mark.parametrize("command", console_commands())
def test_console_command_is_valid(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    match shlex.split(command):
        case ["make", target]:
            assert re.search(rf"^{target}:.*## ", MAKEFILE, re.MULTILINE)
        case ["pip", "install", *constraint, requirement]:
            assert re.fullmatch(r"(?:\.|airflow-provider-vectorize)\[(\w+)\]", requirement)
            assert set(re.findall(r"\[(\w+)\]", requirement)) <= EXTRAS
            assert not constraint or (ROOT / constraint[1]).exists()
        case ["vectorize-local", *options] | ["python", "-m", "airflow_provider_vectorize.local", *options]:
            # run by tests/local/test_command.py
            parser().parse_args(options)
        case ["python", "-m", "airflow_provider_vectorize.state", *options]:  # run by test_query_state.py
            state_parser().parse_args(options)
        case ["airflow", "dags", "trigger", dag_id, "--conf", conf]:  # run by test_nightly_sync.py
            assert json.loads(conf).keys() <= set(re.findall(r'"{{ params\.(\w+) }}"', DAGS[dag_id]))
        case ["export", *settings]:
            for setting in settings:
                check_environment_variable(*setting.split("=", 1), monkeypatch)
        case ["python3.11", "-m", "venv", "venv", "&&", ".", "venv/bin/activate"] | [".", "venv/bin/activate"]:
            pass  # make test-wheel creates a venv in its own way
        case ["airflow", "standalone"]:
            pass  # make test-ui starts the same processes one by one
        case ["curl", *_] | ["npx", "wrangler", *_] | ["pytest", "tests"]:
            pass  # run by tests/clients/test_local_vectorize_page.py and test_test_your_dags.py
        case ["rm", "-rf", *folders]:  # only folders that git ignores
            assert {f"/{folder}/" for folder in folders} <= set((ROOT / ".gitignore").read_text().split("\n"))
        case _:
            pytest.fail("This command is not checked. Add a case that checks it or names the test that runs it.")


def check_environment_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "AIRFLOW_CONN_VECTORIZE_DEFAULT":
        monkeypatch.setenv(
            name, value.replace("<account id>", "0" * 32).replace("<API token>", "t").replace("<token>", "t")
        )
        with VectorizeHook().get_conn() as client:
            assert client.credentials.account_id == "0" * 32
    elif name.startswith("CLOUDFLARE_") or name in ("VECTORIZE", "KV"):
        pass  # used by tests/clients/test_local_vectorize_page.py
    elif name != "AIRFLOW_HOME":
        from airflow.configuration import conf

        _, section, option = name.lower().split("__")
        # Airflow 2, which has no section api_auth, lacks some options of Airflow 3.
        assert conf.has_option(section, option) or not conf.has_section("api_auth"), name


def test_local_vectorize_page_shows_the_banner_of_the_command() -> None:
    (block,) = (block for block in blocks_in("console") if block.output)
    options = parser().parse_args(["--data", "./vectorize-data"])
    printed = banner("http://127.0.0.1:8787/client/v4", options.data, options).split("\n")
    *shown, last = block.output
    assert shown == printed[:-1]
    assert printed[-1].startswith(last.removesuffix("...}'"))


def test_readme_begins_with_the_two_make_targets() -> None:
    first = next(block for block in blocks_in("console") if block.page == ROOT / "README.md")
    assert first.commands == ["make demo", "make test"]


def test_guarantees_page_lists_the_limits_of_the_code() -> None:
    page = (ROOT / "docs/guarantees.md").read_text()
    documented = {
        name: int(number.replace(",", ""))
        for name, number in re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", page, re.MULTILINE)
    }
    limits = dataclasses.asdict(Limits())
    assert f"| `index_name_pattern` | `{limits.pop('index_name_pattern')}` |" in page
    assert documented == limits


@pytest.mark.parametrize(
    "page", sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")}), ids=lambda page: page.name
)
def test_links_and_pictures_of_a_page_name_existing_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_picture_is_used_and_below_150_kb() -> None:
    text = "".join(page.read_text() for page in (ROOT / "docs").rglob("*.md"))
    pictures = list((ROOT / "docs/images").glob("*"))
    assert len(pictures) >= 8
    for picture in pictures:
        assert f"images/{picture.name})" in text
        assert picture.stat().st_size < 150_000
