# Puts secrets into their places, and takes them back. Whoever does it reads this first: the supervisor of a host, the
# root shell of a clone.
#
# Wants `keys`, a private directory, `token`, which makes names of files beside others unique, `said`, a file for what
# actions print, and `key_system`, the system whose users count first. In `keys` are:
#   table      a line for every secret: NUMBER WHEN SIZE ACTION-SIZE USER GROUP MODE MKDIRS PATH NAME
#   N.new      what it says            N.action   the command to run when it is in its place, empty for none
#   N.was      what was there before   N.none     there was nothing
#   N.later    its owner comes with the activation: it is root's until then
#   made       directories that were made
#   trouble    why it failed
# shellcheck disable=SC2154

key_fails() {
  printf '%s\n' "$1" >"$keys/trouble"
  return 1
}

# The number of a user (passwd) or a group (group): as the new system has it, else as this one does.
key_id() { # passwd|group NAME
  case $2 in root) echo 0; return 0 ;; *[!0-9]*) ;; *) echo "$2"; return 0 ;; esac
  for key_list in "$key_system/etc/$1" "/etc/$1"; do
    if [ -r "$key_list" ]; then
      while IFS=: read -r key_name _ key_number _; do
        if [ "$key_name" = "$2" ]; then printf '%s\n' "$key_number"; return 0; fi
      done <"$key_list"
    fi
  done
  key_number=$(getent "$1" "$2" 2>/dev/null | cut -d: -f3)
  printf '%s\n' "$key_number"
  [ -n "$key_number" ]
}

# A directory is made with all above it; what is made here is remembered.
key_dir() { # DIRECTORY
  if [ -d "$1" ]; then return 0; fi
  key_dir "$(dirname "$1")" || return 1
  printf '%s\n' "$1" >>"$keys/made"
  mkdir "$1" 2>/dev/null || return 1
  case $1 in
    /run/keys)
      key_group=$(key_id group keys) || key_group=0
      chown "0:$key_group" "$1" && chmod 0750 "$1" ;;
    *) chmod 0755 "$1" ;;
  esac
}

# Whether a file is as it shall be. A link is not: what it leads to is not its own.
key_same() { # CONTENT FILE UID GID MODE
  [ ! -L "$2" ] && [ -f "$2" ] && [ "$(stat -c '%u:%g:%a' "$2")" = "$3:$4:$5" ] && cmp -s "$1" "$2"
}

there() { [ -e "$1" ] || [ -L "$1" ]; }

# Keeps what is there, once.
key_keep() { # NUMBER FILE
  if there "$keys/$1.was" || there "$keys/$1.none"; then return 0; fi
  if there "$2"; then
    rm -f "$keys/$1.tmp"
    cp -a "$2" "$keys/$1.tmp" && mv -fT "$keys/$1.tmp" "$keys/$1.was"
  else
    : >"$keys/$1.none"
  fi
}

# Replaces a file by another. The directory may be somebody else's, so the new one is made in a directory of our own
# beside it: names that others could have put there are never written to.
key_replace() { # CONTENT UID:GID MODE FILE   (without owner and mode: as CONTENT has them)
  rm -rf "$4.$token"
  (
    mkdir -m 700 "$4.$token" && cd -P "$4.$token" && [ "$(stat -c %u:%a .)" = "$(id -u):700" ] || exit 1
    if [ -n "$2" ]; then
      cat "$1" >"key.$token" && chown "$2" "key.$token" && chmod "$3" "key.$token" || exit 1
    else
      cp -a "$1" "key.$token" || exit 1
    fi
    mv -fT "key.$token" "$4"
  ) 2>/dev/null
  key_status=$?
  rm -rf "$4.$token"
  return "$key_status"
}

# Runs an action; one that hangs may not hold up the way back, whatever signals it does not heed.
key_act() { # NUMBER SECONDS
  if [ ! -s "$keys/$1.action" ]; then return 0; fi
  timeout -k 10 "$2" sh "$keys/$1.action" >>"$said" 2>&1 </dev/null &
  child=$!
  wait "$child"
  key_status=$?
  child=
  return "$key_status"
}

# With WHEN it is put there before an activation, which may make its user or its group.
key_put() { # NUMBER USER GROUP MODE MKDIRS FILE NAME [WHEN]
  key_missing=
  key_uid=$(key_id passwd "$2") || key_missing="user $2"
  key_gid=$(key_id group "$3") || key_missing=${key_missing:-group $3}
  key_mode=$4
  if [ -n "$key_missing" ]; then
    if [ "${8-}" != pre-activation ]; then key_fails "the key $7: there is no $key_missing"; return 1; fi
    : >"$keys/$1.later"
    key_uid=0 key_gid=0 key_mode=400
  fi
  if key_same "$keys/$1.new" "$6" "$key_uid" "$key_gid" "$key_mode"; then return 0; fi
  if there "$6" && [ ! -L "$6" ]; then
    if [ ! -f "$6" ]; then key_fails "the key $7: $6 is there already and is no file"; return 1; fi
    if [ "$(stat -c %s "$6")" -gt 16777216 ]; then
      key_fails "the key $7: $6 is there already, and too large to be kept for the way back"
      return 1
    fi
  fi
  key_above=$(dirname "$6")
  if [ "$5" = 1 ]; then key_dir "$key_above"; fi
  if [ ! -d "$key_above" ]; then key_fails "the key $7: there is no directory $key_above"; return 1; fi
  key_keep "$1" "$6" || { key_fails "the key $7: what $6 was before cannot be kept (is /run full?)"; return 1; }
  if key_replace "$keys/$1.new" "$key_uid:$key_gid" "$key_mode" "$6"; then
    # Nobody is told of what is not its owner's yet.
    if [ -n "$key_missing" ]; then return 0; fi
    key_act "$1" 300 || { key_fails "the key $7: its action ended with status $key_status"; return 1; }
  else
    key_fails "the key $7: $6 cannot be written"
  fi
}

# Puts what is to be there before the activation, or after it, when every user is there.
keys_put() { # WHEN
  if [ ! -e "$keys/table" ]; then return 0; fi
  while read -r number when _ _ user group perms mkdirs path name; do
    if [ "$when" = "$1" ] || { [ "$1" = post-activation ] && [ -e "$keys/$number.later" ]; }; then
      key_put "$number" "$user" "$group" "$perms" "$mkdirs" "$path" "$name" "$1" || return 1
    fi
  done <"$keys/table"
}

# Brings back what was there before; doing it twice does no harm.
keys_back() {
  if [ ! -e "$keys/table" ]; then return 0; fi
  key_trouble=
  # The last first: what was kept of one may be another's, by way of a link.
  sort -rn "$keys/table" >"$keys/table.back" || cp "$keys/table" "$keys/table.back"
  while read -r number _ _ _ _ _ _ _ path name; do
    rm -rf "$path.$token"
    if there "$keys/$number.was"; then
      key_replace "$keys/$number.was" '' '' "$path" || key_trouble="$key_trouble $name"
    elif there "$keys/$number.none"; then
      rm -f "$path" || key_trouble="$key_trouble $name"
    fi
  done <"$keys/table.back"
  if [ -e "$keys/made" ]; then
    # The deepest first; what somebody else has put something into stays.
    sort -r "$keys/made" | while read -r path; do rmdir "$path" 2>/dev/null; done
  fi
  if [ -n "$key_trouble" ]; then key_fails "these keys could not be put back:$key_trouble"; fi
}

# Whoever was told of a new secret is told of the old one, in five minutes for all of them: the host is held till then.
keys_act_back() {
  if [ ! -e "$keys/table" ]; then return 0; fi
  key_end=$(($(date +%s) + 300))
  while read -r number _ _ _ _ _ _ _ _ name; do
    key_left=$((key_end - $(date +%s)))
    if [ "$key_left" -lt 1 ]; then key_left=1; fi
    if there "$keys/$number.was" && ! key_act "$number" "$key_left"; then
      printf 'the action of the key %s ended with status %s\n' "$name" "$key_status" >>"$said"
    fi
  done <"$keys/table"
}
