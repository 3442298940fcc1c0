"""What a load tells Airflow of where data came from and went: hook lineage, asset events, OpenLineage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

from airflow_provider_vectorize import assets
from airflow_provider_vectorize.load.receipt import Receipt
from airflow_provider_vectorize.spool import is_spooled


@dataclass(frozen=True)
class Loaded:
    """A load that ended well.

    :param account_id: of the index.
    :param dimensions: of the index.
    :param metric: of the index.
    :param objects: URI and size of each object that was read.
    :param dead_letters: the file of bad rows, where there were any.
    :param receipt: what was acknowledged.
    """

    account_id: str
    dimensions: int
    metric: str
    objects: Sequence[tuple[str, int | None]]
    dead_letters: str | None
    receipt: Receipt

    @property
    def inputs(self) -> Sequence[tuple[str, int | None]]:
        """The objects that others can see, too."""
        return [(uri, size) for uri, size in self.objects if not is_spooled(uri)]

    @property
    def asset_uri(self) -> str:
        """The index as an asset."""
        return assets.asset_uri(self.account_id, self.receipt.index_name)


def collect(hook: Any, loaded: Loaded) -> None:
    """Hook lineage: once for each object and the index. Airflow itself keeps the first hundred."""
    collector = get_hook_lineage_collector()
    for uri, _ in loaded.inputs:
        collector.add_input_asset(context=hook, uri=uri)
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
        inputs=[_input(uri, size) for uri, size in loaded.inputs],
        outputs=[
            OutputDataset(
                namespace=f"{assets.SCHEME}://{loaded.account_id}",
                name=receipt.index_name,
                facets={"schema": schema},
                outputFacets={"outputStatistics": statistics},
            )
        ],
    )


def _input(uri: str, size: int | None) -> Any:
    from airflow.providers.common.compat.openlineage.facet import InputDataset  # noqa: PLC0415
    from openlineage.client.generated.input_statistics_input_dataset import (  # noqa: PLC0415
        InputStatisticsInputDatasetFacet,
    )

    parts = urlsplit(uri)
    namespace, name = (f"{parts.scheme}://{parts.netloc}" if parts.netloc else "file"), parts.path
    facet = InputStatisticsInputDatasetFacet(size=size)
    return InputDataset(
        namespace=namespace, name=name.lstrip("/") if parts.netloc else name, inputFacets={"inputStatistics": facet}
    )
