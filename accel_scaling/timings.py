"""Every timeout and threshold of the package, each with its reason."""

# How often a rehearsal looks at the local EC2: below what a person notices, above what 2 cores feel.
REHEARSAL_POLL_S = 0.3

# How long a sample task may stay pending in a rehearsal: a launch takes some 15 s on 2 cores, three at once a minute.
REHEARSAL_TASK_TIMEOUT_S = 180.0
