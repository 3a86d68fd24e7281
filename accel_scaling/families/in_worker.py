"""Imported by each worker before its first task (RAY_preload_python_modules): registers the plug-in families there.

A preloaded module composes with a `worker_process_setup_hook` of the user's, which takes the place of any other hook.
"""

from accel_scaling.families.plugins import hush
from accel_scaling.families.registration import register

hush()
register()
