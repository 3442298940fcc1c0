"""A listing of all ids, which outlives its cursors."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator

from airflow_provider_vectorize.api.models import ListPage
from airflow_provider_vectorize.errors import CursorExpiredError, MalformedAnswerError

log = logging.getLogger(__name__)


def every_id(name: str, page_from: Callable[[str | None], ListPage]) -> Iterator[str]:
    """All ids of an index, each once, page by page.

    Where the cursor expires before the end, the listing starts over on a new snapshot and says so in the log; ids
    given already are not given again. To know them costs 16 bytes an id, and a set of them once a cursor has expired.

    :param name: of the index, for what is said.
    :param page_from: fetches the page at a cursor, or the first one.
    :raises CursorExpiredError: a listing that started over came no further than the one before.
    """
    digests = bytearray()  # of the ids given, in order: a set of the ids would be ten times as large
    given: set[bytes] = set()
    before = -1
    cursor: str | None = None
    while True:
        try:
            page = page_from(cursor)
        except CursorExpiredError:
            if len(digests) == before:
                raise
            before, cursor = len(digests), None
            given = {bytes(digests[at : at + 16]) for at in range(0, before, 16)}
            log.warning(
                'The listing of index "%s" took longer than its cursor lives: starting over, after %d ids.',
                name,
                len(given),
            )
            continue
        for vector_id in page.ids:
            digest = hashlib.blake2b(vector_id.encode(), digest_size=16).digest()
            if digest not in given:
                digests += digest
                yield vector_id
        cursor = page.next_cursor
        if not page.is_truncated:
            return
        if not cursor:
            raise MalformedAnswerError(
                f'The listing of index "{name}" says that there is more, and gives no cursor to get it.'
            )
