"""The local EC2 and the rehearsals on it: moto's API, a real host per instance, emulated devices."""
