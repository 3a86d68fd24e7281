"""Every timeout and threshold of the package, each with its reason."""

# How often a rehearsal looks at the local EC2: below what a person notices, above what 2 cores feel.
REHEARSAL_POLL_S = 0.3

# How long a sample task may stay pending in a rehearsal: a launch takes some 15 s on 2 cores, three at once a minute.
REHEARSAL_TASK_TIMEOUT_S = 180.0

# neuron-ls on sixteen devices answers in one or two seconds; right after boot, while the driver sets its devices up,
# it can take longer. A node that is silent for this long is better replaced than waited for.
NEURON_LS_TIMEOUT_S = 20
