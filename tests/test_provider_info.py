"""Tests of the provider's metadata, its connection form, and the modules that the metadata names."""

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
from tests.airflow.runs import needs_airflow_3_1

pytestmark = pytest.mark.airflow
INFO = provider_info.get_provider_info()
SCHEMAS = Path(airflow.__file__).parent


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / name).read_text())
    return found


def modules(kind: str) -> list[str]:
    return [name for entry in INFO[kind] for name in entry["python-modules"]]


def test_provider_info_matches_airflows_runtime_schema() -> None:
    Draft7Validator(schema("provider_info.schema.json")).validate(INFO)


def test_connection_types_match_the_schema_of_airflows_own_providers() -> None:
    path = SCHEMAS / "provider.yaml.schema.json"
    if not path.exists() or "conn-fields" not in path.read_text():
        pytest.skip("this Airflow reads the form from the hook")
    full = schema(path.name)
    form = full["properties"]["connection-types"] | {"definitions": full.get("definitions", {})}
    Draft7Validator(form).validate(INFO["connection-types"])


def test_providers_manager_finds_the_provider_by_its_entry_point() -> None:
    providers = entry_points(group="apache_airflow_provider")
    (entry_point,) = [point for point in providers if point.dist and point.dist.name == "airflow-provider-vectorize"]
    assert entry_point.load()() == INFO
    manager = ProvidersManager()
    provider = manager.providers["airflow-provider-vectorize"]
    assert provider.data["name"] == "Cloudflare Vectorize"
    assert provider.version == airflow_provider_vectorize.__version__


@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")
def test_providers_manager_finds_the_hook_and_its_form() -> None:
    manager = ProvidersManager()
    hook = manager.hooks["vectorize"]
    assert hook is not None
    assert (hook.hook_name, hook.connection_id_attribute_name) == ("Cloudflare Vectorize", "vectorize_conn_id")
    assert hook.connection_testable
    if "vectorize" not in manager.field_behaviours:
        pytest.skip("this Airflow only has the form of its web server")
    behaviour = manager.field_behaviours["vectorize"]
    assert "schema" in behaviour["hidden_fields"]
    assert behaviour["relabeling"]["password"] == "API token"


#: Runs in a separate process, because Airflow before 3.2 caches the first form that is requested.
SHOW_FORM = """
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
(form,) = (one for one in HookMetaService.hook_meta_data() if one.connection_type == "vectorize")
print(form.model_dump_json())
"""


@needs_airflow_3_1  # It returns no fields outside of its API server.
@pytest.mark.slow
def test_connection_form_service_shows_the_fields() -> None:
    pytest.importorskip("airflow.api_fastapi.core_api.services.ui.connections")
    process = subprocess.run([sys.executable, "-c", SHOW_FORM], capture_output=True, text=True, check=True)
    form = json.loads(process.stdout.splitlines()[-1])
    assert form["hook_name"] == "Cloudflare Vectorize"
    titles = {name: form["standard_fields"][name]["title"] for name in ("host", "login", "password")}
    assert titles == {"host": "API base URL", "login": "E-mail", "password": "API token"}
    assert {name: field["description"] for name, field in form["extra_fields"].items()} == {
        name: field["description"] for name, field in provider_info.CONN_FIELDS.items()
    }


def test_get_hook_of_a_vectorize_connection_returns_the_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SAMPLE", "vectorize://:token@/")
    hook = BaseHook.get_hook("sample")
    assert isinstance(hook, VectorizeHook)
    assert hook.vectorize_conn_id == "sample"


#: Modules that define no public hook, operator or trigger.
INTERNAL_MODULES = (
    "hooks.check",
    "hooks.collecting",
    "hooks.connection",
    "hooks.endpoints",
    "hooks.loads",
    "hooks.missing_connection",
    "hooks.sources",
    "hooks.switch_over",
    "hooks.sync",
    "operators.base",
    "operators.source_task",
    "triggers.changes",
    "triggers.cursor",
    "triggers.poll",
    "triggers.view",
    "triggers.waiter",
    "triggers.watch",
)


@pytest.mark.parametrize("kind", ["hooks", "operators", "sensors", "triggers"])
def test_provider_info_names_exactly_the_existing_modules(kind: str) -> None:
    package = importlib.import_module(f"airflow_provider_vectorize.{kind}")
    existing = {f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)}
    existing -= {f"airflow_provider_vectorize.{name}" for name in INTERNAL_MODULES}
    assert set(modules(kind)) == existing
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


def test_named_modules_contain_all_operators_the_sensor_and_the_triggers() -> None:
    assert {cls.__name__ for cls in classes("operators", BaseOperator)} == {
        "VectorizeInsertOperator",
        "VectorizeUpsertOperator",
        "VectorizeSyncOperator",
        "VectorizeCheckOperator",
        "VectorizePlanLoadOperator",
        "VectorizeCreateIndexOperator",
        "VectorizeDeleteIndexOperator",
        "VectorizePublishOperator",
        "VectorizePruneIndexesOperator",
        "VectorizeCreateMetadataIndexOperator",
        "VectorizeDeleteMetadataIndexOperator",
        "VectorizeDeleteVectorsOperator",
        "VectorizeQueryOperator",
        "VectorizeGetVectorsOperator",
    }
    assert [cls.__name__ for cls in classes("sensors", BaseSensorOperator)] == ["VectorizeMutationSensor"]
    assert {cls.__name__ for cls in classes("triggers", BaseTrigger)} == {
        "VectorizeIndexChangedTrigger",
        "VectorizeMutationTrigger",
    }


@pytest.mark.parametrize("cls", classes("operators", BaseOperator) + classes("sensors", BaseSensorOperator))
def test_docstring_marks_exactly_the_template_fields_as_templated(cls: type[Any]) -> None:
    own = inspect.signature(cls.__init__).parameters
    doc = inspect.getdoc(cls) or ""
    if "Parameters, errors" in doc:  # the base class documents them
        doc = inspect.getdoc(cls.__bases__[0]) or ""
    described = {part.split(":")[0]: part for part in doc.split(":param ")[1:]}
    assert set(cls.template_fields) <= set(own)
    assert {"self", "kwargs", "poke_interval", *described} >= set(own)
    for name, text in described.items():
        assert ("(templated)" in text) == (name in cls.template_fields), name
        parameter = own[name]
        assert parameter.kind is parameter.KEYWORD_ONLY


@pytest.mark.parametrize("cls", classes("operators", BaseOperator) + classes("sensors", BaseSensorOperator))
def test_operators_have_no_template_file_extensions(cls: type[Any]) -> None:
    assert not set(cls.template_ext)


@pytest.mark.parametrize("cls", classes("operators", BaseOperator))
def test_checked_parameters_are_template_fields(cls: type[Any]) -> None:
    """Exceptions are parameters that are objects, or that take effect before the task runs."""
    own = set(inspect.signature(cls.__init__).parameters)
    assert set(cls.parameter_checks) & own - {"limits", "durable", "gates"} <= set(cls.template_fields)


def test_provider_info_module_imports_no_airflow() -> None:
    source = Path(provider_info.__file__).read_text()
    assert "from airflow" not in source.replace("from airflow_provider_vectorize", "")
