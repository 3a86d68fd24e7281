"""The bounds of what is read, each with its reason: an input beyond one is refused by a sentence, at once.

They hold for whatever a person, a program or another machine gives: cluster files, manifests, catalogs, price lists,
state files, JSON of arguments and of the environment.
"""

from __future__ import annotations

MOST_BYTES = 8 * 1024 * 1024
"""Of a file. The largest that we ship has 0.1 MB, a cluster file of 5,000 node types 0.5 MB, and Kubernetes takes no
object above 1.5 MB; /dev/zero and other files without an end are given up here, after some milliseconds."""

MOST_VALUES = 150_000
"""Of a YAML or JSON file: keys, texts, numbers, lists and mappings, each alias counted with all that it stands for. A
cluster file of 5,000 node types has 70,000. Aliases of aliases double with each level, and whoever prints or compares
the file would take them one by one."""

DEEPEST = 100
"""Levels of lists and mappings in each other: a cluster file has 8, a manifest 20, and Python ends at a few hundred."""

LONGEST_NAME = 1024
"""Characters of a key: as many as YAML takes of one before its colon on a line."""

LONGEST_NUMBER = 40
"""Characters of a number: one of 64 bits has 20 digits, a fraction 17 that count."""

MOST_AMOUNT = 10**15
"""Of anything that is counted: devices, bytes, seconds. Up to here a float is exact, and Ray, which counts in
ten-thousandths in 64 bits, ends below it."""

PIPE_OPENS_S = 3.0
"""For a user to write into a named pipe: what is started beside the command is there within milliseconds, on a busy
machine within a second or two."""

PIPE_SILENCE_S = 60.0
"""For the next bytes of a pipe or a terminal: a program that asks a cloud before it writes takes some seconds."""
