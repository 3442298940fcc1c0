"""What Airflow learns of the provider: its metadata, its connection form, and that all of it can be imported."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import airflow
import pytest
from airflow.providers.common.compat.sdk import BaseHook, BaseOperator, BaseSensorOperator
from airflow.providers_manager import ProvidersManager
from airflow.triggers.base import BaseTrigger
from jsonschema import Draft7Validator

import airflow_provider_vectorize
from airflow_provider_vectorize import provider_info
from airflow_provider_vectorize.hooks.vectorize import VectorizeHook

pytestmark = pytest.mark.airflow
INFO = provider_info.get_provider_info()
SCHEMAS = Path(airflow.__file__).parent


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / name).read_text())
    return found


def modules(kind: str) -> list[str]:
    return [name for item in INFO[kind] for name in item["python-modules"]]


def test_the_metadata_is_what_airflow_takes_at_run_time() -> None:
    Draft7Validator(schema("provider_info.schema.json")).validate(INFO)


def test_the_connection_form_is_what_airflow_takes_from_its_own_providers() -> None:
    path = SCHEMAS / "provider.yaml.schema.json"
    if not path.exists() or "conn-fields" not in path.read_text():
        pytest.skip("this Airflow reads the form from the hook")
    full = schema(path.name)
    form = full["properties"]["connection-types"] | {"definitions": full.get("definitions", {})}
    Draft7Validator(form).validate(INFO["connection-types"])


def test_airflow_finds_the_provider_by_its_entry_point() -> None:
    points = entry_points(group="apache_airflow_provider")
    (mine,) = [point for point in points if point.dist and point.dist.name == "airflow-provider-vectorize"]
    assert mine.load()() == INFO
    manager = ProvidersManager()
    provider = manager.providers["airflow-provider-vectorize"]
    assert provider.data["name"] == "Cloudflare Vectorize"
    assert provider.version == airflow_provider_vectorize.__version__


@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")
def test_airflow_finds_the_hook_and_its_form() -> None:
    manager = ProvidersManager()
    hook = manager.hooks["vectorize"]
    assert hook is not None
    assert (hook.hook_name, hook.connection_id_attribute_name) == ("Cloudflare Vectorize", "vectorize_conn_id")
    assert hook.connection_testable
    if "vectorize" not in manager.field_behaviours:
        pytest.skip("this Airflow has no form but on its pages")
    behaviour = manager.field_behaviours["vectorize"]
    assert "schema" in behaviour["hidden_fields"]
    assert behaviour["relabeling"]["password"] == "API token"


#: In a process of its own: before 3.2, what was asked for the form first answers ever after.
SHOW_FORM = """
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
(form,) = (one for one in HookMetaService.hook_meta_data() if one.connection_type == "vectorize")
print(form.model_dump_json())
"""


@pytest.mark.slow
def test_the_pages_of_airflow_show_the_form() -> None:
    pytest.importorskip("airflow.api_fastapi.core_api.services.ui.connections")
    done = subprocess.run([sys.executable, "-c", SHOW_FORM], capture_output=True, text=True, check=True)
    form = json.loads(done.stdout.splitlines()[-1])
    assert form["hook_name"] == "Cloudflare Vectorize"
    titles = {name: form["standard_fields"][name]["title"] for name in ("host", "login", "password")}
    assert titles == {"host": "API base URL", "login": "E-mail", "password": "API token"}
    assert {name: field["description"] for name, field in form["extra_fields"].items()} == {
        name: field["description"] for name, field in provider_info.CONN_FIELDS.items()
    }


def test_a_connection_makes_the_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MINE", "vectorize://:token@/")
    hook = BaseHook.get_hook("mine")
    assert isinstance(hook, VectorizeHook)
    assert hook.vectorize_conn_id == "mine"


#: No hooks, operators or triggers, but what they are made of.
INSIDE = (
    "hooks.connection",
    "hooks.endpoints",
    "hooks.loads",
    "hooks.missing_connection",
    "operators.base",
    "triggers.poll",
    "triggers.view",
)


@pytest.mark.parametrize("kind", ["hooks", "operators", "sensors", "triggers"])
def test_every_module_that_is_named_can_be_imported_and_every_module_there_is_is_named(kind: str) -> None:
    package = importlib.import_module(f"airflow_provider_vectorize.{kind}")
    there = {f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)}
    there -= {f"airflow_provider_vectorize.{name}" for name in INSIDE}
    assert set(modules(kind)) == there
    for name in modules(kind):
        importlib.import_module(name)


def classes(kind: str, base: type) -> list[type[Any]]:
    found = []
    for name in modules(kind):
        module = importlib.import_module(name)
        found += [
            one
            for one in vars(module).values()
            if isinstance(one, type) and issubclass(one, base) and one.__module__ == name
        ]
    return found


def test_the_operators_and_the_sensor_are_all_there() -> None:
    assert {cls.__name__ for cls in classes("operators", BaseOperator)} == {
        "VectorizeInsertOperator",
        "VectorizeUpsertOperator",
        "VectorizePlanLoadOperator",
        "VectorizeCreateIndexOperator",
        "VectorizeDeleteIndexOperator",
        "VectorizeCreateMetadataIndexOperator",
        "VectorizeDeleteMetadataIndexOperator",
        "VectorizeDeleteVectorsOperator",
        "VectorizeQueryOperator",
        "VectorizeGetVectorsOperator",
    }
    assert [cls.__name__ for cls in classes("sensors", BaseSensorOperator)] == ["VectorizeMutationSensor"]
    assert [cls.__name__ for cls in classes("triggers", BaseTrigger)] == ["VectorizeMutationTrigger"]


@pytest.mark.parametrize("cls", classes("operators", BaseOperator) + classes("sensors", BaseSensorOperator))
def test_every_template_field_is_a_parameter_that_the_docstring_calls_templated(cls: type[Any]) -> None:
    own = inspect.signature(cls.__init__).parameters
    doc = inspect.getdoc(cls) or ""
    if "Parameters, errors" in doc:  # those of the class it comes from
        doc = inspect.getdoc(cls.__bases__[0]) or ""
    described = {part.split(":")[0]: part for part in doc.split(":param ")[1:]}
    assert set(cls.template_fields) <= set(own)
    assert {"self", "kwargs", "poke_interval", *described} >= set(own)
    for name, text in described.items():
        assert ("(templated)" in text) == (name in cls.template_fields), name
        parameter = own[name]
        assert parameter.kind is parameter.KEYWORD_ONLY


@pytest.mark.parametrize("cls", classes("operators", BaseOperator) + classes("sensors", BaseSensorOperator))
def test_no_template_field_is_read_from_a_file_of_data(cls: type[Any]) -> None:
    assert not set(cls.template_ext)


@pytest.mark.parametrize("cls", classes("operators", BaseOperator))
def test_every_parameter_that_is_checked_can_be_a_template(cls: type[Any]) -> None:
    """But for those that are objects, or decide before the task runs."""
    own = set(inspect.signature(cls.__init__).parameters)
    assert set(cls.parameter_checks) & own - {"limits", "durable"} <= set(cls.template_fields)


def test_reading_the_metadata_needs_neither_a_hook_nor_a_client() -> None:
    source = Path(provider_info.__file__).read_text()
    assert "from airflow" not in source.replace("from airflow_provider_vectorize", "")
