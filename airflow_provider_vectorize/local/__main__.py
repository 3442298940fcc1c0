"""``python -m airflow_provider_vectorize.local``"""

import sys

from .serve import main

if __name__ == "__main__":
    sys.exit(main())
