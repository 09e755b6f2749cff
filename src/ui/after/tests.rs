//! How the screen after the call looks in the sizes that it promises to look well in, and what
//! keys do there.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::draw::{Screen, draw};
use super::*;
use crate::ui::model::FinishedPart;

fn finished() -> Finished {
    let folder = "/home/ana/HyperZoom/recordings/2026-02-27_20-15-00_Episode 12";
    Finished {
        path: format!("{folder}/local_recording.mp4"),
        folder: folder.into(),
        seconds: 3_842.5,
        bytes: 8_724_000_000,
        frames_captured: 115_290,
        frames_encoded: 115_272,
        frames_repeated: 3,
        ..Finished::default()
    }
}

fn fine() -> Facts {
    let clock = |name: &str, known| Clock { name: name.into(), known };
    Facts {
        finished: finished(),
        name: "Ana".into(),
        clocks: vec![
            clock("Ana", Known::Session),
            clock("Bob", Known::Within(0.21)),
            clock("Chloé Dubois-Martin", Known::Within(5.4)),
        ],
        warnings: vec![],
        tone: true,
    }
}

fn troubled() -> Facts {
    let mut facts = fine();
    facts.finished.frames_dropped = 2;
    facts.finished.parts = vec![
        FinishedPart::default(),
        FinishedPart {
            path: format!("{}/local_recording_2.mp4", facts.finished.folder),
            timecode: "21:40:12:07".into(),
            ..FinishedPart::default()
        },
    ];
    facts.clocks[1].known = Known::Within(48.0);
    facts.clocks[2].known = Known::No;
    facts.warnings = vec![
        "00:12:30 warning: little space is left in /home; free some".into(),
        "00:40:02 warning: the microphone is gone (unplugged); the call and the recording go on; \
         plug it in again and it is taken back; it was back at 00:40:09"
            .into(),
    ];
    facts
}

fn failed() -> Checked {
    Checked::Fails(vec!["lengths: picture 00:12:34:17, sound 00:12:40:02".into()])
}

fn drawn(facts: &Facts, checked: &Checked, width: u16, height: u16) -> TestBackend {
    let screen = Screen { palette: Palette::COLOURED, can_open: true, note: String::new() };
    let mut terminal =
        Terminal::new(TestBackend::new(width, height)).expect("a test terminal always opens");
    terminal.draw(|frame| draw(frame, facts, checked, &screen)).expect("and can be drawn on");
    terminal.backend().clone()
}

macro_rules! looks {
    ($($name:ident: $facts:expr, $checked:expr, $width:literal, $height:literal;)*) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), drawn(&$facts, &$checked, $width, $height));
        }
    )*};
}

looks! {
    after_60x18: fine(), Checked::Holds(12), 60, 18;
    after_80x24: fine(), Checked::Holds(12), 80, 24;
    after_120x40: fine(), Checked::Reading(45), 120, 40;
    after_200x60: fine(), Checked::Reading(100), 200, 60;
    after_trouble_60x18: troubled(), failed(), 60, 18;
    after_trouble_80x24: troubled(), failed(), 80, 24;
    after_trouble_120x40: troubled(), failed(), 120, 40;
    after_trouble_200x60: troubled(), failed(), 200, 60;
}

#[test]
fn any_size_can_be_drawn() {
    for (width, height) in [(1, 1), (3, 2), (10, 5), (20, 60), (300, 3), (250, 80)] {
        drawn(&troubled(), &failed(), width, height);
        drawn(&Facts::default(), &Checked::Not, width, height);
    }
}

#[test]
fn the_text_says_what_the_screen_does() {
    insta::assert_snapshot!(text(&troubled(), &failed()));
    let text = text(&fine(), &Checked::Holds(12));
    assert!(text.contains("everything holds (12 checks)"), "{text}");
    let alone = Facts { finished: finished(), ..Facts::default() };
    assert!(!super::text(&alone, &Checked::Not).contains("line up"));
}

#[test]
fn any_key_but_two_leaves() {
    let press = |code| action(KeyEvent::new(code, KeyModifiers::NONE), true);
    assert_eq!(press(KeyCode::Char('o')), Action::Open);
    assert_eq!(press(KeyCode::Char('c')), Action::Copy);
    for code in [KeyCode::Enter, KeyCode::Esc, KeyCode::Char('x'), KeyCode::F(1)] {
        assert_eq!(press(code), Action::Leave);
    }
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(action(ctrl_c, true), Action::Leave);
    let o = KeyEvent::new(KeyCode::Char('o'), KeyModifiers::NONE);
    assert_eq!(action(o, false), Action::Leave, "there is nothing to open it with");
}
