"""Entry point of ``python -m airflow_provider_vectorize.local``."""

import sys

from airflow_provider_vectorize.local.serve import main

if __name__ == "__main__":
    sys.exit(main())
