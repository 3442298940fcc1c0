import pytest, collections
from tests.support import make_rows
from airflow_provider_vectorize.api.limits import Limits
from airflow_provider_vectorize.errors import SyncError
def test_x(books):
    L=Limits(vectors_per_request=50, ids_per_delete=10, list_page=100, ids_per_get=20, late_seconds=0)
    rows=make_rows(1000)
    def night(name, **o):
        books.local.clear_requests()
        try: r=books.sync(limits=L, **o)
        except SyncError as e: r={"err":str(e)[:200]}
        c=collections.Counter(x.operation for x in books.local.requests())
        print(name, dict(c), sum(c.values()), {k:r.get(k) for k in ("added","changed","deleted","foreign","objects_skipped")}, r.get("err"))
    books.write("a.ndjson", rows); night("first")
    night("unchanged")
    books.write("a.ndjson", rows+[]); night("unchanged unskipped")
    ch=make_rows(10,seed=1); rows=ch+rows[10:]
    books.write("a.ndjson", rows); night("1% changed")
    rows=rows[:990]
    books.write("a.ndjson", rows); night("1% deleted", delete_vanished=True)
    night("reconcile", reconcile=True)
    night("report", report_foreign=True)
    night("unch")
