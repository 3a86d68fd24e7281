"""Every timeout and threshold of the package, each with its reason."""

# How often a rehearsal looks at the local EC2: below what a person notices, above what 2 cores feel.
REHEARSAL_POLL_S = 0.3

# Between two lines of status on a terminal: the seconds in it count on, and a person sees that it lives.
STATUS_LINE_S = 0.5

# Off a terminal, between two lines about a step that lasts: a log shows that it lives, in a few lines a minute.
LOG_PROGRESS_S = 15.0

# How long a sample task may stay pending in a rehearsal: a launch takes some 15 s on 2 cores, three at once a minute.
REHEARSAL_TASK_TIMEOUT_S = 180.0

# How long a rehearsal waits for one machine that a later fault hits to be drained and replaced: where a driver fails as
# a whole, the watcher looks for five minutes; the drain and the next boot take two more.
REHEARSAL_REPLACED_S = 480.0

# How long a rehearsal looks on after an error that is to change nothing: ten looks of the watcher for such errors.
REHEARSAL_QUIET_S = 10.0

# How long each of the tasks takes that follow each other until then: the machine is hardly ever without one.
REHEARSAL_TASK_S = 1.0

# How long a rehearsal, its tasks done, lets machines join that are up: a host takes 10 to 20 s on 2 busy cores.
REHEARSAL_JOIN_S = 60.0

# neuron-ls on sixteen devices answers in one or two seconds; right after boot, while the driver sets its devices up,
# it can take longer. A node that is silent for this long is better replaced than waited for.
NEURON_LS_TIMEOUT_S = 20

# How long the boot check waits for a driver that is still coming up, before it gives the machine up. A driver that
# loads at boot is there within seconds of ssh; a machine that idles here costs up to $98 an hour.
DRIVER_READY_S = 60.0

# For how long after its boot a machine without a driver may be one whose driver has not loaded yet: modules load before
# ssh answers, and what is slower (a module that is built or signed on the first boot) is there within two minutes.
DRIVER_LOADS_S = 120.0

# Between two looks at such a driver: each look starts it again, and costs it a second or two.
DRIVER_READY_POLL_S = 3.0

DRIVER_PACKAGE_TIMEOUT_S = 20.0
"""For a maker's Python package to count its devices: Gaudi's imports torch, some 5 s; most take well below 1 s."""

DRIVER_LIBRARY_TIMEOUT_S = 30.0
"""For NVML to answer for all GPUs: a driver that is not kept loaded initializes each, 1 to 2 s a GPU, 16 at most."""

DRIVER_LIBRARY_END_S = 1.0
"""For the process that has answered, or was killed, to be gone; one that a broken driver holds is never gone."""

DRIVER_LIBRARY_POLL_S = 0.001
"""Between two looks whether it is gone: it mostly is, and each boot waits for it."""

MOST_DEVICES = 256
"""That a driver may count on one machine. The most that any has is 16, or 128 slices; what counts more is broken."""

CUDA_NOT_READY_S = 60.0
"""For CUDA to say that the system is ready: on machines with NVSwitch, nvidia-fabricmanager sets it up at the boot."""

CUDA_NOT_READY_POLL_S = 3.0
"""Between two tries: each is a process that starts CUDA, a second or two."""

APPLE_TOOL_S = 5.0
"""For system_profiler: it takes about 0.2 s; Ray waits as long."""

METADATA_SERVER_S = 2.0
"""For Google's metadata server, which is on the machine's own host and answers within milliseconds."""

# --- quarantine ---

LAUNCH_FAILURE_AGAIN_S = 30.0
"""Between two writes of a launch that fails alike: v2 tries every 5 s, and `status` says how long ago it was."""

LAUNCH_FAILURES_REMEMBERED = 50
"""Failed launches in the state file: some for each zone of each node type, of which `status` shows the last."""

LAUNCH_FAILURE_SHOWN_S = 3600.0
"""For how long `status` shows a failed launch: later the cloud may have what it lacked."""

QUARANTINE_REPEATED_S = 60.0
"""Between two messages to the drivers about the same quarantine: Ray's own, that no node type fits, comes every 5 s."""

CLOCK_STEP_S = 60.0
"""By how much a clock may be put back that is still the same: time services step by seconds; more is another clock."""

MACHINES_REMEMBERED = 1000
"""Whose verdicts are remembered, by machine: v2 starts one up to three times within minutes; this is a large fleet."""

FINISHED_MACHINES_REMEMBERED = 100
"""Whose records are kept after they joined or ended: what a person wants to see of the last hour; 30 KB in the file."""

JOINED_AFTER_START_S = 120.0
"""For a node to be seen in Ray after its last start command ended with 0: a raylet registers within 10 s."""

LAUNCH_ERRORS_IN_A_ROW = 3
"""Permanently refused launches before the node type is quarantined: the first may be a passing mistake of the cloud
(a role or a subnet that was made a moment ago), and a refused launch costs nothing."""

LISTED_AFTER_S = 60.0
"""Within which a new machine is in its cloud's listings; EC2's are complete within seconds, mostly."""

# --- the head's own packages (boot/head_packages.py) ---

HEAD_PACKAGES_S = 300.0
"""For pip to download and unpack a cloud's client: 100 MB of Google's take 30 s; a package index that nobody reaches
gives up after 2 minutes, by pip's own retries."""

# --- from a task that waits to its node (providers/base/early_rounds.py, command_runner.py) ---

DEMAND_LOOK_S = 0.12
"""Between two looks at what waits for resources: a call on the head itself, 1 ms for some nodes, 10 ms for a thousand;
where it takes longer, it is asked less often (a twentieth of the time at most). More than DEMAND_PERIOD_S: what grows
has grown from one look to the next."""

DEMAND_PERIOD_S = 0.1
"""Between two questions of the GCS for what waits on a node (providers/base/demand_reports.py)."""

DEMAND_QUESTIONS_A_SECOND = 250
"""Of the GCS to all nodes together, as many as Ray has with 250 nodes: a larger cluster is asked less often."""

RAY_DEMAND_PERIOD_S = 1.0
"""Ray's own time between two such questions, which a cluster of 250 nodes and more keeps."""

EARLY_ROUND_GAP_S = 0.2
"""Between the end of a round of the autoscaler and one that comes early: a round of a small cluster takes 0.05 s."""

SSH_PROBE_WAIT_S = 0.25
"""Between two tries of ssh to a machine that boots; Ray waits 5 s, and a machine is up at any moment of these."""

SSH_PROBES_AT_ONCE = 8
"""Machines that boot at once and are tried so often; with more, each waits longer in proportion. A try costs the head
20 ms: all of them together at most two thirds of a core."""

SSH_PROBE_MOST_WAIT_S = 5.0
"""Before a machine is tried again, with however many others: as long as Ray waits (READY_CHECK_INTERVAL)."""

SSH_PROBE_CONNECT_S = 3
"""For such a try: a packet to a machine that is not there yet is lost, and sent again after 1 s and 3 s."""

SSH_PROBES_S = 30.0
"""For how long ssh is tried so before Ray's own try decides, with its 10 s for a machine that answers slowly."""

STATUS_TAG_S = 5.0
"""How long a set-up lasts before its cloud is told of a state of it: most states of a set-up are over by then."""

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

# --- `ray down`, and commands that only look at a cluster (providers/base/teardown.py) ---

READ_ANSWER_S = 60.0
"""For a cloud to list or end a cluster's machines: 5,000 take some 5 s; a person at `ray down` waits no 15 minutes."""

RAY_STOP_S = 60.0
"""For `ray stop` or `docker stop` on a machine that is about to end: 20 s at most where it answers, and not needed."""

RAY_STOP_CONNECT_S = 15
"""For ssh to such a machine: it takes 1 s; Ray would wait two minutes for one that does not answer."""

END_TRIES = 2
"""Of ending a machine: a second one for what passes; after it, the machine is left and named."""

# --- Google Cloud (providers/gcp*.py) ---

GCP_CALL_S = 60.0
"""For one answer of Google's. Most take 0.1 to 2 s; a creation of many is checked against quota first, some 10 s."""

GCP_LONG_POLL_S = 150.0
"""For one answer of `operations.wait`, which Google holds back for up to 2 minutes."""

GCP_RETRY_WAITS_S = (0.5, 1.0, 2.0, 4.0)
"""Before each further try of a call that met a 5xx, a 429 or a broken connection; Google asks for growing waits."""

GCP_RETRY_UNTIL_S = 120.0
"""After this no further try begins: a silent server costs at most this and one more call, not five times a minute."""

GCP_READ_CALL_S = 20.0
"""As GCP_CALL_S, for commands at which a person waits and that launch nothing: a listing takes 4 s at most."""

GCP_READ_UNTIL_S = 30.0
"""As GCP_RETRY_UNTIL_S, for the same commands."""

GCP_CONFLICT_TRIES = 8
"""Of a change that another user's change beat (label fingerprint, IAM etag): each loser has read again."""

GCP_CONFLICT_WAIT_S = 0.2
"""Times the number of the try, before a change is tried again: two writers must not stay in step."""

GCP_OPERATION_S = 1800.0
"""For a machine or slice to be created. Large TPU slices take up to 10 minutes; what takes longer is reported."""

GCP_OPERATION_POLL_S = 1.0
"""Between two looks at an operation of the Cloud TPU API, which has no waiting call; 5 s at most, growing."""

GCP_LABELS_DELAY_S = 0.2
"""Between a tag and its write: the updater sets up to three within it, and other processes wait no longer than that."""

GCP_LABELS_RETRY_S = 2.0
"""Before a failed label write is tried again; the calls themselves have retried by then."""

GCP_LABELS_EXIT_S = 30.0
"""For labels that are still unwritten when the process ends: Google takes 1 or 2 s, a tag that is lost a new node."""

GCP_LABELS_SIGTERM_S = 7.0
"""The same where SIGTERM ends the process: `ray stop` kills what is still there after 10 s."""

GCP_PARALLEL = 32
"""Calls at once, of deletes, single inserts and label writes: 100 deletes at 0.3 s take 1.2 s; Google allows 20/s."""

GCP_FRESH_S = 5.0
"""How old a node's status may be when it is asked for: v2 lists every 5 s, so between two listings nothing is asked."""

GCP_DRY_ZONE_S = 120.0
"""How long a sold-out zone is tried after the others: stock-outs last minutes, and each try costs a launch 10 s."""

GCP_END_LOOK_S = 300.0
"""Between two questions for the end of a reservation in which machines run: calendar mode does not move it."""

GCP_PENDING_POLL_S = 5.0
"""Between two looks at a machine that waits for capacity, from the thread that is to set it up: like listings."""

GCP_ALLOCATED_S = 3600.0
"""As long as v2 of Ray 2.54 and later lets a machine be between its launch and its join. A machine that waits
for capacity has the longest wait of its cluster more."""

GCP_SLICE_HOST_ZERO_S = 60.0
"""For host 0 of a slice to join after its `ray start`, and for two rounds of the autoscaler, of 5 s, to see it."""

GCP_SLICE_POLL_S = 0.5
"""Between two looks at who has joined, while a slice's other hosts wait for host 0."""

GCP_RESERVATION_QUEUE_S = 600.0
"""For a queued resource of a named reservation: it has a slice at once or not, and Google takes minutes to make one."""

GCP_QUEUE_POLL_S = 5.0
"""Between two looks of v1's updater at a slice that waits in Google's queue: as often as v1 lists nodes."""

GCP_PROVISIONING_S = 7200.0
"""For a slice to be there after its turn has come: users report PROVISIONING of up to two hours that ends well."""

# --- the local Compute Engine (rehearse) ---

LOCAL_GCE_SILENT_S = 600.0
"""How long a silent server keeps a connection: longer than any client of ours waits."""

# --- AWS (providers/aws*.py) ---

AWS_LAUNCH_RETRY_WAITS_S = (1.0, 2.0, 4.0, 8.0)
"""Before a launch that EC2 throttled, or could not answer, is asked for again: boto retries launches not at all."""

AWS_LAUNCH_UNTIL_S = 120.0
"""After this no further try of a launch begins: a silent endpoint costs at most this and one call of 60 s."""

AWS_VISIBLE_AFTER_S = 60.0
"""Within which EC2's lists show what a launch made; they are complete within seconds, mostly. What a launch without an
answer has not shown by then was not made."""

AWS_STOPPING_S = 300.0
"""For a machine that is stopping, until it can be started again: machines with GPUs take up to some minutes. One that
takes longer is left, and a new one launched."""

AWS_STOPPING_POLL_S = 5.0
"""Between two looks at a machine that is stopping; Ray looks each 15 s."""

RESERVATION_FRESH_S = 10.0
"""How old the free places of a reservation may be at a launch: two rounds of the autoscaler; a question takes 0.3 s."""

RESERVATION_AGAIN_S = 60.0
"""Before a reservation that is in use is asked for again: a place in it is paid for, so the wait does not double."""

NOT_YET_LOGGED_AGAIN_S = 3600.0
"""Between two lines in the autoscaler's log about a place that is not open yet, for the same reason: each minute it is
asked for again, and nothing is wrong."""

AWS_BLOCK_ENDS_BEFORE_S = 1800.0
"""EC2 begins to terminate the machines of a Capacity Block so long before the block's EndDate (EC2 User Guide,
"Capacity Blocks for ML"); aws_capacity_types.csv has the types for which it is another time."""

BLOCK_LEAST_S = 120.0
"""For which a new machine of a block must work before its drain begins: it takes as long to boot and to join."""

AWS_BLOCK_LOOK_S = 300.0
"""Between two questions for the end of a block in which machines run: a block can be extended until it ends."""

AWS_TAKEN_BACK_S = 120.0
"""Between the moment at which the owner of an interruptible reservation takes its machines back, and their end (EC2
User Guide, "Interruptible Capacity Reservations for capacity owners")."""

AWS_LENDER_LOOK_S = 10.0
"""Between two questions whether the owner takes machines back: of the two minutes, no more than this is lost."""

NOT_ALLOWED_S = 600.0
"""Before a question is asked again that the head's role may not ask: a role changes by a person's hand."""

AWS_READ_TRIES = 3
"""Of a question at which a person waits: what is throttled, or breaks once, passes with the second or third."""

AWS_READ_CONNECT_S = 10.0
"""For a connection at such a question; it takes 0.3 s from the other side of the world."""

AWS_READ_CALL_S = 15.0
"""For one answer to such a question: a page takes 1 to 3 s. Three tries end before READ_ANSWER_S, with boto's error."""

# --- the plan (plan/live_cluster.py) ---

PLAN_ADDRESS_S = 5.0
"""For the head of a running cluster to answer: a call within a network; a wrong address must not look like work."""

# --- catalog refresh (refresh/) ---

REFRESH_CONNECT_S = 10.0
"""For a connection to a cloud's API: it takes 0.3 s from the other side of the world."""

REFRESH_CALL_S = 60.0
"""For one page of a list: 1 to 5 s of types, of all zones of Google's more."""

REFRESH_RETRY_WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Before a list that was throttled is asked for again: EC2 refills its bucket for such calls within some 10 s."""

REFRESH_PARALLEL = 8
"""Regions asked at once: each has a limit of its own, and an account has some 17."""

# --- the bundle (boot/) ---

BUNDLE_HALF_MADE_S = 3600.0
"""How old half a bundle in the cache must be to be removed: another `ray up` makes a whole one in some seconds."""

BUNDLE_UNUSED_S = 30 * 24 * 3600.0
"""How long a bundle in the cache stays after its last use: people go back to a version within days; it has 6 MB."""

NODE_BUNDLE_UNUSED_S = 3600.0
"""How old a bundle on a node must be to be removed: another `ray up` may be between its copy and its start."""

KUBERNETES_API_S = 5.0
"""For the API server to answer a pod that is refused: it takes milliseconds, and the pod ends in any case."""

# --- the watcher on each node (boot/watcher.py) ---

WATCHER_NOTICES_S = 1.0
"""Between two questions for notices: Google preempts 30 s after its notice; a question takes 0.5 ms of CPU."""

WATCHER_SLOW_NOTICES_S = 30.0
"""Between two questions for events that are announced long before."""

WATCHER_DEVICES_S = 60.0
"""Between two looks at the devices: one takes 20 to 100 ms of CPU, so it stays below 0.2 % of a core."""

WATCHER_DEVICES_SHARE = 0.005
"""Of a core, at most, for looks that take longer: Gaudi's package is imported for 5 s, and asked each 17 minutes."""

WATCHER_SICK_LOOKS = 2
"""So many looks in a row must find a device sick: a driver may be busy once, with a reset that a user asked for."""

WATCHER_SICK_AGAIN_S = 10.0
"""From the first look that finds a device sick to the next: a driver that resets a device needs some seconds."""

WATCHER_UNSURE_LOOKS = 6
"""So many looks, five minutes, where it may be a person's work: a package that brings another driver builds it for
minutes. A driver that hangs, and one that is gone, are as bad for a task after five minutes as after one."""

DRIVER_EVENTS_WAIT_S = 60.0
"""For which the driver's library waits for an error at a time: the process that waits wakes once a minute."""

DRIVER_EVENTS_AGAIN_S = 60.0
"""Before a process that waits for a driver's errors, and has ended, is started again: a driver may be replaced."""

DRIVER_ERROR_AGAIN_S = 600.0
"""Before the same error of the same device is news again: a program that fails may report thousands a second."""

WATCHER_TELL_MOST_S = 60.0
"""The longest wait before the head is told again, when it could not be told: each try takes a second of CPU."""

WATCHER_RAYLET_S = 300.0
"""For the raylet to appear after the boot check: `ray start` takes some seconds, on a loaded machine a minute."""

WATCHER_AGAIN_S = 5.0
"""Before a watcher that died is started again."""

KEPT_GONE_S = 600.0
"""After which a machine that is kept for inspection, and that its cloud no longer lists, is gone: one listing may lack
a zone that does not answer."""

EVENT_UNKNOWN_S = 300.0
"""For a machine to be listed whose watcher has told something; one that has joined Ray mostly is already."""

EVENT_READ_S = 60.0
"""Within which the head reads what a node has told: in its next round, of 5 s. What is older has another clock."""

SICK_DRAINS_SHARE = 0.1
"""Of a cluster's workers, at most, that are drained at once for the same sickness, or one: more at once have a common
cause, such as a program that replaces the driver, and new machines would mostly have it too."""

UNSURE_DRAINS_APART_S = 300.0
"""From one drain to the next where a driver fails as a whole: an idle machine is replaced in seconds, and its successor
must be seen at work first."""

DRAINS_REMEMBERED = 50
"""Drains that are over and still in the state file, of which `status` shows the last."""

METADATA_WAIT_S = 10.0
"""For which Google's metadata server holds an answer back until something changes: a third of the time that a
preemption leaves, so a connection that is lost unnoticed costs no more than that."""

NOTICE_SERVER_S = 2.0
"""For a metadata server, which is on the machine's own host and answers within milliseconds."""

TOPOLOGY_S = 0.6
"""For a metadata server to say where this node is: it takes milliseconds. With FABRIC_S less than a second, by which a
label may delay a start."""

FABRIC_S = 0.3
"""For NVML to name the fabric of all devices: it knows it, so it takes a millisecond."""

DRAIN_CALL_S = 20.0
"""For the program that drains a node: it imports Ray, which takes a second on an idle machine."""

NOTICE_LOST_S = 600.0
"""After this time without an answer, a metadata server is treated as absent, and asked rarely."""

PLACEMENT_GROUP_S = 120.0
"""For which `ray down` tries to delete a placement group or policy: EC2 and Google keep one while a machine is ending,
which takes a minute or two for a machine with eight GPUs. It costs nothing, and the next `ray up` uses it."""

PLACEMENT_GROUP_POLL_S = 5.0
"""Between two tries to delete it."""
