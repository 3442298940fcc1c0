"""Entry point of ``vectorize-local`` and ``python -m airflow_provider_vectorize.local``."""

import sys


def main() -> int:
    """Run the server until it is stopped, and return the exit status: 0, or 2 if it cannot start."""
    try:
        from airflow_provider_vectorize.local.serve import main as serve  # noqa: PLC0415 - it needs an extra
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        sys.stderr.write(
            "Local Vectorize needs aiohttp. Install it with: pip install 'airflow-provider-vectorize[local]'\n"
        )
        return 2
    return serve()


if __name__ == "__main__":
    sys.exit(main())
