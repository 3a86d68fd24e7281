#!/bin/bash
# The first process of an isolated host, in new network, process, mount, uts and ipc namespaces.
# Arguments: ROOT HOSTNAME ADDRESS/PREFIX GATEWAY SSHD [FOLDER PATH: what all hosts share, and where this one has it]
set -e
ROOT=$1 NAME=$2 ADDRESS=$3 GATEWAY=$4 SSHD=$5 SHARED=${6:-} AT=${7:-}
ulimit -n 1048576 2>/dev/null || true
hostname "$NAME"

# The cloud moves the other end of the cable in once this namespace exists.
for _ in $(seq 500); do [ -e /proc/self/net/dev ] && grep -q eth0 /proc/self/net/dev && break; sleep 0.01; done
ip link set lo up
ip addr add "$ADDRESS" dev eth0
ip link set eth0 up
ip route add default via "$GATEWAY"    # Ray finds its own address by the route that leaves the host

mount --bind "$ROOT" "$ROOT"
# Now: a mount below the root would not be in the one above.
if [ -n "$SHARED" ]; then mount --bind "$SHARED" "$ROOT$AT"; fi
mount -t proc proc "$ROOT/proc"
# A machine's accelerators must be the emulated ones: no driver of this machine shows through.
[ -d "$ROOT/proc/driver/nvidia" ] && mount -t tmpfs none "$ROOT/proc/driver/nvidia"

# /sys is what the emulation has put there, and of this machine's the processors and the network alone.
mkdir -p "$ROOT/mnt/sysfs"
mount -t sysfs sysfs "$ROOT/mnt/sysfs" 2>/dev/null || mount --rbind /sys "$ROOT/mnt/sysfs"
for part in devices/system devices/virtual/net class/net kernel/mm; do
    if [ -d "$ROOT/mnt/sysfs/$part" ]; then
        mkdir -p "$ROOT/sys/$part"
        mount --bind "$ROOT/mnt/sysfs/$part" "$ROOT/sys/$part"
    fi
done
umount -l "$ROOT/mnt/sysfs"

# A fresh /dev; files that the emulation has put into it are kept.
KEPT=$(mktemp -d /tmp/dev.XXXXXX)
cp -a "$ROOT/dev/." "$KEPT/" 2>/dev/null || true
mount -t tmpfs -o mode=755 dev "$ROOT/dev"
cp -a "$KEPT/." "$ROOT/dev/" 2>/dev/null || true
rm -rf "$KEPT"
for node in null zero full random urandom tty; do
    rm -rf "${ROOT:?}/dev/$node"; touch "$ROOT/dev/$node"; mount --bind "/dev/$node" "$ROOT/dev/$node"
done
rm -rf "$ROOT/dev/pts" "$ROOT/dev/shm"
mkdir -p "$ROOT/dev/pts" "$ROOT/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$ROOT/dev/pts"
ln -sf pts/ptmx "$ROOT/dev/ptmx"
ln -sfn /proc/self/fd "$ROOT/dev/fd"
ln -sf /proc/self/fd/0 "$ROOT/dev/stdin"
ln -sf /proc/self/fd/1 "$ROOT/dev/stdout"
ln -sf /proc/self/fd/2 "$ROOT/dev/stderr"
mount -t tmpfs -o mode=1777 shm "$ROOT/dev/shm"
mount -t tmpfs -o mode=755 run "$ROOT/run"
mkdir -p "$ROOT/run/sshd" "$ROOT/run/lock"

cd "$ROOT"
mkdir -p .old
pivot_root . .old
umount -l /.old
rmdir /.old 2>/dev/null || true
# Stays as the first process: collects orphans, as every host's must.
exec /bin/bash -c '"$0" -D -e -f /etc/ssh/sshd_config_cloud >>/var/log/sshd.log 2>&1 &
while :; do wait -n 2>/dev/null || sleep 0.2; done' "$SSHD"
