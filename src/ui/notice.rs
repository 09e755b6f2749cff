//! Every warning and error that a running call or recording may tell, in one list ([`Notice`]): what
//! it says, why it comes about, what to do. `hyperzoom explain` prints it, `docs/messages.md` is it.

mod list;

pub use list::Notice;

use super::model::Event;

impl From<&Notice> for Event {
    fn from(notice: &Notice) -> Self {
        let Told { code, severity, what, remedy, .. } = notice.told();
        match severity {
            Severity::Information => Self::Warning { code, what, remedy, harmless: true },
            Severity::Warning => Self::Warning { code, what, remedy, harmless: false },
            Severity::Error => Self::Error { code, what, remedy },
        }
    }
}

impl From<Notice> for Event {
    fn from(notice: Notice) -> Self {
        (&notice).into()
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong: something is well again, or as it was the last time. An event `warning` that says
    /// so, because that is what scripts have been told of it from the start.
    Information,
    /// Something is wrong, or has changed by itself, and the program goes on as before.
    Warning,
    /// Something failed: a part of the recording, or the call.
    Error,
}

impl Severity {
    /// As events and the list name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Information => "information",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A notice in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its name for scripts and for `hyperzoom explain`: words with dashes, never changed.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What happened, one line.
    pub what: String,
    /// What to do, one line.
    pub remedy: String,
    /// Why such a thing happens, whole sentences.
    pub cause: &'static str,
}

/// Makes the enum, its words and an example of each from one table: an entry without words, or one
/// that the examples leave out, does not compile.
macro_rules! notices {
    ($(
        $(#[$doc:meta])*
        $severity:ident $name:ident
        $({ $( $(#[$field_doc:meta])* $field:ident : $type:ty = $example:expr ),* $(,)? })?
        $code:literal
        $what:literal
        $remedy:literal
        $cause:literal
    )*) => {
        /// Something that a person should learn of while the program runs.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Notice {
            $( $(#[$doc])* $name $({ $( $(#[$field_doc])* $field: $type ),* })? ),*
        }

        impl Notice {
            /// In words.
            pub fn told(&self) -> Told {
                match self {
                    $( Self::$name $({ $($field),* })? => Told {
                        code: $code,
                        severity: Severity::$severity,
                        what: format!($what),
                        remedy: format!($remedy),
                        cause: $cause,
                    } ),*
                }
            }

            /// One of each, in the order of the list.
            pub fn examples() -> Vec<Self> {
                vec![ $( Self::$name $({ $($field: $example),* })? ),* ]
            }
        }
    };
}
use notices;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notice_has_a_name_of_its_own_one_line_and_something_to_do() {
        let mut codes = std::collections::BTreeSet::new();
        for notice in Notice::examples() {
            let told = notice.told();
            assert!(codes.insert(told.code), "{} stands twice", told.code);
            let plain = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(told.code.chars().all(plain), "{}", told.code);
            for line in [&told.what, &told.remedy] {
                assert!(!line.is_empty() && !line.contains('\n'), "{}: {line}", told.code);
                assert!(!line.ends_with('.') && !line.contains("  "), "{}: {line}", told.code);
            }
            assert!(told.cause.ends_with('.') && told.cause.len() > 25, "{}", told.code);
            assert!(told.cause.starts_with(|c: char| c.is_uppercase()), "{}", told.code);
        }
        assert!(codes.len() > 40, "{}", codes.len());
    }
}
