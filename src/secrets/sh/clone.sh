# Puts one secret into a clone. Standard input: what it says. It follows keys.sh.
# Arguments: USER GROUP MODE MKDIRS PATH NAME ACTION
PATH=$PATH:/run/current-system/sw/bin:/usr/sbin:/sbin:/usr/bin:/bin
umask 077
key_system=/run/current-system said=/dev/null
mkdir -p /run
keys=$(mktemp -d "/run/diorama-key.XXXXXX") || exit 1
trap 'rm -rf "$keys"' EXIT
trap 'exit 1' HUP TERM INT PIPE
token=${keys##*.}
cat >"$keys/1.new"
printf '%s' "$7" >"$keys/1.action"
if key_put 1 "$1" "$2" "$3" "$4" "$5" "$6"; then exit 0; fi
cat "$keys/trouble" >&2
exit 1
