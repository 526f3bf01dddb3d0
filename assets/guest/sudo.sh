#!/bin/bash
# sudo in a clone, for the scripts that root runs: a command as another user. Nobody becomes root by it, for it is
# no set-uid program; where the model asks for Debian's sudo, that one is run.
if [ -x /usr/bin/sudo ]; then exec /usr/bin/sudo "$@"; fi

user=root group='' login='' keep='' shell=''
while [ $# -gt 0 ]; do
  case $1 in
  -u | --user) user=$2; shift ;;
  --user=*) user=${1#*=} ;;
  -u?*) user=${1#-u} ;;
  -g | --group) group=$2; shift ;;
  --group=*) group=${1#*=} ;;
  -i | --login) login=1 ;;
  -s | --shell) shell=1 ;;
  -E | --preserve-env) keep=1 ;;
  -H | -n | -S | -k | -K | -b | --set-home | --non-interactive | --stdin) ;;
  -[HnSEi][HnSEi]*) case $1 in *E*) keep=1 ;; esac; case $1 in *i*) login=1 ;; esac ;;
  --) shift; break ;;
  -*) echo "sudo: $1 is not known here; the package sudo knows it" >&2; exit 1 ;;
  *=*) export "${1?}" ;;
  *) break ;;
  esac
  shift
done
if [ "$(id -u)" != 0 ]; then
  echo "sudo: only root can run commands as somebody else here" >&2
  exit 1
fi
case $user in '#'*) user=$(id -nu "${user#?}") ;; esac
IFS=: read -r _ _ _ _ _ home own < <(getent passwd "$user") || { echo "sudo: unknown user: $user" >&2; exit 1; }
if [ -z "$keep" ]; then export HOME="$home" USER="$user" LOGNAME="$user" SHELL="$own" SUDO_USER=root; fi
if [ -n "$login" ]; then cd "$home" 2>/dev/null || cd /; fi
if [ -n "$login$shell" ] || [ $# = 0 ]; then
  if [ $# -gt 0 ]; then set -- "${own:-/bin/sh}" -c "$*"; else set -- "${own:-/bin/sh}"; fi
fi
exec runuser ${group:+-g "$group"} -u "$user" -- "$@"
