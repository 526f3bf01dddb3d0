# Starts the supervisor of one attempt. Standard input: the record, one line; then the supervisor.
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
cat >"$dir/supervise.sh"
printf '%s\n' "$7" >"$dir/who"
: >"$dir/events"
mkfifo "$dir/in"
shell=$(command -v sh)
hook="ExecStopPost=$shell $dir/supervise.sh ensure $1 $2 $3 $4 $5 $6"
exec systemd-run --quiet --collect --unit="diorama-deploy-$1" --description="diorama: deploy $6" \
  --setenv=PATH="$PATH" --property=TimeoutStopSec=900 --property=OOMScoreAdjust=-900 \
  --property="$hook" \
  -- "$shell" "$dir/supervise.sh" run "$1" "$2" "$3" "$4" "$5" "$6" </dev/null
