# What a host says about itself, one `key value` a line. Argument: the network's name.
PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin:/usr/local/bin:/usr/sbin:/sbin:/usr/bin:/bin
say() { printf '%s %s\n' "$1" "$2"; }
real() { if [ -e "$1" ]; then readlink -f "$1"; fi; }
say machine "$(uname -s) $(uname -m)"
say uid "$(id -u)"
say boot "$(cat /proc/sys/kernel/random/boot_id)"
say current "$(real /run/current-system)"
say booted "$(real /run/booted-system)"
say profile "$(real /nix/var/nix/profiles/system)"
# shellcheck disable=SC2046
set -- "$1" $(df -Pk /nix/store 2>/dev/null | tail -n 1)
say free "${5-0}"
for program in nix-store nix-env systemd-run mkfifo; do
  command -v "$program" >/dev/null 2>&1 || say lacks "$program"
done
holder=$(readlink /run/diorama/lock 2>/dev/null)
if [ -n "$holder" ]; then
  case $(systemctl show -p ActiveState --value "diorama-deploy-$holder.service" 2>/dev/null) in
    active | activating | deactivating | reloading)
      say locked "$holder $(cat "/run/diorama/$holder/who" 2>/dev/null)" ;;
  esac
fi
for unit in $(systemctl list-units --failed --plain --no-legend --no-pager 2>/dev/null | while read -r u _; do printf '%s\n' "$u"; done); do
  say failed "$unit"
done
if [ -e "/var/lib/diorama/deployments/$1/current" ]; then
  say record "$(cat "/var/lib/diorama/deployments/$1/current")"
fi
if cd /run/current-system/etc/systemd/system 2>/dev/null; then
  set --
  for unit in *.service *.socket *.timer *.mount *.target *.path; do
    if [ -e "$unit" ]; then set -- "$@" "$unit"; fi
  done
  # One program for all of them: there are a hundred, and each answers with one line.
  if [ $# -gt 0 ]; then
    readlink -f "$@" | while read -r real; do
      say unit "$1 $real"
      shift
    done
  fi
fi
cd /
for part in kernel initrd kernel-params; do
  say running "$part $(real "/run/booted-system/$part")"
done
# NixOS' list of what cannot be exchanged while the system runs; it may be written in several lines.
if [ -f /run/current-system/switch-inhibitors ]; then
  say inhibitors "$(head -c 65536 /run/current-system/switch-inhibitors | tr '\n' ' ')"
fi
say end .
