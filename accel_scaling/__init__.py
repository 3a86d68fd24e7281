"""Ray node providers that launch correctly typed accelerator machines and confirm them on boot.

In programs: `import accel_scaling as acc`, then `acc.remote`, `acc.options`, `acc.bundle`, `acc.get_acc_ids`, and a
constant for each accelerator type, such as `acc.NVIDIA_TESLA_V100`. Importing this package imports neither ray nor a
cloud SDK.
"""

# isort: off
# First: it keeps `python -m accel_scaling` from importing anything that is in the current folder.
from accel_scaling import import_path as import_path
# isort: on

from accel_scaling.accelerators import *  # noqa: F403 - constants only, and every one of them
from accel_scaling.accs import bundle as bundle
from accel_scaling.accs import get_acc_ids as get_acc_ids
from accel_scaling.accs import options as options
from accel_scaling.accs import remote as remote
from accel_scaling.version import __version__ as __version__
