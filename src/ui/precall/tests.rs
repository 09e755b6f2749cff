//! How the screen before the call looks in the sizes that it promises to look well in, and what
//! keys do there.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::draw::draw;
use super::state::{Action, Field, State};
use super::*;
use crate::ui::entry::Entry;
use crate::ui::palette::Colours;

const INVITE: &str = "203.0.113.57:7000#AAAQEAYEAUDAOCAJBIFQYDIOB4";

fn device(names: &[&str], chosen: usize, state: &str) -> DeviceView {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    DeviceView { names, chosen, state: DeviceState::Open(state.into()) }
}

fn quiet(text: &str) -> Remark {
    Remark { mood: Mood::Open, text: text.into(), remedy: None }
}

fn good(text: &str) -> Remark {
    Remark { mood: Mood::Good, text: text.into(), remedy: None }
}

fn caution(text: &str, remedy: &str) -> Remark {
    Remark { mood: Mood::Caution, text: text.into(), remedy: Some(remedy.into()) }
}

/// A diagonal from dark to bright.
fn picture() -> Picture {
    let (width, height) = (160, 90);
    let pixel = |n: usize| ((n % width + n / width) as u32 * 255 / 250) * 0x01_0101;
    Picture { width, height, pixels: (0..width * height).map(pixel).collect() }
}

fn ready() -> View {
    View {
        devices: [
            device(
                &["system default (HDA Intel PCH)", "HDA Intel PCH", "Scarlett 2i2 USB", "off"],
                2,
                "Scarlett 2i2 USB, channel 1, 128 frames at 48 kHz",
            ),
            device(&["Scarlett 2i2 USB", "off"], 0, "Scarlett 2i2 USB, 128 frames at 48 kHz"),
            device(&["Logitech BRIO", "off"], 0, "Logitech BRIO, 1920x1080 Mjpeg, 30 fps"),
        ],
        level: Level { peak_db: -18.4, rms_db: -29.0, clipped: 0 },
        clipped: 0,
        voice: Voice::Heard(vec![good("a good level (peaks at -14 dBFS, the room at -62)")]),
        picture: Some(Arc::new(picture())),
        window: None,
        size: "about 8.19 GB an hour".into(),
        encoder: "openh264, 1920x1080, AAC".into(),
        space: Some(good("182 GB free in /home/ana/HyperZoom, good for 22 h 14 min of that")),
        lipsync: Some(quiet(
            "picture 43 ms earlier, as kept for this camera; press l and clap to measure it",
        )),
        clapping: None,
        router: Some(good("the router lets guests in, by UPnP (203.0.113.57)")),
        unfinished: None,
        news: None,
    }
}

/// Somebody claps in front of the camera.
fn clapping() -> View {
    View { clapping: Some((2, 5)), ..ready() }
}

fn troubled() -> View {
    let mut view = ready();
    view.clipped = 812;
    view.level.peak_db = -0.2;
    view.voice = Voice::Heard(vec![
        caution(
            "too loud: a laugh will clip (peaks at -1 dBFS, the room at -41)",
            "turn the gain down by some 11 dB",
        ),
        caution(
            "this is HDA Intel PCH",
            "choose Scarlett 2i2 USB, if that is the one in front of you",
        ),
    ]);
    view.devices[2].state = DeviceState::Failed(Remark {
        mood: Mood::Bad,
        text: "the camera 'Logitech BRIO' is in use".into(),
        remedy: Some("close the program that has it, or try another --camera".into()),
    });
    view.picture = None;
    view.window = Some(caution(
        "no preview window: there is no display here (DISPLAY is not set)",
        "press w to try again",
    ));
    view.space = Some(caution(
        "12.1 GB free in /home/ana, good for 88 min of that",
        "delete something, or use another --output folder",
    ));
    view.router = Some(caution(
        "no router answered; guests from outside cannot reach you as a host",
        "forward UDP port 7000 by hand and use --public ADDRESS, or let another one host",
    ));
    view.unfinished = Some(UnfinishedView {
        path: "/home/ana/HyperZoom/recordings/2026-02-20_20-15-00_Episode-11/local_recording.mp4"
            .into(),
        count: 1,
        percent: None,
    });
    view
}

fn state(asked: Asked, address: &str) -> State {
    let setup = Setup { name: "Ana".into(), asked, address: address.into(), headphones: false };
    // Letters in the place of colours, so that the snapshots show the picture.
    State::new(setup, Palette { colours: Colours::Sixteen, ..Palette::COLOURED })
}

/// The notice about headphones is up.
fn unread() -> State {
    let mut state = state(Asked::Host, "");
    state.setup.headphones = true;
    state
}

fn drawn(view: &View, state: &State, width: u16, height: u16) -> TestBackend {
    let mut terminal =
        Terminal::new(TestBackend::new(width, height)).expect("a test terminal always opens");
    terminal.draw(|frame| draw(frame, view, state)).expect("and can be drawn on");
    terminal.backend().clone()
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

macro_rules! looks {
    ($($name:ident: $view:expr, $state:expr, $width:literal, $height:literal;)*) => {$(
        #[test]
        fn $name() {
            let (view, mut state) = ($view, $state);
            state.absorb(&view, Micros(0));
            insta::assert_snapshot!(stringify!($name), drawn(&view, &state, $width, $height));
        }
    )*};
}

looks! {
    before_60x18: ready(), state(Asked::Either, ""), 60, 18;
    before_80x24: ready(), state(Asked::Either, ""), 80, 24;
    before_120x40: ready(), state(Asked::Either, ""), 120, 40;
    before_200x60: ready(), state(Asked::Either, ""), 200, 60;
    before_clapping_60x18: clapping(), state(Asked::Host, ""), 60, 18;
    before_clapping_80x24: clapping(), state(Asked::Host, ""), 80, 24;
    before_clapping_120x40: clapping(), state(Asked::Host, ""), 120, 40;
    before_clapping_200x60: clapping(), state(Asked::Host, ""), 200, 60;
    before_join_60x18: ready(), state(Asked::Join, "203.0.113.57:7000#AAAQ"), 60, 18;
    before_join_80x24: ready(), state(Asked::Join, INVITE), 80, 24;
    before_join_120x40: ready(), state(Asked::Join, INVITE), 120, 40;
    before_join_200x60: ready(), state(Asked::Join, "300.1.1.1"), 200, 60;
    headphones_60x18: ready(), unread(), 60, 18;
    headphones_80x24: ready(), unread(), 80, 24;
    headphones_120x40: ready(), unread(), 120, 40;
    headphones_200x60: ready(), unread(), 200, 60;
    before_trouble_60x18: troubled(), state(Asked::Host, ""), 60, 18;
    before_trouble_80x24: troubled(), state(Asked::Either, "1.2.3.4:99999"), 80, 24;
    before_trouble_120x40: troubled(), state(Asked::Either, "1.2.3.4:99999"), 120, 40;
    before_trouble_200x60: troubled(), state(Asked::Host, ""), 200, 60;
}

#[test]
fn the_notice_about_headphones_comes_first_and_is_answered_once() {
    let mut state = unread();
    assert_eq!(state.press(key(KeyCode::Char('t')), &ready()), Action::Nothing);
    assert_eq!(state.press(key(KeyCode::Enter), &ready()), Action::HeadphonesKnown);
    assert_eq!(state.press(key(KeyCode::Enter), &ready()), Action::Decide(Decision::Host));
}

#[test]
fn any_size_can_be_drawn() {
    let mut state = state(Asked::Either, "host#");
    for headphones in [false, true] {
        state.setup.headphones = headphones;
        for (width, height) in [(1, 1), (3, 2), (10, 5), (20, 60), (72, 20), (300, 3), (250, 80)] {
            drawn(&troubled(), &state, width, height);
            drawn(&View::default(), &state, width, height);
        }
    }
}

#[test]
fn a_terminal_of_ascii_gets_nothing_else() {
    let mut state = state(Asked::Either, INVITE);
    state.palette.ascii = true;
    let backend = drawn(&troubled(), &state, 120, 40);
    assert!(backend.buffer().content().iter().all(|cell| cell.symbol().is_ascii()));
}

#[test]
fn arrows_go_through_the_lines_and_change_what_stands_there() {
    let (view, mut state) = (ready(), state(Asked::Either, ""));
    assert_eq!(state.field, Field::Role);
    for _ in 0..3 {
        state.press(key(KeyCode::Up), &view);
    }
    assert_eq!(state.field, Field::Device(Part::Microphone));
    let right = state.press(key(KeyCode::Right), &view);
    assert_eq!(right, Action::Choose(Part::Microphone, 3));
    assert_eq!(state.press(key(KeyCode::Left), &view), Action::Choose(Part::Microphone, 1));
    state.press(key(KeyCode::Tab), &view);
    assert_eq!(state.press(key(KeyCode::Left), &view), Action::Choose(Part::Speaker, 1));
    assert_eq!(state.press(key(KeyCode::Char('t')), &view), Action::Listen);
    assert_eq!(state.press(key(KeyCode::Char('p')), &view), Action::Play);
    assert_eq!(state.press(key(KeyCode::Char('l')), &view), Action::Clap);
    assert_eq!(state.press(key(KeyCode::Char('w')), &view), Action::ToggleWindow);
    assert_eq!(state.press(key(KeyCode::Char('q')), &view), Action::Decide(Decision::Leave));
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(state.press(ctrl_c, &view), Action::Decide(Decision::Interrupt));
}

#[test]
fn an_address_is_typed_or_pasted_and_what_is_wrong_with_it_is_told() {
    let (view, mut state) = (ready(), state(Asked::Either, ""));
    state.press(key(KeyCode::Char('j')), &view);
    assert_eq!(state.field, Field::Address);
    assert_eq!(state.press(key(KeyCode::Enter), &view), Action::Nothing, "nothing to join");
    for c in "q.example:70000".chars() {
        assert_eq!(state.press(key(KeyCode::Char(c)), &view), Action::Nothing);
    }
    assert!(drawn(&view, &state, 80, 24).to_string().contains("'70000' is not a port"));
    assert_eq!(state.press(key(KeyCode::Enter), &view), Action::Nothing);
    state.press(key(KeyCode::Backspace), &view);
    let Action::Decide(Decision::Join(invite)) = state.press(key(KeyCode::Enter), &view) else {
        panic!("q.example:7000 can be joined")
    };
    assert_eq!((&*invite.address, invite.port), ("q.example", 7000));
    // Over an address that is whole a paste writes anew.
    state.paste(&format!("hyperzoom join '{INVITE}'\n"));
    assert_eq!(state.invite().map(|invite| invite.to_string()), Ok(INVITE.to_owned()));
    assert!(drawn(&view, &state, 80, 24).to_string().contains("with its key"));
    let ctrl_u = KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL);
    state.press(ctrl_u, &view);
    assert!(state.entry.is_empty());
}

#[test]
fn of_a_chat_the_invite_is_pasted_and_never_a_flag() {
    let mut state = state(Asked::Either, "");
    state.paste(&format!("hyperzoom join --name Bob {INVITE}\nsee you\n"));
    assert_eq!(state.entry.text(), INVITE);
    state.paste(&format!("{INVITE}\nsee you"));
    assert_eq!(state.entry.text(), INVITE);
    // Typed, or given on the command line.
    for (typed, wrong) in [
        ("--name", "'--name' is neither a host name"),
        ("300.1.1.1", "'300.1.1.1' is neither a host name"),
        ("hyperzoom", "'hyperzoom' is neither a host name"),
    ] {
        state.entry = Entry::new(typed);
        assert!(state.invite().is_err_and(|why| why.contains(wrong)), "{typed}");
    }
}

#[test]
fn a_paste_before_the_notice_was_read_is_kept() {
    let mut state = state(Asked::Join, "");
    state.setup.headphones = true;
    state.paste(INVITE);
    assert!(state.setup.headphones, "it was not read by that");
    assert_eq!(state.press(key(KeyCode::Enter), &ready()), Action::HeadphonesKnown);
    assert_eq!(state.entry.text(), INVITE);
    let joins = Action::Decide(Decision::Join(INVITE.parse().expect("an invite")));
    assert_eq!(state.press(key(KeyCode::Enter), &ready()), joins);
}

#[test]
fn a_paste_means_joining_wherever_the_cursor_stands() {
    let mut state = state(Asked::Either, "");
    state.paste(INVITE);
    assert!(state.joins && state.field == Field::Address);
    state.press(key(KeyCode::Up), &ready());
    state.press(key(KeyCode::Char('h')), &ready());
    assert!(!state.joins);
}

#[test]
fn a_device_that_failed_holds_the_start_up() {
    let (view, mut state) = (troubled(), state(Asked::Host, ""));
    assert_eq!(state.press(key(KeyCode::Enter), &view), Action::Nothing);
    assert_eq!(state.field, Field::Device(Part::Camera));
    assert!(drawn(&view, &state, 80, 24).to_string().contains("does not work"));
}

#[test]
fn ctrl_z_asks_for_the_shell_and_what_came_of_it_is_said_until_the_next_key() {
    let (view, mut state) = (ready(), state(Asked::Join, "1.2.3.4"));
    let ctrl_z = KeyEvent::new(KeyCode::Char('z'), KeyModifiers::CONTROL);
    assert_eq!(state.press(ctrl_z, &view), Action::Suspend);
    state.said = Some(STAYS);
    assert!(drawn(&view, &state, 80, 24).to_string().contains("Ctrl-Z leads nowhere"));
    state.press(key(KeyCode::Up), &view);
    assert!(!drawn(&view, &state, 80, 24).to_string().contains("Ctrl-Z"));
}

#[test]
fn who_switches_both_off_is_told_what_the_file_will_hold() {
    let state = state(Asked::Host, "");
    let mut view = ready();
    let says = |view: &View| drawn(view, &state, 80, 24).to_string().contains("nothing of you");
    view.devices[0].state = DeviceState::Off;
    assert!(!says(&view), "the camera is on");
    view.devices[2].state = DeviceState::Off;
    assert!(says(&view));
}

#[test]
fn an_unfinished_recording_is_recovered_or_left_before_escape_leaves() {
    let (mut view, mut state) = (troubled(), state(Asked::Host, ""));
    assert_eq!(state.press(key(KeyCode::Char('r')), &view), Action::Recover);
    assert_eq!(state.press(key(KeyCode::Esc), &view), Action::LeaveUnfinished);
    view.unfinished = None;
    assert_eq!(state.press(key(KeyCode::Char('r')), &view), Action::Nothing);
    assert_eq!(state.press(key(KeyCode::Esc), &view), Action::Decide(Decision::Leave));
}
