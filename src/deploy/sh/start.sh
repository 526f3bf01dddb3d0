# Starts the supervisor of one attempt. Standard input: the record, one line; the secrets' table and an empty line, the
# secrets and their actions, in the sizes that it names (keys.sh); then the supervisor.
# Arguments: TOKEN GOAL NEW EXPECTED PATIENCE NETWORK WHO
PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin:/usr/local/bin:/usr/sbin:/sbin:/usr/bin:/bin
export PATH
umask 077
set -e
dir=/run/diorama/$1
mkdir -p /run/diorama
mkdir "$dir"
read -r record
printf '%s\n' "$record" >"$dir/record"
# Nothing of a secret stays where no supervisor is that would see to it.
trap 'rm -rf "$dir/keys"' EXIT
trap 'exit 1' HUP TERM INT PIPE
mkdir "$dir/keys"
while IFS= read -r line && [ -n "$line" ]; do printf '%s\n' "$line" >>"$dir/keys/table"; done
# Reads exactly so many bytes of the input, which goes on behind them.
take() { # SIZE FILE
  : >"$2"
  if [ "$1" -gt 0 ]; then dd bs="$1" count=1 iflag=fullblock of="$2" 2>/dev/null <&4; fi
  [ "$(wc -c <"$2")" -eq "$1" ]
}
exec 4<&0
if [ -e "$dir/keys/table" ]; then
  while read -r number _ size action _; do
    take "$size" "$dir/keys/$number.new"
    take "$action" "$dir/keys/$number.action"
  done <"$dir/keys/table"
fi
cat >"$dir/supervise.sh"
exec 4<&-
# A connection that was lost looks like the end: a supervisor that is cut off is none.
[ "$(tail -n 1 "$dir/supervise.sh")" = 'exit 0' ]
printf '%s\n' "$7" >"$dir/who"
: >"$dir/events"
mkfifo "$dir/in"
shell=$(command -v sh)
hook="ExecStopPost=$shell $dir/supervise.sh ensure $1 $2 $3 $4 $5 $6"
systemd-run --quiet --collect --unit="diorama-deploy-$1" --description="diorama: deploy $6" \
  --setenv=PATH="$PATH" --property=TimeoutStopSec=900 --property=OOMScoreAdjust=-900 \
  --property="$hook" \
  -- "$shell" "$dir/supervise.sh" run "$1" "$2" "$3" "$4" "$5" "$6" </dev/null
trap - EXIT
