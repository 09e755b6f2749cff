#!/usr/bin/env bash
# Looks the machine over, records, checks the recording, and only then copies it away.
#
#   examples/record-and-upload.sh DESTINATION [COMMAND [FLAG..]]
#
# DESTINATION is what rsync takes: a folder or host:folder. COMMAND is `record` if not told otherwise; `host` and
# `join 'ADDRESS:PORT#KEY'` work the same way. Ctrl-C ends the recording; the copy is made all the same.
set -euo pipefail

(($# >= 1)) || { echo "usage: ${0##*/} DESTINATION [COMMAND [FLAG..]]" >&2; exit 2; }
destination=$1
shift
(($# >= 1)) || set -- record
for tool in rsync jq; do
  command -v "$tool" >/dev/null || { echo "error: $tool is missing; try: apt install $tool" >&2; exit 1; }
done
here=$(cd "$(dirname "$0")/.." && pwd)
hyperzoom=${HYPERZOOM:-$(command -v hyperzoom || echo "$here/target/release/hyperzoom")}
[[ -x $hyperzoom ]] || { echo "error: hyperzoom is not built; try: make release" >&2; exit 1; }

echo "Looking this machine over ..."
if ! report=$("$hyperzoom" doctor --json ${DOCTOR_FLAGS:-}); then
  jq -r '.findings[] | select(.state == "problem") | "\(.area), \(.name): \(.detail)\n  try: \(.try)"' <<<"$report" >&2
  if [[ -z ${RECORD_ANYWAY:-} ]]; then
    echo "error: not recorded; RECORD_ANYWAY=1 records all the same" >&2
    exit 1
  fi
fi
jq -r '.findings[] | select(.state == "warning") | "warning: \(.name): \(.detail)"' <<<"$report"

events=$(mktemp)
trap 'rm -f "$events"' EXIT
# Ctrl-C reaches hyperzoom by itself; this script only has to outlive it.
trap : INT
echo "Recording; Ctrl-C ends it."
code=0
"$hyperzoom" "$@" --json >"$events" </dev/null || code=$?
trap - INT
folder=$(jq -r 'select(.event == "recording_finished").folder' "$events")
if [[ -z $folder ]]; then
  jq -r 'select(.event == "error") | "error: \(.what); try \(.try)"' "$events" >&2
  exit "$((code == 0 ? 1 : code))"
fi

# What does not hold is copied too, it may be the only copy, but the exit code says so.
"$hyperzoom" verify "$folder" || code=$?
rsync --archive --partial "$folder" "$destination"
echo "Copied to $destination: ${folder##*/}"
exit "$code"
