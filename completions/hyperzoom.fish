# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_hyperzoom_global_optspecs
    string join \n h/help V/version
end

function __fish_hyperzoom_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_hyperzoom_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_hyperzoom_using_subcommand
    set -l cmd (__fish_hyperzoom_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c hyperzoom -n "__fish_hyperzoom_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hyperzoom -n "__fish_hyperzoom_needs_command" -s V -l version -d 'Print version'
complete -c hyperzoom -n "__fish_hyperzoom_needs_command" -f -a "host" -d 'Begin a call and wait for guests'
complete -c hyperzoom -n "__fish_hyperzoom_needs_command" -f -a "join" -d 'Join a call'
complete -c hyperzoom -n "__fish_hyperzoom_needs_command" -f -a "record" -d 'Record camera and microphone, without a call'
complete -c hyperzoom -n "__fish_hyperzoom_needs_command" -f -a "devices" -d 'List microphones, speakers and cameras with the ids that the flags take'
complete -c hyperzoom -n "__fish_hyperzoom_needs_command" -f -a "doctor" -d 'Look this machine over: devices, priorities, encoder, disk, network; and say what to do'
complete -c hyperzoom -n "__fish_hyperzoom_needs_command" -f -a "recover" -d 'End interrupted recordings, so that they hold all that was recorded'
complete -c hyperzoom -n "__fish_hyperzoom_needs_command" -f -a "verify" -d 'Check recordings: counts, constant rate, gaps, lengths, timecode, tones, content'
complete -c hyperzoom -n "__fish_hyperzoom_needs_command" -f -a "man" -d 'Write the man pages into a folder'
complete -c hyperzoom -n "__fish_hyperzoom_needs_command" -f -a "completions" -d 'Write the shell completions into a folder'
complete -c hyperzoom -n "__fish_hyperzoom_needs_command" -f -a "window" -d 'The preview window, fed through standard input'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l listen -d 'Address and port to listen on (default: port 7000 on all addresses; port 0 is any free one)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l admit -d 'Who may join; who comes without the key knocks, and where nobody can answer, ask is key' -r -f -a "key\t'Whoever has the invite\'s key'
all\t'Everybody who finds the port'
ask\t'Whoever has the key, and whoever you let in'"
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l key -d 'Key of the invite, 26 letters A-Z and digits 2-7 (default: a new one)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l public -d 'Address that guests reach you at; the invite then shows it' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l name -d 'Your name as the others see it (default: your user name)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l session -d 'Name of the session; becomes part of the recording\'s folder name' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l output -d 'Folder for recordings (default: HyperZoom/recordings in your home folder)' -r -f -a "(__fish_complete_directories)"
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l mic -d 'Microphone: id or a unique part of its name (ID:CHANNEL for one channel), test, off, file:PATH' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l camera -d 'Camera: id or a unique part of its name, test, test:WIDTHxHEIGHT[@FPS], off, file:PATH (Y4M)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l speaker -d 'Speaker: id or a unique part of its name, off, file:PATH (writes WAV)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l period -d 'Size of the sound devices\' period: auto (the smallest that works) or frames at 48 kHz' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l sound -d 'Way to the sound devices: auto, direct (Linux: read and written without a shell between, least delay), system (in whole periods, as other programs do)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l frame -d 'Length of the live audio\'s frames in milliseconds: 5, or 2.5 for 2.5 ms less delay and twice the headers' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l audio-bitrate -d 'Bitrate of the live audio in kbit/s, 24 to 96, or auto: 32 (with 2.5 ms frames 80), more where the network has room' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l video-bitrate -d 'Bitrate of the live picture in kbit/s, 80 to 4000' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l duration -d 'End by itself this long after the recording\'s start: 10s, 5m, 1h30m' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l audio-format -d 'Sound of the recording: aac (192 kbit/s) or flac (24 bit, lossless; fewer editors read it)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l av-offset -d 'Move the recorded picture this many milliseconds later (negative: earlier) against the sound; kept for this camera, 0 forgets it' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l encoder -d 'Encoder of the recording: auto (the best one here) or its name' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l log -d 'Also write what happens to this file' -r -F
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l no-port-mapping -d 'Do not ask the router to let guests in (UPnP, NAT-PMP, PCP)'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l record-now -d 'Record at once instead of from the first guest on'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l loop-files -d 'Start files that serve as inputs over at their end'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l mute -d 'Start with the microphone muted'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l camera-off -d 'Start with the camera off'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l record-while-muted -d 'Keep in the file what you say while muted (the others never hear it)'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l raw-audio -d 'Also keep the sound card\'s own samples, not resampled, as FLAC with a list of their times'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l no-tone -d 'No sync tones in the recording (where they stand also while you are muted) and the headphones'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l window -d 'Show the preview window (default: where there is a display and standard output is a terminal)'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l no-window -d 'Do not show the preview window'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l no-tui -d 'Plain lines instead of the dashboard (default where standard output is no terminal)'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l json -d 'One JSON object a line on standard output; commands, one JSON object a line, on standard input'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -l yes -d 'Begin and end without a key: no screen before and after, and the file is not read again'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand host" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l listen -d 'Address and port to listen on (default: any free port on all addresses)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l name -d 'Your name as the others see it (default: your user name)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l session -d 'Name of the session; becomes part of the recording\'s folder name' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l output -d 'Folder for recordings (default: HyperZoom/recordings in your home folder)' -r -f -a "(__fish_complete_directories)"
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l mic -d 'Microphone: id or a unique part of its name (ID:CHANNEL for one channel), test, off, file:PATH' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l camera -d 'Camera: id or a unique part of its name, test, test:WIDTHxHEIGHT[@FPS], off, file:PATH (Y4M)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l speaker -d 'Speaker: id or a unique part of its name, off, file:PATH (writes WAV)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l period -d 'Size of the sound devices\' period: auto (the smallest that works) or frames at 48 kHz' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l sound -d 'Way to the sound devices: auto, direct (Linux: read and written without a shell between, least delay), system (in whole periods, as other programs do)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l frame -d 'Length of the live audio\'s frames in milliseconds: 5, or 2.5 for 2.5 ms less delay and twice the headers' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l audio-bitrate -d 'Bitrate of the live audio in kbit/s, 24 to 96, or auto: 32 (with 2.5 ms frames 80), more where the network has room' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l video-bitrate -d 'Bitrate of the live picture in kbit/s, 80 to 4000' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l duration -d 'End by itself this long after the recording\'s start: 10s, 5m, 1h30m' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l audio-format -d 'Sound of the recording: aac (192 kbit/s) or flac (24 bit, lossless; fewer editors read it)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l av-offset -d 'Move the recorded picture this many milliseconds later (negative: earlier) against the sound; kept for this camera, 0 forgets it' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l encoder -d 'Encoder of the recording: auto (the best one here) or its name' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l log -d 'Also write what happens to this file' -r -F
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l no-port-mapping -d 'Do not ask the router to let the others in (UPnP, NAT-PMP, PCP)'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l loop-files -d 'Start files that serve as inputs over at their end'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l mute -d 'Start with the microphone muted'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l camera-off -d 'Start with the camera off'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l record-while-muted -d 'Keep in the file what you say while muted (the others never hear it)'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l raw-audio -d 'Also keep the sound card\'s own samples, not resampled, as FLAC with a list of their times'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l no-tone -d 'No sync tones in the recording (where they stand also while you are muted) and the headphones'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l window -d 'Show the preview window (default: where there is a display and standard output is a terminal)'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l no-window -d 'Do not show the preview window'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l no-tui -d 'Plain lines instead of the dashboard (default where standard output is no terminal)'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l json -d 'One JSON object a line on standard output; commands, one JSON object a line, on standard input'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -l yes -d 'Begin and end without a key: no screen before and after, and the file is not read again'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand join" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l name -d 'Your name as the others see it (default: your user name)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l session -d 'Name of the session; becomes part of the recording\'s folder name' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l output -d 'Folder for recordings (default: HyperZoom/recordings in your home folder)' -r -f -a "(__fish_complete_directories)"
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l mic -d 'Microphone: id or a unique part of its name (ID:CHANNEL for one channel), test, off, file:PATH' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l camera -d 'Camera: id or a unique part of its name, test, test:WIDTHxHEIGHT[@FPS], off, file:PATH (Y4M)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l speaker -d 'Speaker: id or a unique part of its name, off, file:PATH (writes WAV)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l period -d 'Size of the sound devices\' period: auto (the smallest that works) or frames at 48 kHz' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l sound -d 'Way to the sound devices: auto, direct (Linux: read and written without a shell between, least delay), system (in whole periods, as other programs do)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l frame -d 'Length of the live audio\'s frames in milliseconds: 5, or 2.5 for 2.5 ms less delay and twice the headers' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l audio-bitrate -d 'Bitrate of the live audio in kbit/s, 24 to 96, or auto: 32 (with 2.5 ms frames 80), more where the network has room' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l video-bitrate -d 'Bitrate of the live picture in kbit/s, 80 to 4000' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l duration -d 'End by itself this long after the recording\'s start: 10s, 5m, 1h30m' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l audio-format -d 'Sound of the recording: aac (192 kbit/s) or flac (24 bit, lossless; fewer editors read it)' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l av-offset -d 'Move the recorded picture this many milliseconds later (negative: earlier) against the sound; kept for this camera, 0 forgets it' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l encoder -d 'Encoder of the recording: auto (the best one here) or its name' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l log -d 'Also write what happens to this file' -r -F
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l loop-files -d 'Start files that serve as inputs over at their end'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l mute -d 'Start with the microphone muted'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l camera-off -d 'Start with the camera off'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l record-while-muted -d 'Keep in the file what you say while muted (the others never hear it)'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l raw-audio -d 'Also keep the sound card\'s own samples, not resampled, as FLAC with a list of their times'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l no-tone -d 'No sync tones in the recording (where they stand also while you are muted) and the headphones'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l window -d 'Show the preview window (default: where there is a display and standard output is a terminal)'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l no-window -d 'Do not show the preview window'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l no-tui -d 'Plain lines instead of the dashboard (default where standard output is no terminal)'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l json -d 'One JSON object a line on standard output; commands, one JSON object a line, on standard input'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -l yes -d 'Begin and end without a key: no screen before and after, and the file is not read again'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand record" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand devices" -l json -d 'As one JSON object'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand devices" -s h -l help -d 'Print help'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand doctor" -l mic -d 'Microphone to look at, as for a call' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand doctor" -l speaker -d 'Speaker to look at, as for a call' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand doctor" -l output -d 'Folder for recordings (default: HyperZoom/recordings in your home folder)' -r -f -a "(__fish_complete_directories)"
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand doctor" -l camera -d 'Camera to clap at, as for a call' -r
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand doctor" -l no-port-mapping -d 'Do not ask the router for a port'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand doctor" -l clap -d 'Clap five times in front of the camera: finds how late its picture is against the sound, and keeps that for recordings with this camera, as --av-offset does'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand doctor" -l json -d 'As one JSON object'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand recover" -l to -d 'Leave the recording alone and put a whole copy there: a new file, or a folder that exists' -r -F
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand recover" -l json -d 'One JSON object for each recording'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand recover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand verify" -l json -d 'One JSON object for each recording'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand man" -s h -l help -d 'Print help'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand completions" -s h -l help -d 'Print help'
complete -c hyperzoom -n "__fish_hyperzoom_using_subcommand window" -s h -l help -d 'Print help'
