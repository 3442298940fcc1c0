"""List all ids of an index, even if the listing takes longer than its cursors are valid."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator

from airflow_provider_vectorize.api.models import ListPage
from airflow_provider_vectorize.errors import CursorExpiredError, MalformedAnswerError

log = logging.getLogger(__name__)


def list_all_ids(name: str, fetch_page: Callable[[str | None], ListPage]) -> Iterator[str]:
    """Yield each id of an index once.

    If a cursor expires, the listing logs a warning and starts over on a new snapshot. It skips ids that were already
    yielded. This takes 16 bytes of memory for each id, and more after a cursor has expired.

    :param name: Name of the index, for messages.
    :param fetch_page: Called with a cursor, or ``None`` for the first page. Returns the page.
    :raises CursorExpiredError: The cursor expired again after the listing had started over without any new id.
    """
    digests = bytearray()  # Digests of the yielded ids. A set of the ids would be ten times as large.
    yielded: set[bytes] = set()
    bytes_at_last_start = -1
    cursor: str | None = None
    while True:
        try:
            page = fetch_page(cursor)
        except CursorExpiredError:
            if len(digests) == bytes_at_last_start:
                raise
            bytes_at_last_start, cursor = len(digests), None
            yielded = {bytes(digests[start : start + 16]) for start in range(0, len(digests), 16)}
            log.warning(
                'Starting the listing of index "%s" over after %d ids because its cursor has expired.',
                name,
                len(yielded),
            )
            continue
        for vector_id in page.ids:
            digest = hashlib.blake2b(vector_id.encode(), digest_size=16).digest()
            if digest not in yielded:
                digests += digest
                yield vector_id
        cursor = page.next_cursor
        if not page.is_truncated:
            return
        if not cursor:
            raise MalformedAnswerError(
                f'The listing of index "{name}" is incomplete: Vectorize reported more pages but sent no cursor.'
            )
