"""KubeRay: fills and checks the promise of each group of a manifest, and changes nothing else."""
