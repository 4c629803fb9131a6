#!/bin/sh
# Runs the README's two commands in a minimal Debian 12, so that nothing installed by hand
# hides a missing step. Needs root, debootstrap and the host's package sources.
#
#   tools/minimal_root.sh [WORK_FOLDER]
set -eu
cd "$(dirname "$0")/.."
work=${1:-$(mktemp -d)}
mkdir -p "$work"
root=$work/root
mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)*\([^ ]*\) bookworm .*/\2/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -1)
echo "a minimal Debian 12 in $root"
debootstrap --variant=minbase bookworm "$root" "$mirror" >"$work/debootstrap.log" 2>&1 || {
    tail -5 "$work/debootstrap.log"
    exit 1
}
cp -R /etc/apt/. "$root/etc/apt/"
for file in /etc/resolv.conf /etc/hosts; do cp -L "$file" "$root/etc/" 2>/dev/null || true; done
[ ! -d /usr/local/share/ca-certificates ] || cp -R /usr/local/share/ca-certificates "$root/usr/local/share/"
[ ! -d /etc/ssl ] || cp -R /etc/ssl/. "$root/etc/ssl/"
[ -e "$root/dev/null" ] || mknod -m 666 "$root/dev/null" c 1 3
[ -e "$root/dev/urandom" ] || mknod -m 666 "$root/dev/urandom" c 1 9
git archive --prefix=tapetum/ HEAD | tar -x -C "$root"
mount -t proc proc "$root/proc" 2>/dev/null || echo "no /proc inside"
status=0
for target in demo check; do
    echo "== ./bootstrap $target"
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        sh -c "cd /tapetum && ./bootstrap $target" >"$work/$target.log" 2>&1 || status=1
    tail -3 "$work/$target.log"
done
umount "$root/proc" 2>/dev/null || true
echo "logs: $work/demo.log $work/check.log; exit $status"
exit $status
