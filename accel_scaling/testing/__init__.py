"""Local clouds, hosts and emulated devices, for rehearsals and tests."""
