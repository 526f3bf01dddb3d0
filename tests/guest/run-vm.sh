#!/bin/sh
# A start script in the shape of those that NixOS makes (run-NAME-vm), for the mini guest: the words in
# @…@ are filled in by the test. It honours the same variables in the same way, unquoted ones too.
set -e

NIX_DISK_IMAGE=$(readlink -f "${NIX_DISK_IMAGE:-./@name@.qcow2}") || test -z "$NIX_DISK_IMAGE"
if test -n "$NIX_DISK_IMAGE" && ! test -e "$NIX_DISK_IMAGE"; then
    echo "The disk image is not there and is made."
    qemu-img create -q -f qcow2 "$NIX_DISK_IMAGE" 64M
fi
if [ -z "$TMPDIR" ] || [ -z "$USE_TMPDIR" ]; then
    TMPDIR=$(mktemp -d nix-vm.XXXXXXXXXX --tmpdir)
fi
mkdir -p "$TMPDIR/xchg"
cd "$TMPDIR"
if ! test -e "empty0.qcow2"; then
    qemu-img create -q -f qcow2 "empty0.qcow2" 16M
fi

exec qemu-system-x86_64 -machine accel=kvm:tcg -cpu max \
    -name @name@ \
    -m 128 \
    -smp 1 \
    -device virtio-rng-pci \
    -net nic,netdev=user.0,model=virtio -netdev user,id=user.0,"$QEMU_NET_OPTS" \
    -virtfs local,path="${SHARED_DIR:-$TMPDIR/xchg}",security_model=none,mount_tag=shared \
    -drive cache=writeback,file="$NIX_DISK_IMAGE",id=drive1,if=none,index=1,werror=report -device virtio-blk-pci,bootindex=1,drive=drive1,serial=root \
    -drive cache=writeback,file="$TMPDIR/empty0.qcow2",id=drive2,if=none,index=2,werror=report -device virtio-blk-pci,drive=drive2 \
    -device virtio-keyboard \
    -usb -device usb-tablet,bus=usb-bus.0 \
    -kernel @guest@/kernel \
    -initrd @guest@/initrd \
    -append "quiet mini.name=@name@ mini.ip=@address@/24 mini.shell=backdoor @params@ $QEMU_KERNEL_PARAMS" \
    -device virtio-net-pci,netdev=vlan1,mac=@mac@ -netdev vde,id=vlan1,sock="$QEMU_VDE_SOCKET_1" \
    -nographic \
    $QEMU_OPTS \
    "$@"
