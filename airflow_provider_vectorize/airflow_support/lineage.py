"""What a load tells Airflow of where data came from and went: hook lineage, asset events, OpenLineage."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

from airflow_provider_vectorize import assets
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.rows.function_rows import is_function_rows
from airflow_provider_vectorize.storage.names import Location, visible

log = logging.getLogger(__name__)


class Read(NamedTuple):
    """An object that was read.

    :param location: where it is.
    :param size: its bytes as stored, or those of the part that was read, where the store tells.
    """

    location: Location
    size: int | None


@dataclass(frozen=True)
class Loaded:
    """A load that ended well.

    :param account_id: of the index.
    :param dimensions: of the index.
    :param metric: of the index.
    :param read: each object, or part of one, that was read.
    :param dead_letters: the file of bad rows, where there were any.
    :param receipt: what was acknowledged.
    """

    account_id: str
    dimensions: int
    metric: str
    read: Sequence[Read]
    dead_letters: Location | None
    receipt: Receipt

    @property
    def objects(self) -> Sequence[tuple[str, int | None]]:
        """Name and size of each object, for people."""
        return [(location.uri, size) for location, size in self.read]

    @property
    def inputs(self) -> Sequence[Read]:
        """The objects that others can see, too."""
        return [one for one in self.read if not (one.location.is_local and is_function_rows(one.location.key))]

    @property
    def asset_uri(self) -> str:
        """The index as an asset."""
        return assets.asset_uri(self.account_id, self.receipt.index_name)


def collect(hook: Any, loaded: Loaded) -> None:
    """Hook lineage: once for each object and the index. Airflow itself keeps the first hundred."""
    collector = get_hook_lineage_collector()
    for uri in dict.fromkeys(one.location.asset_uri for one in loaded.inputs):
        try:
            collector.add_input_asset(context=hook, uri=uri)
        except ValueError as error:  # Airflow takes assets of up to 1,500 characters
            log.warning("Airflow takes no lineage of %s: %s", uri, error)
    collector.add_output_asset(
        context=hook,
        scheme=assets.SCHEME,
        asset_kwargs={"account_id": loaded.account_id, "index_name": loaded.receipt.index_name},
    )


def tell_outlets(outlets: Sequence[Any], outlet_events: Any, loaded: Loaded) -> None:
    """Put the whole receipt on the event of each outlet that is the loaded index."""
    for outlet in outlets:
        if getattr(outlet, "uri", None) == loaded.asset_uri:
            outlet_events[outlet].extra = loaded.receipt.to_dict()


def operator_lineage(loaded: Loaded) -> Any:
    """OpenLineage: the objects with their sizes, and the index with its shape and the rows written."""
    # Only who uses OpenLineage has it.
    from airflow.providers.common.compat.openlineage.facet import (  # noqa: PLC0415
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
        SchemaDatasetFacet,
        SchemaDatasetFacetFields,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415

    receipt = loaded.receipt
    values = SchemaDatasetFacetFields(
        name="values", type=f"float32[{loaded.dimensions}]", description=f"metric {loaded.metric}"
    )
    schema = SchemaDatasetFacet(fields=[SchemaDatasetFacetFields(name="id", type="string"), values])
    statistics = OutputStatisticsOutputDatasetFacet(rowCount=receipt.vectors, size=receipt.bytes_sent)
    return OperatorLineage(
        inputs=[_input(one) for one in loaded.inputs],
        outputs=[
            OutputDataset(
                namespace=f"{assets.SCHEME}://{loaded.account_id}",
                name=receipt.index_name,
                facets={"schema": schema},
                outputFacets={"outputStatistics": statistics},
            )
        ],
    )


def _input(read: Read) -> Any:
    from airflow.providers.common.compat.openlineage.facet import InputDataset  # noqa: PLC0415
    from openlineage.client.generated.input_statistics_input_dataset import (  # noqa: PLC0415
        InputStatisticsInputDatasetFacet,
    )

    location = read.location
    return InputDataset(
        namespace="file" if location.is_local else f"{location.scheme}://{location.bucket}",
        name=visible(location.key),
        inputFacets={"inputStatistics": InputStatisticsInputDatasetFacet(size=read.size)},
    )
