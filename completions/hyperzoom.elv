
use builtin;
use str;

set edit:completion:arg-completer[hyperzoom] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'hyperzoom'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'hyperzoom'= {
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand host 'Begin a call and wait for guests'
            cand join 'Join a call'
            cand record 'Record camera and microphone, without a call'
            cand devices 'List microphones, speakers and cameras with the ids that the flags take'
            cand doctor 'Look this machine over: devices, priorities, encoder, disk, network; and say what to do'
            cand recover 'End interrupted recordings, so that they hold all that was recorded'
            cand verify 'Check recordings: counts, constant rate, gaps, lengths, timecode, tones, content'
            cand man 'Write the man pages into a folder'
            cand completions 'Write the shell completions into a folder'
            cand window 'The preview window, fed through standard input'
        }
        &'hyperzoom;host'= {
            cand --listen 'Address and port to listen on (default: port 7000 on all addresses; port 0 is any free one)'
            cand --admit 'Who may join; who comes without the key knocks, and where nobody can answer, ask is key'
            cand --key 'Key of the invite, 26 letters A-Z and digits 2-7 (default: a new one)'
            cand --public 'Address that guests reach you at; the invite then shows it'
            cand --name 'Your name as the others see it (default: your user name)'
            cand --session 'Name of the session; becomes part of the recording''s folder name'
            cand --output 'Folder for recordings (default: HyperZoom/recordings in your home folder)'
            cand --mic 'Microphone: id or a unique part of its name (ID:CHANNEL for one channel), test, off, file:PATH'
            cand --camera 'Camera: id or a unique part of its name, test, test:WIDTHxHEIGHT[@FPS], off, file:PATH (Y4M)'
            cand --speaker 'Speaker: id or a unique part of its name, off, file:PATH (writes WAV)'
            cand --period 'Size of the sound devices'' period: auto (the smallest that works) or frames at 48 kHz'
            cand --sound 'Way to the sound devices: auto, direct (Linux: read and written without a shell between, least delay), system (in whole periods, as other programs do)'
            cand --frame 'Length of the live audio''s frames in milliseconds: 5, or 2.5 for 2.5 ms less delay and twice the headers'
            cand --audio-bitrate 'Bitrate of the live audio in kbit/s, 24 to 96, or auto: 32 (with 2.5 ms frames 80), more where the network has room'
            cand --video-bitrate 'Bitrate of the live picture in kbit/s, 80 to 4000'
            cand --duration 'End by itself this long after the recording''s start: 10s, 5m, 1h30m'
            cand --audio-format 'Sound of the recording: aac (192 kbit/s) or flac (24 bit, lossless; fewer editors read it)'
            cand --av-offset 'Move the recorded picture this many milliseconds later (negative: earlier) against the sound; kept for this camera, 0 forgets it'
            cand --encoder 'Encoder of the recording: auto (the best one here) or its name'
            cand --log 'Also write what happens to this file'
            cand --no-port-mapping 'Do not ask the router to let guests in (UPnP, NAT-PMP, PCP)'
            cand --record-now 'Record at once instead of from the first guest on'
            cand --loop-files 'Start files that serve as inputs over at their end'
            cand --mute 'Start with the microphone muted'
            cand --camera-off 'Start with the camera off'
            cand --record-while-muted 'Keep in the file what you say while muted (the others never hear it)'
            cand --raw-audio 'Also keep the sound card''s own samples, not resampled, as FLAC with a list of their times'
            cand --no-tone 'No sync tones in the recording (where they stand also while you are muted) and the headphones'
            cand --window 'Show the preview window (default: where there is a display and standard output is a terminal)'
            cand --no-window 'Do not show the preview window'
            cand --no-tui 'Plain lines instead of the dashboard (default where standard output is no terminal)'
            cand --json 'One JSON object a line on standard output; commands, one JSON object a line, on standard input'
            cand --yes 'Begin and end without a key: no screen before and after, and the file is not read again'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'hyperzoom;join'= {
            cand --listen 'Address and port to listen on (default: any free port on all addresses)'
            cand --name 'Your name as the others see it (default: your user name)'
            cand --session 'Name of the session; becomes part of the recording''s folder name'
            cand --output 'Folder for recordings (default: HyperZoom/recordings in your home folder)'
            cand --mic 'Microphone: id or a unique part of its name (ID:CHANNEL for one channel), test, off, file:PATH'
            cand --camera 'Camera: id or a unique part of its name, test, test:WIDTHxHEIGHT[@FPS], off, file:PATH (Y4M)'
            cand --speaker 'Speaker: id or a unique part of its name, off, file:PATH (writes WAV)'
            cand --period 'Size of the sound devices'' period: auto (the smallest that works) or frames at 48 kHz'
            cand --sound 'Way to the sound devices: auto, direct (Linux: read and written without a shell between, least delay), system (in whole periods, as other programs do)'
            cand --frame 'Length of the live audio''s frames in milliseconds: 5, or 2.5 for 2.5 ms less delay and twice the headers'
            cand --audio-bitrate 'Bitrate of the live audio in kbit/s, 24 to 96, or auto: 32 (with 2.5 ms frames 80), more where the network has room'
            cand --video-bitrate 'Bitrate of the live picture in kbit/s, 80 to 4000'
            cand --duration 'End by itself this long after the recording''s start: 10s, 5m, 1h30m'
            cand --audio-format 'Sound of the recording: aac (192 kbit/s) or flac (24 bit, lossless; fewer editors read it)'
            cand --av-offset 'Move the recorded picture this many milliseconds later (negative: earlier) against the sound; kept for this camera, 0 forgets it'
            cand --encoder 'Encoder of the recording: auto (the best one here) or its name'
            cand --log 'Also write what happens to this file'
            cand --no-port-mapping 'Do not ask the router to let the others in (UPnP, NAT-PMP, PCP)'
            cand --loop-files 'Start files that serve as inputs over at their end'
            cand --mute 'Start with the microphone muted'
            cand --camera-off 'Start with the camera off'
            cand --record-while-muted 'Keep in the file what you say while muted (the others never hear it)'
            cand --raw-audio 'Also keep the sound card''s own samples, not resampled, as FLAC with a list of their times'
            cand --no-tone 'No sync tones in the recording (where they stand also while you are muted) and the headphones'
            cand --window 'Show the preview window (default: where there is a display and standard output is a terminal)'
            cand --no-window 'Do not show the preview window'
            cand --no-tui 'Plain lines instead of the dashboard (default where standard output is no terminal)'
            cand --json 'One JSON object a line on standard output; commands, one JSON object a line, on standard input'
            cand --yes 'Begin and end without a key: no screen before and after, and the file is not read again'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'hyperzoom;record'= {
            cand --name 'Your name as the others see it (default: your user name)'
            cand --session 'Name of the session; becomes part of the recording''s folder name'
            cand --output 'Folder for recordings (default: HyperZoom/recordings in your home folder)'
            cand --mic 'Microphone: id or a unique part of its name (ID:CHANNEL for one channel), test, off, file:PATH'
            cand --camera 'Camera: id or a unique part of its name, test, test:WIDTHxHEIGHT[@FPS], off, file:PATH (Y4M)'
            cand --speaker 'Speaker: id or a unique part of its name, off, file:PATH (writes WAV)'
            cand --period 'Size of the sound devices'' period: auto (the smallest that works) or frames at 48 kHz'
            cand --sound 'Way to the sound devices: auto, direct (Linux: read and written without a shell between, least delay), system (in whole periods, as other programs do)'
            cand --frame 'Length of the live audio''s frames in milliseconds: 5, or 2.5 for 2.5 ms less delay and twice the headers'
            cand --audio-bitrate 'Bitrate of the live audio in kbit/s, 24 to 96, or auto: 32 (with 2.5 ms frames 80), more where the network has room'
            cand --video-bitrate 'Bitrate of the live picture in kbit/s, 80 to 4000'
            cand --duration 'End by itself this long after the recording''s start: 10s, 5m, 1h30m'
            cand --audio-format 'Sound of the recording: aac (192 kbit/s) or flac (24 bit, lossless; fewer editors read it)'
            cand --av-offset 'Move the recorded picture this many milliseconds later (negative: earlier) against the sound; kept for this camera, 0 forgets it'
            cand --encoder 'Encoder of the recording: auto (the best one here) or its name'
            cand --log 'Also write what happens to this file'
            cand --loop-files 'Start files that serve as inputs over at their end'
            cand --mute 'Start with the microphone muted'
            cand --camera-off 'Start with the camera off'
            cand --record-while-muted 'Keep in the file what you say while muted (the others never hear it)'
            cand --raw-audio 'Also keep the sound card''s own samples, not resampled, as FLAC with a list of their times'
            cand --no-tone 'No sync tones in the recording (where they stand also while you are muted) and the headphones'
            cand --window 'Show the preview window (default: where there is a display and standard output is a terminal)'
            cand --no-window 'Do not show the preview window'
            cand --no-tui 'Plain lines instead of the dashboard (default where standard output is no terminal)'
            cand --json 'One JSON object a line on standard output; commands, one JSON object a line, on standard input'
            cand --yes 'Begin and end without a key: no screen before and after, and the file is not read again'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'hyperzoom;devices'= {
            cand --json 'As one JSON object'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'hyperzoom;doctor'= {
            cand --mic 'Microphone to look at, as for a call'
            cand --speaker 'Speaker to look at, as for a call'
            cand --output 'Folder for recordings (default: HyperZoom/recordings in your home folder)'
            cand --camera 'Camera to clap at, as for a call'
            cand --no-port-mapping 'Do not ask the router for a port'
            cand --clap 'Clap five times in front of the camera: finds how late its picture is against the sound, and keeps that for recordings with this camera, as --av-offset does'
            cand --json 'As one JSON object'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'hyperzoom;recover'= {
            cand --to 'Leave the recording alone and put a whole copy there: a new file, or a folder that exists'
            cand --json 'One JSON object for each recording'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'hyperzoom;verify'= {
            cand --json 'One JSON object for each recording'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'hyperzoom;man'= {
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'hyperzoom;completions'= {
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'hyperzoom;window'= {
            cand -h 'Print help'
            cand --help 'Print help'
        }
    ]
    $completions[$command]
}
