//! Memory for pictures, used again once nobody looks at the last one in it: a new allocation of
//! some megabytes for each picture costs the kernel's zeros and as many page faults as it has pages.

use std::sync::Arc;

/// So many are kept, which is what is under way while everything keeps up; beyond that, under
/// pressure, each picture has its own.
const MOST: usize = 4;

/// Pictures that were handed out.
#[derive(Debug, Default)]
pub struct Pictures {
    kept: Vec<Arc<Vec<u8>>>,
}

impl Pictures {
    /// A picture that `write` has written; it finds something in the memory or nothing. `None` if
    /// it says that there is no picture.
    pub fn take(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<Arc<Vec<u8>>> {
        // Nobody else can come by a clone of what is only here.
        if let Some(kept) = self.kept.iter_mut().find(|kept| Arc::strong_count(kept) == 1) {
            write(Arc::get_mut(kept)?)?;
            return Some(kept.clone());
        }
        let mut bytes = Vec::new();
        write(&mut bytes)?;
        let picture = Arc::new(bytes);
        if self.kept.len() < MOST {
            self.kept.push(picture.clone());
        }
        Some(picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pictures: &mut Pictures, byte: u8) -> Arc<Vec<u8>> {
        let write = |bytes: &mut Vec<u8>| {
            bytes.clear();
            bytes.extend([byte; 3]);
            Some(())
        };
        pictures.take(write).expect("it was written")
    }

    #[test]
    fn memory_is_used_again_when_and_only_when_nobody_looks() {
        let mut pictures = Pictures::default();
        let first = of(&mut pictures, 1);
        let second = of(&mut pictures, 2);
        assert_eq!((&first[..], &second[..]), (&[1; 3][..], &[2; 3][..]));
        let at = first.as_ptr();
        drop(first);
        let third = of(&mut pictures, 3);
        assert_eq!(third.as_ptr(), at);
        assert_eq!((&second[..], &third[..]), (&[2; 3][..], &[3; 3][..]));
    }

    #[test]
    fn a_crowd_has_its_own_memory_and_leaves_little_behind() {
        let mut pictures = Pictures::default();
        let crowd: Vec<_> = (0..20).map(|n| of(&mut pictures, n)).collect();
        for (n, picture) in (0..).zip(&crowd) {
            assert_eq!(picture[..], [n; 3]);
        }
        drop(crowd);
        assert_eq!(pictures.kept.len(), MOST);
    }

    #[test]
    fn what_is_no_picture_leaves_the_memory_for_the_next() {
        let mut pictures = Pictures::default();
        drop(of(&mut pictures, 1));
        assert!(pictures.take(|_| None).is_none());
        assert_eq!(of(&mut pictures, 2)[..], [2; 3]);
        assert_eq!(pictures.kept.len(), 1);
    }
}
