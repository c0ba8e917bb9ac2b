#!/bin/sh
# Installs the agent on a robot, or brings it up to date; may be run as often as one likes. Nothing of /etc that is
# there is changed. Run it as root in the folder that holds jetson_agent.py:
#
#   ./install.sh --registry https://periscope.example.org --device sub-1 [--root-file root-1.json] [--code CODE]
#                [--ca-file ca.pem] [--factory-zip model.zip] [--detector]
#
# --root-file  the first root document: then only signed releases are taken
# --code       enrols the robot: a code that works once, from POST /v1/devices/{device}:code
# --detector   also starts jetson-inference's detectnet with the current model
# DESTDIR=...  installs below another folder, for images of a disk: makes no users and starts nothing
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=${DESTDIR:-}
etc=$root/etc/periscope-agent
opt=$root/opt/periscope-agent
units=$root/etc/systemd/system
registry='' device='' root_file='' code='' ca_file='' factory_zip='' with_detector=''

fail() { echo "install.sh: $1" >&2; exit 64; }

while [ $# -gt 0 ]; do
    case "$1" in
        --detector) with_detector=yes; shift; continue ;;
        --registry | --device | --root-file | --code | --ca-file | --factory-zip) ;;
        *) fail "unknown option $1" ;;
    esac
    [ $# -ge 2 ] || fail "$1 needs a value"
    case "$1" in
        --registry) registry=$2 ;;
        --device) device=$2 ;;
        --root-file) root_file=$2 ;;
        --code) code=$2 ;;
        --ca-file) ca_file=$2 ;;
        --factory-zip) factory_zip=$2 ;;
    esac
    shift 2
done

command -v python3 > /dev/null || fail "python3 is missing"
if [ -n "$root_file" ] || grep -q '"root_file": "/' "$etc/config.json" 2> /dev/null; then
    command -v openssl > /dev/null || fail "openssl is missing; it checks the signatures"
fi
for file in "$root_file" "$ca_file" "$factory_zip"; do
    [ -z "$file" ] || [ -f "$file" ] || fail "there is no file $file"
done
if [ ! -f "$etc/config.json" ]; then
    if [ -z "$registry" ] || [ -z "$device" ]; then fail "the first time --registry and --device are needed"; fi
    case "$registry$device" in *[\"\\]*) fail "quotes and backslashes cannot be part of a name" ;; esac
fi

if [ -z "$root" ]; then
    [ "$(id -u)" = 0 ] || fail "run it as root"
    getent group periscope > /dev/null || groupadd --system periscope
    id periscope > /dev/null 2>&1 || useradd --system --gid periscope --no-create-home periscope
fi

install -d -m 0755 "$opt" "$units" "$etc"
install -m 0755 "$here/jetson_agent.py" "$here/detector.py" "$opt"
install -m 0644 "$here/README.md" "$opt"
install -m 0644 "$here"/systemd/* "$units"

# What is there already is the operator's.
keep_or_copy() { [ -z "$1" ] || [ -f "$etc/$2" ] || install -m 0644 "$1" "$etc/$2"; }
keep_or_copy "$root_file" root-1.json
keep_or_copy "$ca_file" ca.pem
keep_or_copy "$factory_zip" factory.zip
[ -z "$factory_zip" ] || [ ! -f "$factory_zip.release.json" ] || keep_or_copy "$factory_zip.release.json" factory.zip.release.json

if [ ! -f "$etc/config.json" ]; then
    {
        printf '{\n  "registry_url": "%s",\n  "device": "%s",\n' "$registry" "$device"
        printf '  "token_file": "/etc/periscope-agent/token",\n  "root": "/var/lib/periscope-agent",\n'
        [ ! -f "$etc/root-1.json" ] || printf '  "root_file": "/etc/periscope-agent/root-1.json",\n'
        [ ! -f "$etc/ca.pem" ] || printf '  "ca_file": "/etc/periscope-agent/ca.pem",\n'
        [ ! -f "$etc/factory.zip" ] || printf '  "factory_zip": "/etc/periscope-agent/factory.zip",\n'
        for word in probe warm-up smoke-test; do
            key=$(echo "$word" | tr - _)
            printf '  "%s": ["/opt/periscope-agent/detector.py", "%s"],\n' "$key" "$word"
        done
        printf '  "boot_timeout_s": 20\n}\n'
    } > "$etc/config.json.new"
    mv "$etc/config.json.new" "$etc/config.json"
fi

if [ -n "$root" ]; then
    echo "installed below $root; enrol the robot when it runs: jetson_agent.py enrol CODE"
    exit 0
fi
if [ -n "$code" ]; then
    python3 "$opt/jetson_agent.py" enrol "$code"
fi
[ ! -f "$etc/token" ] || { chgrp periscope "$etc/token"; chmod 0640 "$etc/token"; }
chgrp -R periscope "$etc"
install -d -m 2775 -o periscope -g periscope /var/lib/periscope-agent
systemctl daemon-reload
systemctl enable --now periscope-model.service periscope-agent.timer || echo "no model yet: it comes with the first update"
if [ -n "$with_detector" ]; then
    systemctl enable periscope-detector.service periscope-detector-follow.path
    systemctl start --no-block periscope-detector.service periscope-detector-follow.path
fi
echo "installed; 'journalctl -u periscope-agent' tells what the agent does"
