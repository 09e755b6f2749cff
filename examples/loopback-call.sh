#!/usr/bin/env bash
# A recorded call of two programs on one machine, start to end: what a script around HyperZoom looks like.
#
#   examples/loopback-call.sh [SECONDS]        15 seconds if not told otherwise
#
# The host has this machine's microphone, camera and speaker where there are any; the guest, who shares the
# machine, has the test sound and the test picture. `hyperzoom host --json` says with one JSON object a line what
# happens; this script needs only sed to read it.
set -euo pipefail

seconds=${1:-15}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "usage: ${0##*/} [SECONDS]" >&2; exit 2; }

here=$(cd "$(dirname "$0")/.." && pwd)
hyperzoom=${HYPERZOOM:-${CARGO_TARGET_DIR:-$here/target}/release/hyperzoom}
if [[ ! -x $hyperzoom ]]; then
  hyperzoom=$(command -v hyperzoom) || { echo "error: hyperzoom is not built; try: make release" >&2; exit 1; }
fi
work=$(mktemp -d)
pids=()
# However this script ends, no call is left behind: SIGTERM lets them finalise their files.
clean_up() {
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in ${pids[@]+"${pids[@]}"}; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# last FILE FIELD: the newest value of a field, text or number, in a file of JSON lines.
last() { sed -n "s/.*\"$2\":\"\{0,1\}\([^\",}]*\).*/\1/p" "$1" 2>/dev/null | tail -n 1; }
# of_event FILE EVENT: the newest line of one kind.
of_event() { grep "\"event\":\"$2\"" "$1" 2>/dev/null | tail -n 1 || true; }
# fail WHAT FILE: why it went wrong, as the program itself says it.
fail() {
  printf '\nerror: %s\n' "$1" >&2
  [[ ! -s $2.err ]] || sed 's/^/  /' "$2.err" >&2
  of_event "$2" error >&2
  exit 1
}

# ---- Which devices ----------------------------------------------------------------------------------------------

"$hyperzoom" devices --json >"$work/devices"
# has KIND: at least one device of that kind is listed.
has() { grep -q "\"$1\":\[{" "$work/devices"; }
# works FLAG..: a second of recording with these devices succeeds.
works() {
  "$hyperzoom" record --json --no-window --duration 1s --output "$work/trial" --speaker off "$@" \
    >"$work/trial.json" 2>"$work/trial.json.err" </dev/null
}

mic=test camera=test speaker=off
if has microphones && works --mic default --camera off; then mic=default; fi
if has cameras && works --mic off --camera default; then camera=default; fi
if has speakers; then speaker=default; fi

# ---- Which picture size -----------------------------------------------------------------------------------------

cores=$(getconf _NPROCESSORS_ONLN)
echo "Trying how fast this machine encodes 1080p ..."
works --mic test --camera test:1920x1080 || fail "the trial recording failed" "$work/trial.json"
encode_ms=$(last <(of_event "$work/trial.json" recording_finished) encode_ms)
[[ -n $encode_ms ]] || fail "the trial recording says no encoding time" "$work/trial.json"
# fits PIXELS..: all pictures at 30 fps, and 0.3 of a core for the rest of each program (live encoding, decoding,
# sound), leave 15 % of the machine free; and no picture takes its encoder longer than a picture's time.
fits() {
  awk -v ms="$encode_ms" -v cores="$cores" -v sizes="$*" 'BEGIN {
    n = split(sizes, pixels, " "); need = 0; slow = 0
    for (i = 1; i <= n; i++) {
      one = ms * pixels[i] / (1920 * 1080); need += one * 30 / 1000 + 0.3; if (one > 30) slow = 1
    }
    exit !(need <= 0.85 * cores && !slow)
  }'
}
full=$((1920 * 1080))
for size in 1920x1080 1280x720 640x360; do
  pixels=$((${size%x*} * ${size#*x}))
  # A real camera is recorded as large as it is, up to 1080p.
  if [[ $camera == default ]]; then host_pixels=$full; else host_pixels=$pixels; fi
  if fits "$host_pixels" "$pixels"; then break; fi
done
if [[ $camera == default ]] && ! fits "$full" "$pixels"; then
  echo "The camera is left out: this machine cannot record it and hold the other end of the call as well."
  camera='test'
  for size in 1280x720 640x360; do
    pixels=$((${size%x*} * ${size#*x}))
    if fits "$pixels" "$pixels"; then break; fi
  done
fi
[[ $camera == default ]] || camera=test:$size

echo "  one 1080p picture takes the encoder $encode_ms ms; this machine has $cores cores"
case $size in
  1920x1080) echo "  test pictures are recorded at full size, 1920x1080" ;;
  *) echo "  test pictures are recorded at $size: two programs at 1920x1080 would be too much here" ;;
esac
# told WHAT VALUE: says whether a device is real.
told() {
  case $2 in
    default) echo "  $1: this machine's own" ;;
    off) echo "  $1: none here, nothing is played" ;;
    *) echo "  $1: none that works here, a synthetic one ($2)" ;;
  esac
}
echo "The host's devices:"
told microphone "$mic"
told camera "$camera"
told speaker "$speaker"
echo "The guest's devices: test sound, test picture ($size), no speaker"

# ---- The call ---------------------------------------------------------------------------------------------------

common=(--json --no-window --session demo --duration "${seconds}s")

# host SPEAKER: starts the host and waits until it says how to join; fails when it ends before.
host() {
  "$hyperzoom" host "${common[@]}" --name Ana --listen 127.0.0.1:0 --public 127.0.0.1 \
    --mic "$mic" --camera "$camera" --speaker "$1" >"$work/host" 2>"$work/host.err" </dev/null &
  pids=($!)
  local tenths
  for ((tenths = 0; tenths < 200; tenths++)); do
    invite=$(last <(of_event "$work/host" ready) invite)
    [[ -z $invite ]] || return 0
    kill -0 "${pids[0]}" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
}

printf '\nStarting the host ...\n'
if ! host "$speaker"; then
  [[ $speaker == default ]] || fail "the host did not start" "$work/host"
  echo "  the speaker cannot be opened; going on without"
  host off || fail "the host did not start" "$work/host"
fi
echo "Starting the guest: hyperzoom join '$invite'"
"$hyperzoom" join "$invite" "${common[@]}" --name Ben --mic test --camera "test:$size" --speaker off \
  >"$work/guest" 2>"$work/guest.err" </dev/null &
pids+=($!)

# Both end by themselves; until then, once a second, how far they are.
ended() { ! kill -0 "$1" 2>/dev/null; }
limit=$((SECONDS + seconds + 60))
until ended "${pids[0]}" && ended "${pids[1]}"; do
  ((SECONDS < limit)) || fail "the call did not end by itself" "$work/host"
  host_now=$(of_event "$work/host" stats) guest_now=$(of_event "$work/guest" stats)
  if [[ $host_now == *'"recording":{'* ]]; then
    at=$(last <(echo "${host_now%%\"mic\"*}") seconds)
    line=$(printf '%4.0f of %s s   host %s frames   guest %s frames   round trip %s ms' "${at:-0}" "$seconds" \
      "$(last <(echo "$host_now") frames_encoded)" "$(last <(echo "$guest_now") frames_encoded)" \
      "$(last <(echo "$host_now") rtt_ms | cut -c 1-4)")
    if [[ -t 1 ]]; then printf '\r  %s  ' "$line"; else printf '  %s\n' "$line"; fi
  fi
  sleep 1
done
[[ ! -t 1 ]] || printf '\n'

for who in host guest; do
  if [[ $who == host ]]; then pid=${pids[0]}; else pid=${pids[1]}; fi
  code=0
  wait "$pid" || code=$?
  ((code == 0)) || fail "the $who ended with code $code" "$work/$who"
done
pids=()

# ---- What came of it --------------------------------------------------------------------------------------------

# Written after the file was closed and read back by the program itself.
for who in host guest; do
  finished=$(of_event "$work/$who" recording_finished)
  [[ -n $finished ]] || fail "the $who finished no recording" "$work/$who"
  # The parts and the safety tracks, behind, have figures of their own.
  field() { last <(echo "${finished%%\"parts\"*}") "$1"; }
  folder=$(field folder)
  printf '\nThe %s recorded %.1f s: %s frames captured, %s encoded, %s dropped; %s audio samples; %s bytes\n' \
    "$who" "$(field seconds)" "$(field frames_captured)" "$(field frames_encoded)" "$(field frames_dropped)" \
    "$(field samples)" "$(field bytes)"
  printf '  %s\n' "$folder"
  for file in "$folder"/*; do printf '    %-26s %12s bytes\n' "${file##*/}" "$(wc -c <"$file" | tr -d ' ')"; done
done

cat <<END

Now a real call:
  $hyperzoom host
and on the other machine the line that it shows, hyperzoom join 'ADDRESS:PORT#KEY'
END
