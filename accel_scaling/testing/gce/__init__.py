"""The local Compute Engine: Google's own contract, answered on this machine, for rehearsals and tests."""
