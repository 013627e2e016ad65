//! Chance, as something that shrinks.
//!
//! Owns how the bytes of one step become choices: less of them, and smaller ones, are simpler steps.

/// How many bytes a step has: more than any reads.
pub(crate) const LENGTH: usize = 80;

/// The bytes of one step.
pub(crate) type Genes = Vec<u8>;

/// Reads choices off the bytes; beyond their end every choice is the first.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(genes: &'a [u8]) -> Self {
        Self(genes)
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// One of `count`, each as likely.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        // Small bytes stay small choices.
        usize::from(self.byte()) * count.max(1) / 256
    }

    /// True in so many of 256 cases; simpler is false.
    pub(crate) fn chance(&mut self, of_256: u16) -> bool {
        u16::from(self.byte()) >= 256 - of_256
    }

    /// The first whose weight is not used up; weights add up to 256 at most.
    pub(crate) fn weighed<T: Copy>(&mut self, choices: &[(u16, T)]) -> T {
        let mut left = u16::from(self.byte());
        for (weight, choice) in choices {
            if left < *weight {
                return *choice;
            }
            left -= weight;
        }
        choices[0].1
    }

    /// One of these.
    pub(crate) fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }
}
