"""Every timeout and threshold of the package, each with its reason."""

# How often a rehearsal looks at the local EC2: below what a person notices, above what 2 cores feel.
REHEARSAL_POLL_S = 0.3

# How long a sample task may stay pending in a rehearsal: a launch takes some 15 s on 2 cores, three at once a minute.
REHEARSAL_TASK_TIMEOUT_S = 180.0

# neuron-ls on sixteen devices answers in one or two seconds; right after boot, while the driver sets its devices up,
# it can take longer. A node that is silent for this long is better replaced than waited for.
NEURON_LS_TIMEOUT_S = 20

# How long the boot check waits for a driver that is still coming up, before it gives the machine up. A driver that
# loads at boot is there within seconds of ssh; a machine that idles here costs up to $98 an hour.
DRIVER_READY_S = 60.0

# Between two looks at such a driver: each look starts it anew, and costs it a second or two.
DRIVER_READY_POLL_S = 3.0

# --- the local clouds and their hosts (rehearse) ---

LOCAL_CLOUD_RECONCILE_S = 0.2
"""Between two looks at the instances: below what a person notices, above what a look costs (1 ms)."""

LOCAL_CLOUD_POLL_S = 0.02
"""Between two looks at something that the kernel is about to do (a process ends, a link appears)."""

LOCAL_CLOUD_KILL_S = 10.0
"""For killed processes to be gone: one in an uninterruptible read of a slow disk takes seconds."""

LOCAL_CLOUD_PROBE_S = 10.0
"""For a trial of namespaces and mounts, which takes 0.05 s where it works."""

LOCAL_CLOUD_CLOSE_S = 60.0
"""For the cloud to halt all hosts and to copy their logs: 0.3 s a host, and a rehearsal may have a hundred."""

LOCAL_CLOUD_SSHD_S = 20.0
"""For an isolated host to answer on port 22: 0.2 s where the machine is idle."""
