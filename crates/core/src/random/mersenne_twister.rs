//! Matsumoto's and Nishimura's generator MT19937, seeded as torch seeds it.

/// Words of state.
const WORDS: usize = 624;

/// How far away the other word lies that a new one is made from.
const DISTANCE: usize = 397;

/// 32 random bits at a time.
#[derive(Debug, Clone)]
pub(super) struct MersenneTwister {
    state: [u32; WORDS],
    /// The next word to give out; past the end all are made anew.
    next: usize,
}

impl MersenneTwister {
    pub fn new(seed: u32) -> Self {
        let mut state = [seed; WORDS];
        for at in 1..WORDS {
            let before = state[at - 1];
            state[at] = (before ^ before >> 30).wrapping_mul(1_812_433_253).wrapping_add(at as u32);
        }
        Self { state, next: WORDS }
    }

    pub fn next(&mut self) -> u32 {
        if self.next == WORDS {
            self.renew();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= word << 7 & 0x9d2c_5680;
        word ^= word << 15 & 0xefc6_0000;
        word ^ word >> 18
    }

    fn renew(&mut self) {
        for at in 0..WORDS {
            let joined = self.state[at] & 0x8000_0000 | self.state[(at + 1) % WORDS] & 0x7fff_ffff;
            let twisted = joined >> 1 ^ if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[at] = self.state[(at + DISTANCE) % WORDS] ^ twisted;
        }
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The C++ standard names this value (`rand.predef`), which every library has to give.
    #[test]
    fn the_ten_thousandth_word_is_the_standards() {
        let mut bits = MersenneTwister::new(5489);
        assert_eq!((0..10_000).map(|_| bits.next()).last(), Some(4_123_659_995));
    }
}
