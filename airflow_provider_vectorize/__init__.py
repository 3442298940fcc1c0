"""Airflow provider for Cloudflare Vectorize. Importing this package does not import Airflow or the client."""

__version__ = "0.2.0"
