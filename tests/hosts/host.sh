#!/bin/sh
# A host of the lab, from power-on: its own file system, process table, name and sshd, on one cable.
#
#   host.sh NAME DISK [PYTHON]        already in namespaces of its own (see Lab._power_on)
#
# Speaks with the lab over its pipes: says its process id, hears its address once the cable is in, says "ready".
# DISK holds upper/ (what this host has written, over the read-only "/" of the machine). PYTHON, a Python's folder,
# appears as /opt/python.
set -eu
name=$1 disk=$2 python=${3:-}
root=$disk/root

read -r pid _ </proc/self/stat # /proc is still the machine's: this is the number the machine knows us by
echo "$pid"

mkdir -p "$disk/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" overlay "$root"
[ -z "$python" ] || {
    mount --bind -o ro "$python" "$root/opt/python"
    for packages in "$root"/opt/python/lib/python3.*/site-packages; do mount -t tmpfs -o mode=755 tmpfs "$packages"; done
}
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root/run/sshd" "$root/run/lock"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for stream in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${stream%:*}" "$root/dev/${stream#*:}"; done
hostname "$name"

read -r address
printf '%s\n' "link set lo up" "addr add $address dev eth0" "link set eth0 up" | ip -batch -

cd "$root"
mkdir -p .old
pivot_root . .old
# A fresh shell from the host's own disk, so that nothing holds on to the machine's. As process 1 it also buries orphans.
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root /bin/sh -c '
    cd /
    umount -l /.old
    rmdir /.old
    sleep 2147483647 &
    /usr/sbin/sshd -D -E /var/log/sshd.log </dev/null >/dev/null 2>&1 &
    until [ -s /run/sshd.pid ]; do sleep 0.01; done
    [ ! -x /etc/rc.local ] || /etc/rc.local </dev/null >/var/log/rc.local.log 2>&1 &
    echo ready
    exec </dev/null >/dev/null 2>&1
    wait
'
