"""Ray on Kubernetes: what a KubeRay manifest promises per group, filled in and checked, without touching the rest."""
