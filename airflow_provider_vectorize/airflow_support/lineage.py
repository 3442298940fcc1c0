"""Report the source and the index of a load to Airflow: hook lineage, asset events, OpenLineage."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

from airflow_provider_vectorize import assets
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.rows.function_rows import is_function_rows
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
    """A load that succeeded.

    :param account_id: Account of the index.
    :param dimensions: Dimensions of the index.
    :param metric: Metric of the index.
    :param read_objects: The objects that were read, in order.
    :param dead_letter_file: Location of the dead-letter file, or ``None`` if no row was written to it.
    :param receipt: The receipt of the load.
    """

    account_id: str
    dimensions: int
    metric: str
    read_objects: Sequence[ReadObject]
    dead_letter_file: Location | None
    receipt: Receipt

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


def set_event_extras(outlets: Sequence[Any], outlet_events: Any, load: FinishedLoad) -> None:
    """Attach the receipt to the event of each outlet that is the asset of the loaded index."""
    for outlet in outlets:
        if getattr(outlet, "uri", None) == load.asset_uri:
            outlet_events[outlet].extra = load.receipt.to_dict()


def operator_lineage(load: FinishedLoad) -> Any:
    """Return the OpenLineage facets: the objects with their sizes, and the index with its shape and written rows."""
    # OpenLineage is an optional dependency.
    from airflow.providers.common.compat.openlineage.facet import (  # noqa: PLC0415
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
        SchemaDatasetFacet,
        SchemaDatasetFacetFields,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415

    receipt = load.receipt
    values = SchemaDatasetFacetFields(
        name="values", type=f"float32[{load.dimensions}]", description=f"metric {load.metric}"
    )
    schema = SchemaDatasetFacet(fields=[SchemaDatasetFacetFields(name="id", type="string"), values])
    statistics = OutputStatisticsOutputDatasetFacet(rowCount=receipt.vectors, size=receipt.bytes_sent)
    return OperatorLineage(
        inputs=[_input_dataset(one) for one in load.inputs],
        outputs=[
            OutputDataset(
                namespace=f"{assets.SCHEME}://{load.account_id}",
                name=receipt.index_name,
                facets={"schema": schema},
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
