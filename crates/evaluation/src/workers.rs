//! Who sends pictures through the models.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::Receiver;

use crate::model::Model;

/// Models, those of a worker in the order of the evaluation. Who works changes no bit.
pub enum Workers<'a> {
    /// The caller's thread sends one picture after the other through them; metrics are another thread's.
    Caller(&'a [&'a dyn Model]),
    /// As many threads as there are lists, each of which has a picture of its own, metrics and all.
    Threads(Vec<Vec<Box<dyn Model + Send + 'a>>>),
}

impl Workers<'_> {
    /// How many models each of them has.
    pub(crate) fn models(&self) -> usize {
        match self {
            Self::Caller(models) => models.len(),
            Self::Threads(lists) => lists.first().map_or(0, Vec::len),
        }
    }
}

impl fmt::Debug for Workers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller(_) => write!(f, "Caller"),
            Self::Threads(lists) => write!(f, "Threads({})", lists.len()),
        }
    }
}

/// What several threads send with its number, from 0 on, one number after the other.
pub(crate) struct InOrder<T> {
    sent: Receiver<(usize, T)>,
    ahead: BTreeMap<usize, T>,
    next: usize,
}

impl<T> InOrder<T> {
    pub fn new(sent: Receiver<(usize, T)>) -> Self {
        Self { sent, ahead: BTreeMap::new(), next: 0 }
    }
}

impl<T> Iterator for InOrder<T> {
    type Item = T;

    /// `None` where nobody can send it any more.
    fn next(&mut self) -> Option<T> {
        loop {
            if let Some(there) = self.ahead.remove(&self.next) {
                self.next += 1;
                return Some(there);
            }
            let (place, sent) = self.sent.recv().ok()?;
            self.ahead.insert(place, sent);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_comes_early_waits_for_its_turn() {
        let (send, sent) = channel();
        for place in [2, 0, 1, 4] {
            send.send((place, 10 * place)).unwrap();
        }
        drop(send);
        // 3 will not come.
        assert_eq!(InOrder::new(sent).collect::<Vec<_>>(), [0, 10, 20]);
    }
}
