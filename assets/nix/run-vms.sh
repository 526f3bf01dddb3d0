# Builds $out/bin/run-vms, the start script of a network's clone, beside the manifest that it runs.
mkdir -p "$out/bin"
cp "$manifestPath" "$out/manifest.json"
cat > "$out/bin/run-vms" <<END
#!/bin/sh
# Runs the network's clone: \`diorama up\` on the manifest that was built with this script.
exec "\${DIORAMA:-$diorama}" up "\$@" "$out/manifest.json"
END
chmod +x "$out/bin/run-vms"
