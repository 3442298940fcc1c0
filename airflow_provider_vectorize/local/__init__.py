"""Local Vectorize: a server for Cloudflare's HTTP API v2 on this machine, for tests, demos and development.

Start it with ``python -m airflow_provider_vectorize.local``. Tests control it with
``airflow_provider_vectorize.local.handle.LocalVectorize`` or the pytest fixture ``local_vectorize``.

It imports neither Airflow nor the client of this provider, so that client and server cannot share a mistake.
"""
