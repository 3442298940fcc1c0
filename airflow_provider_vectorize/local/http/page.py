"""Status page at ``/``, with the list of indexes."""

from __future__ import annotations

from html import escape

from aiohttp import web

from airflow_provider_vectorize.local.http.control import Control

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Local Vectorize</title>
<style>body {{ font: 16px sans-serif; margin: 2em auto; max-width: 50em }} td, th {{ text-align: left; padding: 0 1em }}
</style></head><body>
<h1>Local Vectorize</h1>
<p>API base URL: <code>{base_url}</code>. Writes become visible after {lag:g} s.{held}</p>
<table><tr><th>Index<th>Dimensions<th>Metric<th>Vectors<th>Pending mutations<th>Account</tr>
{rows}
</table></body></html>
"""


class StatusPage:
    def __init__(self, control: Control) -> None:
        self._control = control

    async def show(self, request: web.Request) -> web.Response:
        status = await self._control.status({})
        columns = ("name", "dimensions", "metric", "vectors", "pending_mutations", "account_id")
        rows = "\n".join(
            "<tr>" + "".join(f"<td>{escape(str(index[column]))}" for column in columns) + "</tr>"
            for index in status["indexes"]
        )
        text = PAGE.format(
            base_url=escape(status["base_url"]),
            lag=status["lag"],
            held=" Folding is on hold." if status["held"] else "",
            rows=rows or "<tr><td colspan=6>No indexes yet.</tr>",
        )
        return web.Response(text=text, content_type="text/html")
