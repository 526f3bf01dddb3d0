#!/bin/bash
# Starts an X server on a display without udev, tells systemd when it is ready, and runs a person's session on it.
#
# usage: display.sh USER SESSION [SERVER-ARGUMENT...]
# LAYOUT, VARIANT and OPTIONS are the keyboard's, in xkb's words.
set -eu
user=$1 session=$2
shift 2
run=/run/display

# The server finds no device by itself: it is told of every keyboard and pointer that the kernel has.
devices() {
  local handlers= line kind event
  while read -r line; do
    case $line in
      H:*) handlers=" ${line#*=} " ;;
      B:\ EV=*)
        case $handlers in
          *" kbd "*) kind=keyboard ;;
          *" mouse"*) kind=pointer ;;
          *) continue ;;
        esac
        [[ $handlers =~ \ (event[0-9]+)\  ]] || continue
        event=${BASH_REMATCH[1]}
        # A power button is a keyboard too, of one key: it repeats nothing.
        if [ "$kind" = keyboard ] && ! (( 0x${line##*EV=} & 1 << 20 )); then continue; fi
        printf 'Section "InputDevice"\n  Identifier "%s %s"\n  Driver "evdev"\n  Option "Device" "/dev/input/%s"\n' "$kind" "$event" "$event"
        if [ "$kind" = keyboard ]; then
          printf '  Option "XkbLayout" "%s"\n' "${LAYOUT:-us}"
          if [ -n "${VARIANT:-}" ]; then printf '  Option "XkbVariant" "%s"\n' "$VARIANT"; fi
          if [ -n "${OPTIONS:-}" ]; then printf '  Option "XkbOptions" "%s"\n' "$OPTIONS"; fi
        fi
        printf '  Option "AutoServerLayout" "on"\nEndSection\n'
        ;;
    esac
  done < /proc/bus/input/devices
}

mkdir -p "$run/xorg.conf.d" /var/lib/xkb
devices > "$run/xorg.conf.d/devices.conf"

# What a machine whose power was cut left behind would be taken for a server that runs.
rm -f /tmp/.X0-lock /tmp/.X11-unix/X0 "$run/ready" "$run/authority"
(umask 077 && xauth -q -f "$run/authority" add :0 . "$(mcookie)")
mkfifo "$run/ready"
Xorg :0 vt7 -noreset -nolisten tcp -auth "$run/authority" -configdir "$run/xorg.conf.d" -logfile /var/log/Xorg.0.log -displayfd 3 "$@" 3> "$run/ready" &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
# The pipe's end without a word is the server's.
read -r _ < "$run/ready" || { echo "the X server did not start" >&2; exit 1; }

IFS=: read -r _ _ uid gid _ home _ < <(getent passwd "$user")
install -o "$uid" -g "$gid" -m 0600 "$run/authority" "$home/.Xauthority"
install -d -o "$uid" -g "$gid" -m 0700 /run/user "/run/user/$uid"
chmod 0755 /run/user
chown 0:0 /run/user
systemd-notify --ready
runuser -l "$user" -c "DISPLAY=:0 XDG_RUNTIME_DIR=/run/user/$uid exec $session" &
# Whichever of the two ends first ends the other: the unit starts both again.
wait -n
