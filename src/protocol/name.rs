//! Names as others may show them. Pure text.

/// Most bytes of a display name.
pub const MAX_NAME: usize = 48;

/// A display name that is safe to show: no control or invisible formatting characters, single
/// spaces, at most [`MAX_NAME`] bytes, never empty.
pub fn sanitise_name(raw: &str) -> String {
    let mut name = String::new();
    for word in raw.split(|c: char| c.is_whitespace() || c.is_control()) {
        let start = name.len();
        for c in word.chars().filter(|&c| !is_invisible(c)) {
            let space = usize::from(start > 0 && name.len() == start);
            if name.len() + space + c.len_utf8() > MAX_NAME {
                return name;
            }
            if space == 1 {
                name.push(' ');
            }
            name.push(c);
        }
    }
    if name.is_empty() { "guest".to_owned() } else { name }
}

/// Characters that change or hide the text around them (Unicode 15, 23.2 and 23.8): direction
/// marks and overrides, zero-width characters, language tags, interlinear annotations.
fn is_invisible(c: char) -> bool {
    matches!(u32::from(c),
        0xAD | 0x061C | 0x180E | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F
        | 0xFEFF | 0xFFF9..=0xFFFB | 0xE0000..=0xE007F)
}
