#!/bin/busybox sh
# What systemd leaves to at the end, in a root of its own below /run: nothing uses /usr any more, so
# the last file systems are let go before the power.
while read -r _ directory _; do
  case $directory in /oldroot | /oldroot/*) directories="$directory ${directories-}" ;; esac
done < /proc/mounts
for directory in ${directories-}; do busybox umount "$directory" 2>/dev/null; done
busybox sync
case $1 in
  reboot) busybox reboot -f ;;
  halt) busybox halt -f ;;
  *) busybox poweroff -f ;;
esac
