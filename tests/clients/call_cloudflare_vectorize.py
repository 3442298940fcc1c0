"""Calls methods of cloudflare-vectorize and prints the results. ``test_cloudflare_vectorize.py`` runs it.

It runs in a process of its own, with the folder of the client in PYTHONPATH, because the client needs an older urllib3.
Standard input: ``[["method", {parameters}], ...]``. Standard output: ``{"value": ...}`` or ``{"error": ...}`` for each.
"""

from __future__ import annotations

import json
import os
import sys

from cloudflare_vectorize import CloudflareVectorize

client = CloudflareVectorize(os.environ["ACCOUNT_ID"], {"bearer_token": os.environ["API_TOKEN"]})
client.base_url = os.environ["BASE_URL"]
answers = []
for method, parameters in json.load(sys.stdin):
    try:
        answers.append({"value": getattr(client, method)(**parameters)})
    except Exception as error:  # noqa: BLE001 - the caller checks it
        answers.append({"error": f"{type(error).__name__}: {error}"})
json.dump(answers, sys.stdout)
