"""Report the source and the index of a load to Airflow: hook lineage, asset events, OpenLineage."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

from airflow_provider_vectorize import assets
from airflow_provider_vectorize.api.models import Index
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.rows.function_rows import is_function_rows
from airflow_provider_vectorize.storage import DeadLetterFile, StoredObject
from airflow_provider_vectorize.storage.names import Location, printable
from airflow_provider_vectorize.sync.result import SyncResult

log = logging.getLogger(__name__)


class ReadObject(NamedTuple):
    """An object, or part of an object, that a load read.

    :param location: Location of the object.
    :param size: Stored bytes of the object, or bytes of the part. ``None`` if the store does not report the size.
    """

    location: Location
    size: int | None


@dataclass(frozen=True)
class FinishedLoad:
    """A load that succeeded or failed.

    :param account_id: Account of the index.
    :param dimensions: Dimensions of the index.
    :param metric: Metric of the index.
    :param read_objects: The objects that were read, in order.
    :param dead_letter_file: Location of the dead-letter file, or ``None`` if no row was written to it.
    :param receipt: The receipt of the load. Of a failed load, what was acknowledged.
    """

    account_id: str
    dimensions: int
    metric: str
    read_objects: Sequence[ReadObject]
    dead_letter_file: Location | None
    receipt: Receipt

    @classmethod
    def of(
        cls,
        account_id: str,
        index: Index,
        stored_objects: Sequence[StoredObject],
        dead_letter_file: DeadLetterFile | None,
        receipt: Receipt,
    ) -> Self:
        """Return the load of these objects into this index."""
        return cls(
            account_id=account_id,
            dimensions=index.config.dimensions,
            metric=index.config.metric,
            read_objects=[ReadObject(stored.location, stored.size) for stored in stored_objects],
            dead_letter_file=dead_letter_file.location if dead_letter_file and receipt.rejected else None,
            receipt=receipt,
        )

    @property
    def objects(self) -> Sequence[tuple[str, int | None]]:
        """Return the URI and the size of each object, for messages."""
        return [(location.uri, size) for location, size in self.read_objects]

    @property
    def inputs(self) -> Sequence[ReadObject]:
        """Return the objects that lineage reports: all but the temporary files of function rows."""
        return [one for one in self.read_objects if not (one.location.is_local and is_function_rows(one.location.key))]

    @property
    def asset_uri(self) -> str:
        """Return the URI of the index as an asset."""
        return assets.asset_uri(self.account_id, self.receipt.index_name)


def report_to_collector(hook: Any, load: FinishedLoad) -> None:
    """Report each object and the index once to Airflow's collector of hook lineage.

    Airflow itself keeps only the first hundred.
    """
    collector = get_hook_lineage_collector()
    for uri in dict.fromkeys(one.location.asset_uri for one in load.inputs):
        try:
            collector.add_input_asset(context=hook, uri=uri)
        except ValueError as error:  # Airflow accepts asset URIs of at most 1,500 characters
            log.warning("Skipped the lineage of %s, because Airflow does not accept its URI: %s", uri, error)
    collector.add_output_asset(
        context=hook,
        scheme=assets.SCHEME,
        asset_kwargs={"account_id": load.account_id, "index_name": load.receipt.index_name},
    )


@dataclass(frozen=True)
class IndexOperation:
    """A deletion of vectors, or an operation on an index or a metadata index.

    :param account_id: Account of the index.
    :param index_name: Name of the index.
    :param change: What happened to the index: ``CREATE``, ``ALTER`` or ``DROP``. Empty if nothing happened, or if the
        operation failed.
    :param dimensions: Dimensions of the index, if known.
    :param metric: Metric of the index, if known.
    :param inputs: The objects that contain the IDs to delete.
    """

    account_id: str
    index_name: str
    change: Literal["", "CREATE", "ALTER", "DROP"] = ""
    dimensions: int | None = None
    metric: str | None = None
    inputs: Sequence[ReadObject] = ()

    @property
    def asset_uri(self) -> str:
        """Return the URI of the index as an asset."""
        return assets.asset_uri(self.account_id, self.index_name)


def set_event_extras(context: Mapping[str, Any], outlets: Any, asset_uri: str, receipt: Mapping[str, Any]) -> None:
    """Attach a receipt to the event of each outlet of the task that is the asset of the index."""
    for outlet in outlets or ():
        if getattr(outlet, "uri", None) == asset_uri and "outlet_events" in context:
            context["outlet_events"][outlet].extra = dict(receipt)


def operator_lineage(load: FinishedLoad) -> Any:
    """Return the OpenLineage facets: the objects with their sizes, and the index with its shape and written rows."""
    # OpenLineage is an optional dependency.
    from airflow.providers.common.compat.openlineage.facet import (  # noqa: PLC0415
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415

    receipt = load.receipt
    statistics = OutputStatisticsOutputDatasetFacet(rowCount=receipt.vectors, size=receipt.bytes_sent)
    return OperatorLineage(
        inputs=[_input_dataset(one) for one in load.inputs],
        outputs=[
            OutputDataset(
                namespace=f"{assets.SCHEME}://{load.account_id}",
                name=receipt.index_name,
                facets={"schema": _schema(load.dimensions, load.metric)},
                outputFacets={"outputStatistics": statistics, **_sync_facet(receipt)},
            )
        ],
    )


def _sync_facet(receipt: Receipt) -> dict[str, Any]:
    """Return the facet with the counts of a sync, deletions included, or nothing for a load."""
    if not isinstance(receipt, SyncResult):
        return {}
    from airflow_provider_vectorize.airflow_support import openlineage_facets  # noqa: PLC0415

    names = ("added", "changed", "unchanged", "vanished", "deleted", "withheld", "rejected")
    facet = openlineage_facets.VectorizeSyncOutputDatasetFacet(**{name: getattr(receipt, name) for name in names})
    return {openlineage_facets.SYNC_FACET: facet}


def operation_lineage(operation: IndexOperation) -> Any:
    """Return the OpenLineage facets: the index with its shape and what happened to it, and the objects with IDs."""
    from airflow.providers.common.compat.openlineage.facet import (  # noqa: PLC0415
        LifecycleStateChange,
        LifecycleStateChangeDatasetFacet,
        OutputDataset,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415

    facets: dict[str, Any] = {}
    if operation.change:
        change = LifecycleStateChange(operation.change)
        facets["lifecycleStateChange"] = LifecycleStateChangeDatasetFacet(lifecycleStateChange=change)
    if operation.dimensions is not None:
        facets["schema"] = _schema(operation.dimensions, operation.metric)
    index = OutputDataset(
        namespace=f"{assets.SCHEME}://{operation.account_id}", name=operation.index_name, facets=facets
    )
    return OperatorLineage(inputs=[_input_dataset(one) for one in operation.inputs], outputs=[index])


def _schema(dimensions: int, metric: str | None) -> Any:
    from airflow.providers.common.compat.openlineage.facet import (  # noqa: PLC0415
        SchemaDatasetFacet,
        SchemaDatasetFacetFields,
    )

    values = SchemaDatasetFacetFields(name="values", type=f"float32[{dimensions}]", description=f"metric {metric}")
    return SchemaDatasetFacet(fields=[SchemaDatasetFacetFields(name="id", type="string"), values])


def _input_dataset(read_object: ReadObject) -> Any:
    from airflow.providers.common.compat.openlineage.facet import InputDataset  # noqa: PLC0415
    from openlineage.client.generated.input_statistics_input_dataset import (  # noqa: PLC0415
        InputStatisticsInputDatasetFacet,
    )

    location = read_object.location
    return InputDataset(
        namespace="file" if location.is_local else f"{location.scheme}://{location.bucket}",
        name=printable(location.key),
        inputFacets={"inputStatistics": InputStatisticsInputDatasetFacet(size=read_object.size)},
    )
