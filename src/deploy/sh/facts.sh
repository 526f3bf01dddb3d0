# What a machine is made of, for a comparison with another: records that end with a NUL, fields apart by tabs.
# The same in a clone and on a host; it changes nothing.
PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin:/usr/local/bin:/usr/sbin:/sbin:/usr/bin:/bin
LC_ALL=C
export PATH LC_ALL
tab=$(printf '\t')
say() { printf '%s\t%s\0' "$1" "$2"; }
# The lines of a program as records of a kind.
lines() { while IFS= read -r line; do printf '%s\t%s\0' "$1" "$line"; done; }
for program in find sha256sum systemctl; do
  command -v "$program" >/dev/null 2>&1 || say lacks "$program"
done
if [ -e /run/current-system ]; then say system "$(readlink -f /run/current-system)"; fi
if [ -e /nix/var/nix/profiles/system ]; then say profile "$(readlink -f /nix/var/nix/profiles/system)"; fi
say boot "$(cat /proc/sys/kernel/random/boot_id)"

# The files below a directory, links followed: what they are, and what is in those that are not too large.
tree() { # KIND DIRECTORY
  cd "$2" 2>/dev/null || return 0
  find -L . -maxdepth 16 -path ./static -prune -o ! -type d -printf "$1\t%y\t%m\t%U\t%G\t%s\t%P\t%l\\0" 2>/dev/null
  say sums "$1"
  find -L . -maxdepth 16 -path ./static -prune -o -type f -size -16384k -exec sha256sum -z {} + 2>/dev/null
  cd /
}
tree etc /etc
# Relative links, which a system's own tree cannot follow from the store.
cd /etc && find . -path ./static -prune -o -type l -lname '[!/]*' -printf 'link\t%P\t%l\0' 2>/dev/null
cd /
# What the system itself says that /etc holds. In a clone the package images' /etc lies below it.
tree said /run/current-system/etc
for layer in /run/diorama/layer9 /run/diorama/layer8 /run/diorama/layer7 /run/diorama/layer6 /run/diorama/layer5 \
  /run/diorama/layer4 /run/diorama/layer3 /run/diorama/layer2 /run/diorama/layer1 /run/diorama/layer0; do
  if [ -d "$layer/etc" ]; then tree said "$layer/etc"; fi
done
if [ -e /run/current-system/modes ]; then lines mode < /run/current-system/modes; fi
if [ -e /run/current-system/etc/passwd ]; then lines saiduser < /run/current-system/etc/passwd; fi
lines user < /etc/passwd
lines group < /etc/group

systemctl list-units --all --plain --no-legend --no-pager --full 2>/dev/null | lines unit
systemctl list-unit-files --no-legend --no-pager --full 2>/dev/null | lines unitfile

if [ -e /run/current-system/packages ]; then
  lines package < /run/current-system/packages
elif command -v nix-store >/dev/null 2>&1; then
  nix-store --query --requisites /run/current-system 2>/dev/null | while IFS= read -r path; do
    path=${path##*/}
    say package "${path#????????????????????????????????-}"
  done
fi
# What somebody has installed beside the system.
if command -v nix-env >/dev/null 2>&1; then
  for profile in /nix/var/nix/profiles/default /root/.nix-profile; do
    if [ -e "$profile" ]; then nix-env -p "$profile" -q 2>/dev/null | lines installed; fi
  done
fi

if command -v ss >/dev/null 2>&1; then
  sockets=$(ss -H -tulnp 2>/dev/null)
  printf '%s\n' "$sockets" | lines socket
  printf '%s\n' "$sockets" | grep -o 'pid=[0-9]*' | sort -u | while IFS='=' read -r _ pid; do
    while IFS=: read -r _ _ group; do say process "$pid$tab$group"; done < "/proc/$pid/cgroup" 2>/dev/null
  done
else
  say lacks ss
fi
if command -v ip >/dev/null 2>&1; then ip -o addr show 2>/dev/null | lines address; fi
say end .
