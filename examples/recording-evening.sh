#!/usr/bin/env bash
# A recording evening in tmux: the call above, below it what happens in the session's log, and what is on the disk.
#
#   examples/recording-evening.sh host [FLAG..]           begin; everything behind `host` goes to hyperzoom
#   examples/recording-evening.sh join 'ADDRESS:PORT#KEY' [FLAG..]
#
# The call goes on when the terminal is closed: `tmux attach -t recording` finds it again. When it has ended, the
# window checks the recording and says what to send to the editor.
set -euo pipefail

[[ ${1:-} == host || ${1:-} == join ]] || { echo "usage: ${0##*/} host|join [FLAG..]" >&2; exit 2; }
command -v tmux >/dev/null || { echo "error: tmux is missing; try: apt install tmux" >&2; exit 1; }
here=$(cd "$(dirname "$0")/.." && pwd)
hyperzoom=${HYPERZOOM:-$(command -v hyperzoom || echo "$here/target/release/hyperzoom")}
[[ -x $hyperzoom ]] || { echo "error: hyperzoom is not built; try: make release" >&2; exit 1; }
session=${TMUX_SESSION:-recording}
# hyperzoom itself knows where recordings go: by a flag, a variable or the configuration file.
setting() { "$hyperzoom" config "$1" --json | sed -n "s/.*{\"key\":\"$2\",\"value\":\"\([^\"]*\)\".*/\1/p"; }
output=$(setting "$1" output)
output=${output:-$HOME/HyperZoom/recordings}
mkdir -p "$output"

! tmux has-session -t "=$session" 2>/dev/null || {
  echo "error: there is a tmux session '$session' already; try: tmux attach -t $session" >&2
  exit 1
}

words=$(printf ' %q' "$hyperzoom" "$@" --output "$output")
newest="\$(ls -td $(printf %q "$output")/*/ 2>/dev/null | head -n 1)"
call="$words && { echo; $(printf %q "$hyperzoom") verify \"$newest\" && echo && echo \"Send this folder to the editor: $newest\"; }
echo; read -rp 'Enter closes this window. '"
# The session's folder is there when the recording begins.
log="until [[ -n $newest && -e ${newest}hyperzoom.log ]]; do sleep 1; done; tail -n +1 -F \"${newest}hyperzoom.log\""
disk="while sleep 5; do clear; df -h $(printf %q "$output"); du -sh \"$newest\" 2>/dev/null; done"

tmux new-session -d -s "$session" -n call bash -c "$call"
tmux set-option -t "$session" remain-on-exit off
tmux split-window -t "$session:call" -v -l 20% -d bash -c "$log"
tmux split-window -t "$session:call.1" -h -l 40% -d bash -c "$disk"
if [[ -t 0 && -z ${TMUX:-} ]]; then
  exec tmux attach -t "$session"
fi
echo "The evening runs in tmux; to see it: tmux attach -t $session"
