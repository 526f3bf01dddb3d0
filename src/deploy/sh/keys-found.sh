# What a host has where secrets shall be. Standard input: a salt, then lines NUMBER PATH.
# What a file says is answered by a hash of the salt and the file, which tells nothing without them.
PATH=$PATH:/run/current-system/sw/bin:/usr/bin:/bin
read -r salt
while read -r number path; do
  if [ -L "$path" ]; then
    printf '%s link\n' "$number"
  elif [ -f "$path" ]; then
    sum=$({ printf '%s' "$salt"; head -c 1048577 "$path"; } | sha256sum)
    printf '%s file %s %s\n' "$number" "${sum%% *}" "$(stat -c '%a %u %g	%U	%G' "$path")"
  elif [ -e "$path" ]; then
    printf '%s other\n' "$number"
  else
    printf '%s none\n' "$number"
  fi
done
printf 'end\n'
