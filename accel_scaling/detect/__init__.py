"""Mechanisms that probes share: the PCI bus, device nodes, calls to driver libraries, containers."""
