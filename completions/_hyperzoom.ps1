
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'hyperzoom' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'hyperzoom'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'hyperzoom' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('host', 'host', [CompletionResultType]::ParameterValue, 'Begin a call and wait for guests')
            [CompletionResult]::new('join', 'join', [CompletionResultType]::ParameterValue, 'Join a call')
            [CompletionResult]::new('record', 'record', [CompletionResultType]::ParameterValue, 'Record camera and microphone, without a call')
            [CompletionResult]::new('devices', 'devices', [CompletionResultType]::ParameterValue, 'List microphones, speakers and cameras with the ids that the flags take')
            [CompletionResult]::new('doctor', 'doctor', [CompletionResultType]::ParameterValue, 'Look this machine over: devices, priorities, encoder, disk, network; and say what to do')
            [CompletionResult]::new('recover', 'recover', [CompletionResultType]::ParameterValue, 'End interrupted recordings, so that they hold all that was recorded')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Check recordings: counts, constant rate, gaps, lengths, timecode, tones, content')
            [CompletionResult]::new('man', 'man', [CompletionResultType]::ParameterValue, 'Write the man pages into a folder')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Write the shell completions into a folder')
            [CompletionResult]::new('window', 'window', [CompletionResultType]::ParameterValue, 'The preview window, fed through standard input')
            break
        }
        'hyperzoom;host' {
            [CompletionResult]::new('--listen', '--listen', [CompletionResultType]::ParameterName, 'Address and port to listen on (default: port 7000 on all addresses; port 0 is any free one)')
            [CompletionResult]::new('--admit', '--admit', [CompletionResultType]::ParameterName, 'Who may join; who comes without the key knocks, and where nobody can answer, ask is key')
            [CompletionResult]::new('--key', '--key', [CompletionResultType]::ParameterName, 'Key of the invite, 26 letters A-Z and digits 2-7 (default: a new one)')
            [CompletionResult]::new('--public', '--public', [CompletionResultType]::ParameterName, 'Address that guests reach you at; the invite then shows it')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'Your name as the others see it (default: your user name)')
            [CompletionResult]::new('--session', '--session', [CompletionResultType]::ParameterName, 'Name of the session; becomes part of the recording''s folder name')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Folder for recordings (default: HyperZoom/recordings in your home folder)')
            [CompletionResult]::new('--mic', '--mic', [CompletionResultType]::ParameterName, 'Microphone: id or a unique part of its name (ID:CHANNEL for one channel), test, off, file:PATH')
            [CompletionResult]::new('--camera', '--camera', [CompletionResultType]::ParameterName, 'Camera: id or a unique part of its name, test, test:WIDTHxHEIGHT[@FPS], off, file:PATH (Y4M)')
            [CompletionResult]::new('--speaker', '--speaker', [CompletionResultType]::ParameterName, 'Speaker: id or a unique part of its name, off, file:PATH (writes WAV)')
            [CompletionResult]::new('--period', '--period', [CompletionResultType]::ParameterName, 'Size of the sound devices'' period: auto (the smallest that works) or frames at 48 kHz')
            [CompletionResult]::new('--sound', '--sound', [CompletionResultType]::ParameterName, 'Way to the sound devices: auto, direct (Linux: read and written without a shell between, least delay), system (in whole periods, as other programs do)')
            [CompletionResult]::new('--frame', '--frame', [CompletionResultType]::ParameterName, 'Length of the live audio''s frames in milliseconds: 5, or 2.5 for 2.5 ms less delay and twice the headers')
            [CompletionResult]::new('--audio-bitrate', '--audio-bitrate', [CompletionResultType]::ParameterName, 'Bitrate of the live audio in kbit/s, 24 to 96, or auto: 32 (with 2.5 ms frames 80), more where the network has room')
            [CompletionResult]::new('--video-bitrate', '--video-bitrate', [CompletionResultType]::ParameterName, 'Bitrate of the live picture in kbit/s, 80 to 4000')
            [CompletionResult]::new('--duration', '--duration', [CompletionResultType]::ParameterName, 'End by itself this long after the recording''s start: 10s, 5m, 1h30m')
            [CompletionResult]::new('--audio-format', '--audio-format', [CompletionResultType]::ParameterName, 'Sound of the recording: aac (192 kbit/s) or flac (24 bit, lossless; fewer editors read it)')
            [CompletionResult]::new('--av-offset', '--av-offset', [CompletionResultType]::ParameterName, 'Move the recorded picture this many milliseconds later (negative: earlier) against the sound; kept for this camera, 0 forgets it')
            [CompletionResult]::new('--encoder', '--encoder', [CompletionResultType]::ParameterName, 'Encoder of the recording: auto (the best one here) or its name')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'Also write what happens to this file')
            [CompletionResult]::new('--no-port-mapping', '--no-port-mapping', [CompletionResultType]::ParameterName, 'Do not ask the router to let guests in (UPnP, NAT-PMP, PCP)')
            [CompletionResult]::new('--record-now', '--record-now', [CompletionResultType]::ParameterName, 'Record at once instead of from the first guest on')
            [CompletionResult]::new('--loop-files', '--loop-files', [CompletionResultType]::ParameterName, 'Start files that serve as inputs over at their end')
            [CompletionResult]::new('--mute', '--mute', [CompletionResultType]::ParameterName, 'Start with the microphone muted')
            [CompletionResult]::new('--camera-off', '--camera-off', [CompletionResultType]::ParameterName, 'Start with the camera off')
            [CompletionResult]::new('--record-while-muted', '--record-while-muted', [CompletionResultType]::ParameterName, 'Keep in the file what you say while muted (the others never hear it)')
            [CompletionResult]::new('--raw-audio', '--raw-audio', [CompletionResultType]::ParameterName, 'Also keep the sound card''s own samples, not resampled, as FLAC with a list of their times')
            [CompletionResult]::new('--no-tone', '--no-tone', [CompletionResultType]::ParameterName, 'No sync tones in the recording (where they stand also while you are muted) and the headphones')
            [CompletionResult]::new('--window', '--window', [CompletionResultType]::ParameterName, 'Show the preview window (default: where there is a display and standard output is a terminal)')
            [CompletionResult]::new('--no-window', '--no-window', [CompletionResultType]::ParameterName, 'Do not show the preview window')
            [CompletionResult]::new('--no-tui', '--no-tui', [CompletionResultType]::ParameterName, 'Plain lines instead of the dashboard (default where standard output is no terminal)')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object a line on standard output; commands, one JSON object a line, on standard input')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Begin and end without a key: no screen before and after, and the file is not read again')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'hyperzoom;join' {
            [CompletionResult]::new('--listen', '--listen', [CompletionResultType]::ParameterName, 'Address and port to listen on (default: any free port on all addresses)')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'Your name as the others see it (default: your user name)')
            [CompletionResult]::new('--session', '--session', [CompletionResultType]::ParameterName, 'Name of the session; becomes part of the recording''s folder name')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Folder for recordings (default: HyperZoom/recordings in your home folder)')
            [CompletionResult]::new('--mic', '--mic', [CompletionResultType]::ParameterName, 'Microphone: id or a unique part of its name (ID:CHANNEL for one channel), test, off, file:PATH')
            [CompletionResult]::new('--camera', '--camera', [CompletionResultType]::ParameterName, 'Camera: id or a unique part of its name, test, test:WIDTHxHEIGHT[@FPS], off, file:PATH (Y4M)')
            [CompletionResult]::new('--speaker', '--speaker', [CompletionResultType]::ParameterName, 'Speaker: id or a unique part of its name, off, file:PATH (writes WAV)')
            [CompletionResult]::new('--period', '--period', [CompletionResultType]::ParameterName, 'Size of the sound devices'' period: auto (the smallest that works) or frames at 48 kHz')
            [CompletionResult]::new('--sound', '--sound', [CompletionResultType]::ParameterName, 'Way to the sound devices: auto, direct (Linux: read and written without a shell between, least delay), system (in whole periods, as other programs do)')
            [CompletionResult]::new('--frame', '--frame', [CompletionResultType]::ParameterName, 'Length of the live audio''s frames in milliseconds: 5, or 2.5 for 2.5 ms less delay and twice the headers')
            [CompletionResult]::new('--audio-bitrate', '--audio-bitrate', [CompletionResultType]::ParameterName, 'Bitrate of the live audio in kbit/s, 24 to 96, or auto: 32 (with 2.5 ms frames 80), more where the network has room')
            [CompletionResult]::new('--video-bitrate', '--video-bitrate', [CompletionResultType]::ParameterName, 'Bitrate of the live picture in kbit/s, 80 to 4000')
            [CompletionResult]::new('--duration', '--duration', [CompletionResultType]::ParameterName, 'End by itself this long after the recording''s start: 10s, 5m, 1h30m')
            [CompletionResult]::new('--audio-format', '--audio-format', [CompletionResultType]::ParameterName, 'Sound of the recording: aac (192 kbit/s) or flac (24 bit, lossless; fewer editors read it)')
            [CompletionResult]::new('--av-offset', '--av-offset', [CompletionResultType]::ParameterName, 'Move the recorded picture this many milliseconds later (negative: earlier) against the sound; kept for this camera, 0 forgets it')
            [CompletionResult]::new('--encoder', '--encoder', [CompletionResultType]::ParameterName, 'Encoder of the recording: auto (the best one here) or its name')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'Also write what happens to this file')
            [CompletionResult]::new('--no-port-mapping', '--no-port-mapping', [CompletionResultType]::ParameterName, 'Do not ask the router to let the others in (UPnP, NAT-PMP, PCP)')
            [CompletionResult]::new('--loop-files', '--loop-files', [CompletionResultType]::ParameterName, 'Start files that serve as inputs over at their end')
            [CompletionResult]::new('--mute', '--mute', [CompletionResultType]::ParameterName, 'Start with the microphone muted')
            [CompletionResult]::new('--camera-off', '--camera-off', [CompletionResultType]::ParameterName, 'Start with the camera off')
            [CompletionResult]::new('--record-while-muted', '--record-while-muted', [CompletionResultType]::ParameterName, 'Keep in the file what you say while muted (the others never hear it)')
            [CompletionResult]::new('--raw-audio', '--raw-audio', [CompletionResultType]::ParameterName, 'Also keep the sound card''s own samples, not resampled, as FLAC with a list of their times')
            [CompletionResult]::new('--no-tone', '--no-tone', [CompletionResultType]::ParameterName, 'No sync tones in the recording (where they stand also while you are muted) and the headphones')
            [CompletionResult]::new('--window', '--window', [CompletionResultType]::ParameterName, 'Show the preview window (default: where there is a display and standard output is a terminal)')
            [CompletionResult]::new('--no-window', '--no-window', [CompletionResultType]::ParameterName, 'Do not show the preview window')
            [CompletionResult]::new('--no-tui', '--no-tui', [CompletionResultType]::ParameterName, 'Plain lines instead of the dashboard (default where standard output is no terminal)')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object a line on standard output; commands, one JSON object a line, on standard input')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Begin and end without a key: no screen before and after, and the file is not read again')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'hyperzoom;record' {
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'Your name as the others see it (default: your user name)')
            [CompletionResult]::new('--session', '--session', [CompletionResultType]::ParameterName, 'Name of the session; becomes part of the recording''s folder name')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Folder for recordings (default: HyperZoom/recordings in your home folder)')
            [CompletionResult]::new('--mic', '--mic', [CompletionResultType]::ParameterName, 'Microphone: id or a unique part of its name (ID:CHANNEL for one channel), test, off, file:PATH')
            [CompletionResult]::new('--camera', '--camera', [CompletionResultType]::ParameterName, 'Camera: id or a unique part of its name, test, test:WIDTHxHEIGHT[@FPS], off, file:PATH (Y4M)')
            [CompletionResult]::new('--speaker', '--speaker', [CompletionResultType]::ParameterName, 'Speaker: id or a unique part of its name, off, file:PATH (writes WAV)')
            [CompletionResult]::new('--period', '--period', [CompletionResultType]::ParameterName, 'Size of the sound devices'' period: auto (the smallest that works) or frames at 48 kHz')
            [CompletionResult]::new('--sound', '--sound', [CompletionResultType]::ParameterName, 'Way to the sound devices: auto, direct (Linux: read and written without a shell between, least delay), system (in whole periods, as other programs do)')
            [CompletionResult]::new('--frame', '--frame', [CompletionResultType]::ParameterName, 'Length of the live audio''s frames in milliseconds: 5, or 2.5 for 2.5 ms less delay and twice the headers')
            [CompletionResult]::new('--audio-bitrate', '--audio-bitrate', [CompletionResultType]::ParameterName, 'Bitrate of the live audio in kbit/s, 24 to 96, or auto: 32 (with 2.5 ms frames 80), more where the network has room')
            [CompletionResult]::new('--video-bitrate', '--video-bitrate', [CompletionResultType]::ParameterName, 'Bitrate of the live picture in kbit/s, 80 to 4000')
            [CompletionResult]::new('--duration', '--duration', [CompletionResultType]::ParameterName, 'End by itself this long after the recording''s start: 10s, 5m, 1h30m')
            [CompletionResult]::new('--audio-format', '--audio-format', [CompletionResultType]::ParameterName, 'Sound of the recording: aac (192 kbit/s) or flac (24 bit, lossless; fewer editors read it)')
            [CompletionResult]::new('--av-offset', '--av-offset', [CompletionResultType]::ParameterName, 'Move the recorded picture this many milliseconds later (negative: earlier) against the sound; kept for this camera, 0 forgets it')
            [CompletionResult]::new('--encoder', '--encoder', [CompletionResultType]::ParameterName, 'Encoder of the recording: auto (the best one here) or its name')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'Also write what happens to this file')
            [CompletionResult]::new('--loop-files', '--loop-files', [CompletionResultType]::ParameterName, 'Start files that serve as inputs over at their end')
            [CompletionResult]::new('--mute', '--mute', [CompletionResultType]::ParameterName, 'Start with the microphone muted')
            [CompletionResult]::new('--camera-off', '--camera-off', [CompletionResultType]::ParameterName, 'Start with the camera off')
            [CompletionResult]::new('--record-while-muted', '--record-while-muted', [CompletionResultType]::ParameterName, 'Keep in the file what you say while muted (the others never hear it)')
            [CompletionResult]::new('--raw-audio', '--raw-audio', [CompletionResultType]::ParameterName, 'Also keep the sound card''s own samples, not resampled, as FLAC with a list of their times')
            [CompletionResult]::new('--no-tone', '--no-tone', [CompletionResultType]::ParameterName, 'No sync tones in the recording (where they stand also while you are muted) and the headphones')
            [CompletionResult]::new('--window', '--window', [CompletionResultType]::ParameterName, 'Show the preview window (default: where there is a display and standard output is a terminal)')
            [CompletionResult]::new('--no-window', '--no-window', [CompletionResultType]::ParameterName, 'Do not show the preview window')
            [CompletionResult]::new('--no-tui', '--no-tui', [CompletionResultType]::ParameterName, 'Plain lines instead of the dashboard (default where standard output is no terminal)')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object a line on standard output; commands, one JSON object a line, on standard input')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Begin and end without a key: no screen before and after, and the file is not read again')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'hyperzoom;devices' {
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As one JSON object')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'hyperzoom;doctor' {
            [CompletionResult]::new('--mic', '--mic', [CompletionResultType]::ParameterName, 'Microphone to look at, as for a call')
            [CompletionResult]::new('--speaker', '--speaker', [CompletionResultType]::ParameterName, 'Speaker to look at, as for a call')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Folder for recordings (default: HyperZoom/recordings in your home folder)')
            [CompletionResult]::new('--camera', '--camera', [CompletionResultType]::ParameterName, 'Camera to clap at, as for a call')
            [CompletionResult]::new('--no-port-mapping', '--no-port-mapping', [CompletionResultType]::ParameterName, 'Do not ask the router for a port')
            [CompletionResult]::new('--clap', '--clap', [CompletionResultType]::ParameterName, 'Clap five times in front of the camera: finds how late its picture is against the sound, and keeps that for recordings with this camera, as --av-offset does')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'As one JSON object')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'hyperzoom;recover' {
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'Leave the recording alone and put a whole copy there: a new file, or a folder that exists')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object for each recording')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'hyperzoom;verify' {
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object for each recording')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'hyperzoom;man' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'hyperzoom;completions' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'hyperzoom;window' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
