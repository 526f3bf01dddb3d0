# The supervisor of one deployment on this host: it holds the lock, changes the system, and goes back
# to what it found unless it is told to keep the new one.
#
#   locked ─activate▶ activating ─▶ active ─ack▶ acked ─commit▶ committed ─release▶ released
#      └──────────────┴── abort, silence, failure ──▶ reverting ─▶ reverted | revert-failed
#
# Arguments: run|ensure TOKEN GOAL NEW EXPECTED PATIENCE NETWORK. `ensure` is what systemd starts when
# `run` has ended, however it ended: it reverts what `run` could not.
# Secrets are put in their places with the activation (keys.sh, which stands before this), and what was there comes back
# with the old system.
# Orders are lines in the pipe `in`; what happens is lines in `events` that begin with `@TOKEN`.
umask 077
mode=$1 token=$2 goal=$3 new=$4 expected=$5 patience=$6 network=$7
dir=/run/diorama/$token
keys=$dir/keys said=$dir/events key_system=$new child=
lock=/run/diorama/lock
profile=/nix/var/nix/profiles/system
records=/var/lib/diorama/deployments/$network

say() {
  printf '@%s %s\n' "$token" "$*" >>"$dir/events"
  printf '%s\n' "$*"
}
enter() {
  printf '%s\n' "$1" >"$dir/state.new"
  mv "$dir/state.new" "$dir/state"
}
state() { cat "$dir/state" 2>/dev/null; }
real() { if [ -e "$1" ]; then readlink -f "$1"; fi; }
current() { real /run/current-system; }
# Runs a configuration's own program; what it says is an event of no kind.
configure() { "$1/bin/switch-to-configuration" "$2" >>"$dir/events" 2>&1 </dev/null; }

# What could not be put back stays where it is kept, and so does what may have to go back yet.
forget_keys() { if [ -z "$keys_kept" ]; then rm -rf "$keys"; fi; }

unlock() {
  forget_keys
  if [ "$(readlink "$lock" 2>/dev/null)" = "$token" ]; then rm -f "$lock"; fi
  rm -rf "/nix/var/nix/gcroots/diorama/$token"
}

# What is busy with an activation must not go on while another one begins.
stop_activation() {
  if [ -n "$activation" ]; then
    kill "$activation" 2>/dev/null
    wait "$activation" 2>/dev/null
    activation=
  fi
}

restore_profile() {
  old=$(cat "$dir/old-profile")
  if [ "$(real "$profile")" = "$old" ]; then return 0; fi
  link=$(cat "$dir/old-link")
  if [ -z "$old" ]; then
    rm -f "$profile"
  else
    case $link in
      system-*-link)
        number=${link#system-} number=${number%-link}
        nix-env -p "$profile" --switch-generation "$number" >>"$dir/events" 2>&1 ;;
      *) nix-env -p "$profile" --set "$old" >>"$dir/events" 2>&1 ;;
    esac
  fi
  [ "$(real "$profile")" = "$old" ]
}

revert() {
  was=$(state)
  case $was in
    released | reverted | revert-failed | refused) return 0 ;;
    '' | locked)
      say reverted untouched
      enter reverted
      unlock
      return 0 ;;
  esac
  say reverting "$*"
  stop_activation
  trouble=
  # Before the old system's units start again, which read them.
  if ! keys_back; then
    trouble="$(cat "$keys/trouble"), and are in $keys" keys_kept=1
  fi
  restore_profile || trouble="${trouble:+$trouble, and }the system profile could not be set back"
  if [ "$(systemctl is-system-running 2>/dev/null)" = stopping ]; then
    # The machine goes down: it comes back with what it boots, and nothing can be started any more.
    case $was in
      committing | committed) configure "$(cat "$dir/old-profile")" boot ;;
    esac
    say reverted "by the profile, as the machine goes down"
    enter reverted
    unlock
    return 0
  fi
  back=$(cat "$dir/old")
  case $was in
    committing | committed)
      configure "$(cat "$dir/old-profile")" boot || trouble="${trouble:+$trouble, and }its boot loader failed" ;;
  esac
  if [ "$goal" != boot ]; then
    configure "$back" test
    status=$?
    if [ "$status" != 0 ] && [ "$status" != 4 ] && [ "$status" != 100 ]; then
      configure "$back" test
      status=$?
    fi
    case $status in
      0 | 100) ;;
      4) say units-failed ;;
      *) trouble="${trouble:+$trouble, and }switch-to-configuration of $back ended with status $status" ;;
    esac
    if [ "$(current)" != "$back" ]; then
      trouble="${trouble:+$trouble, and }the running system is $(current), not $back"
    fi
  fi
  keys_act_back
  if [ -n "$trouble" ]; then
    say revert-failed "$trouble"
    enter revert-failed
  else
    say reverted "$back"
    enter reverted
  fi
  unlock
}

keys_kept=
if [ "$mode" = ensure ]; then
  activation=
  case $(state) in
    starting) unlock ;;
    *) revert "the supervisor was stopped" ;;
  esac
  case $(state) in revert-failed | released) ;; *) forget_keys ;; esac
  exit 0
fi

enter starting
while ! ln -s "$token" "$lock" 2>/dev/null; do
  holder=$(readlink "$lock" 2>/dev/null) || continue
  case $(systemctl show -p ActiveState --value "diorama-deploy-$holder.service" 2>/dev/null) in
    active | activating | deactivating | reloading)
      say refused "$(cat "/run/diorama/$holder/who" 2>/dev/null)"
      enter refused
      forget_keys
      exit 0 ;;
  esac
  # Its unit is gone, so the lock is stale. Whoever moves it away by accident puts it back.
  if mv "$lock" "$lock.$token" 2>/dev/null; then
    moved=$(readlink "$lock.$token")
    rm -f "$lock.$token"
    if [ "$moved" != "$holder" ]; then ln -s "$moved" "$lock" 2>/dev/null; fi
  fi
done

old=$(current)
if [ "$expected" != any ] && [ "$old" != "$expected" ]; then
  say refused "the system changed to $old since the plan was made"
  enter refused
  unlock
  exit 0
fi
if [ -z "$old" ] || [ ! -x "$old/bin/switch-to-configuration" ]; then
  say refused "there is no running system to go back to: /run/current-system"
  enter refused
  unlock
  exit 0
fi
printf '%s\n' "$old" >"$dir/old"
real "$profile" >"$dir/old-profile"
readlink "$profile" >"$dir/old-link" 2>/dev/null
# What earlier attempts left is of no use after a day.
find /run/diorama /nix/var/nix/gcroots/diorama -mindepth 1 -maxdepth 1 -type d -mmin +1440 \
  ! -name "$token" -exec rm -rf {} + 2>/dev/null
# The old system is held until the end, whatever the profile says.
mkdir -p "/nix/var/nix/gcroots/diorama/$token"
ln -sfn "$old" "/nix/var/nix/gcroots/diorama/$token/old-system"
# An attempt that takes back what was let go already: what its secrets were comes back with the old system.
back=
case $token in
  *-back)
    back=1
    if [ -e "/run/diorama/${token%-back}/keys/table" ]; then
      rm -rf "$keys"
      mv "/run/diorama/${token%-back}/keys" "$keys"
    fi ;;
esac
keys_before() { if [ -n "$back" ]; then keys_back; else keys_put pre-activation; fi; }
keys_after() { if [ -n "$back" ]; then keys_act_back; else keys_put post-activation; fi; }
# Open before anybody is told: what is written into a pipe that nobody holds is lost.
exec 3<>"$dir/in"
enter locked
say locked "$old"

(while sleep 2; do echo tick; done >&3 2>/dev/null) &
idle=0 activation='' nonce='' stop=''
while read -r order word <&3; do
  now=$(state)
  case $order in
    tick)
      idle=$((idle + 2))
      if [ "$idle" -ge "$patience" ]; then
        revert "nobody was heard of for $patience seconds"
        break
      fi ;;
    beat) idle=0 ;;
    activate)
      idle=0
      if [ "$now" = locked ] && [ -z "$activation" ]; then
        enter activating
        say activating
        (
          trap 'if [ -n "$child" ]; then kill "$child"; wait "$child"; fi; exit 1' TERM
          status=keys
          if keys_before; then
            "$new/bin/switch-to-configuration" test >>"$dir/events" 2>&1 </dev/null &
            child=$!
            wait "$child"
            status=$?
            child=
            case $status in 0 | 4 | 100) keys_after || status=keys ;; esac
          fi
          echo "activated $status" >&3
        ) &
        activation=$!
      fi ;;
    activated)
      activation=
      if [ -n "$stop" ]; then revert "$stop"; break; fi
      case $word in
        0 | 4 | 100) ;;
        keys) revert "$(cat "$keys/trouble")"; break ;;
        *) revert "the activation ended with status $word"; break ;;
      esac
      if [ "$(current)" != "$new" ]; then
        revert "the running system is $(current), not $new"
        break
      fi
      cat /proc/sys/kernel/random/uuid >"$dir/nonce"
      nonce=$(cat "$dir/nonce")
      enter active
      say active "$word" ;;
    ack)
      idle=0
      if [ "$now" = active ] && [ -n "$nonce" ] && [ "$word" = "$nonce" ]; then
        enter acked
        say acked
      fi ;;
    commit)
      idle=0
      if [ "$now" = acked ] || { [ "$now" = locked ] && [ "$goal" = boot ]; }; then
        enter committing
        say committing
        if nix-env -p "$profile" --set "$new" >>"$dir/events" 2>&1; then
          configure "$new" boot
          status=$?
        else
          status=profile
        fi
        case $status in
          0 | 100)
            enter committed
            say committed "$status" ;;
          *)
            revert "the profile or the boot loader failed: $status"
            break ;;
        esac
      fi ;;
    release)
      if [ "$now" = committed ] || { [ "$now" = acked ] && [ "$goal" = test ]; }; then
        enter released
        mkdir -p "$records" && cp "$dir/record" "$records/.new" && cat "$dir/record" >>"$records/log" &&
          mv "$records/.new" "$records/current"
        if [ -z "$back" ] && [ -e "$keys/table" ]; then
          # Another host's failure may still bring the old system back; the deployer removes this in the end.
          rm -f "$keys"/*.new
          keys_kept=1
        fi
        say released
        unlock
        break
      fi ;;
    abort)
      idle=0
      if [ -n "$activation" ] && [ "$word" != now ]; then
        # What is half done is ended first: it is set back from one whole state to another.
        stop="the deployment was taken back"
        say stopping
      else
        revert "the deployment was taken back"
        break
      fi ;;
  esac
done
exit 0
