"""``python -m accel_scaling``: the same as the ``accel-scaling`` command."""

import sys

from accel_scaling.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
