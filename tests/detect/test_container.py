"""Whether this is a container is told by what every container runtime does, and by nothing that an image can hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_scaling.boot.verdicts import VerdictWord, advice_of
from accel_scaling.detect.container import hidden, hidden_trouble, in_container, taken
from accel_scaling.detect.pci import DEVICES, PciDevice

# Lines of /proc/self/mountinfo: of a machine; in Docker; in a pod of containerd; in Podman without root.
MACHINE = """\
25 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw,discard
32 25 0:26 / /run rw,nosuid shared:5 - tmpfs tmpfs rw
71 25 7:0 / /snap/core20/2318 ro,nodev shared:40 - squashfs /dev/loop0 ro
"""
DOCKER = """\
1051 884 0:80 / / rw,relatime master:300 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/ABC
1067 1051 259:1 /var/lib/docker/containers/1f/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/root rw
1068 1051 259:1 /var/lib/docker/containers/1f/hostname /etc/hostname rw,relatime - ext4 /dev/root rw
"""
POD = """\
2001 1500 0:301 / / rw,relatime - overlay overlay rw,lowerdir=/var/lib/containerd/io.containerd.snapshotter.v1
2014 2001 259:1 /var/lib/kubelet/pods/9d/etc-hosts /etc/hosts rw,noatime - xfs /dev/nvme0n1p1 rw
"""
PODMAN = """\
411 398 0:44 / / rw,relatime - fuse.fuse-overlayfs fuse-overlayfs rw
423 411 0:39 /containers/overlay-containers/7/userdata/hosts /etc/hosts rw,nosuid - tmpfs tmpfs rw
"""
CGROUP_V1 = "12:devices:/docker/1f2e3d\n"


def write(root: Path, **files: str) -> Path:
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return root


@pytest.mark.parametrize("mounts", [DOCKER, POD, PODMAN])
def test_a_container_is_told_by_the_files_that_its_runtime_mounts(tmp_path, mounts):
    assert in_container(write(tmp_path, proc__self__mountinfo=mounts))


@pytest.mark.parametrize("mark", ["run/.containerenv", "run/systemd/container", ".dockerenv"])
def test_a_container_is_told_by_the_marks_of_its_runtime(tmp_path, mark):
    (tmp_path / mark).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / mark).touch()
    assert in_container(tmp_path)


def test_a_container_is_told_by_its_control_group(tmp_path):
    assert in_container(write(tmp_path, proc__self__mountinfo=MACHINE, proc__1__cgroup=CGROUP_V1))


def test_a_machine_is_none_though_its_image_was_made_from_a_container(tmp_path):
    root = write(tmp_path, proc__self__mountinfo=MACHINE, proc__1__cgroup="0::/\n")
    (root / ".dockerenv").touch()
    assert not in_container(root)
    assert not in_container(root / "nowhere")


def test_what_is_hidden_is_said_only_in_a_container(tmp_path):
    assert not hidden(tmp_path, 8, 3)
    assert hidden_trouble(tmp_path, 8, 3, "/dev/nvidia0, ...") == ""
    write(tmp_path, run__systemd__container="lxc\n")
    assert hidden(tmp_path, 8, 3)
    assert not hidden(tmp_path, 8, 8)
    assert hidden_trouble(tmp_path, 8, 8, "/dev/nvidia0, ...") == ""
    assert hidden_trouble(tmp_path, 8, 3, "/dev/nvidia0, ...") == (
        "this container was given 3 of the machine's 8 (3 of /dev/nvidia0, ...)"
    )


def test_a_device_counts_as_taken_once_the_kernel_links_it_to_a_driver(tmp_path):
    devices = [PciDevice(f"0000:0{n}:00.0", "10de:20b0", "0302") for n in range(3)]
    for device in devices:
        (tmp_path / DEVICES / device.address).mkdir(parents=True)
    (tmp_path / DEVICES / devices[1].address / "driver").symlink_to("../../drivers/nvidia")
    assert taken(tmp_path, devices) == 1


@pytest.mark.parametrize(
    ("family", "devices", "options"),
    [
        ("nvidia", 8, "--gpus=all"),
        ("neuron", 1, "--device=/dev/neuron0"),
        ("neuron", 16, "--device=/dev/neuron0 ... --device=/dev/neuron15"),
        ("tpu", 4, "--privileged"),
        ("nobody's", 4, "--device for each of its device nodes, or --privileged"),
    ],
)
def test_the_advice_names_the_options_that_the_familys_containers_need(family, devices, options):
    advice = advice_of(VerdictWord.NOT_VISIBLE_IN_CONTAINER, family, devices)
    assert advice == f"start the container with {options}"
