"""A local Cloudflare Vectorize: the v2 HTTP API on this machine, for tests, demos and development.

Start it with ``python -m airflow_provider_vectorize.local``; drive it from tests with
``airflow_provider_vectorize.local.handle.LocalVectorize`` or with the pytest fixture ``local_vectorize``.

It imports neither Airflow nor the provider's own client: client and stand-in cannot be wrong together.
"""
