"""The facet of a sync. Import this module only if OpenLineage is installed, because it is an optional dependency."""

from __future__ import annotations

import attr
from openlineage.client.generated.base import OutputDatasetFacet

#: Name of the facet among the output facets of the index.
SYNC_FACET = "vectorize_sync"


@attr.define
class VectorizeSyncOutputDatasetFacet(OutputDatasetFacet):
    """The counts of a sync, see :class:`~airflow_provider_vectorize.sync.result.SyncResult`."""

    added: int
    changed: int
    unchanged: int
    vanished: int
    deleted: int
    withheld: int
    rejected: int
