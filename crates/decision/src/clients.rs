//! How many different clients came in the last hour, roughly: a sketch of two kilobytes for each minute.
//!
//! HyperLogLog (Flajolet et al. 2007) with linear counting below; the error is about 2 %.

use std::net::IpAddr;

/// How many registers a sketch has.
const REGISTERS: usize = 2048;
/// How many of the hash's bits choose the register.
const REGISTER_BITS: u32 = REGISTERS.trailing_zeros();
/// How many minutes are counted.
const MINUTES: usize = 60;

/// Counts the different addresses of the last hour.
#[derive(Clone, Debug)]
pub struct Clients {
    minutes: Vec<Minute>,
    newest: i64,
}

#[derive(Clone, Debug)]
struct Minute {
    number: i64,
    registers: Box<[u8; REGISTERS]>,
}

impl Default for Clients {
    fn default() -> Self {
        Self { minutes: Vec::new(), newest: i64::MIN }
    }
}

impl Clients {
    /// Counts an address that came in a minute since 1970. One far in the past does not count.
    pub fn add(&mut self, address: IpAddr, minute: i64) {
        if minute <= self.newest.saturating_sub(MINUTES as i64) {
            return;
        }
        self.newest = self.newest.max(minute);
        let slot = minute.rem_euclid(MINUTES as i64) as usize;
        while self.minutes.len() <= slot {
            self.minutes.push(Minute { number: i64::MIN, registers: Box::new([0; REGISTERS]) });
        }
        let kept = &mut self.minutes[slot];
        if kept.number != minute {
            if minute < kept.number {
                return;
            }
            kept.number = minute;
            kept.registers.fill(0);
        }
        let hash = mixed(address);
        let register = &mut kept.registers[(hash >> (64 - REGISTER_BITS)) as usize];
        let rank = ((hash << REGISTER_BITS) | (1 << (REGISTER_BITS - 1))).leading_zeros() as u8 + 1;
        *register = (*register).max(rank);
    }

    /// Gives what [`Self::decode`] reads to `write`.
    pub fn encode(&self, write: &mut dyn FnMut(&[u8])) {
        let mut bytes = Vec::with_capacity(self.minutes.len() * (8 + REGISTERS));
        for kept in &self.minutes {
            bytes.extend_from_slice(&kept.number.to_le_bytes());
            bytes.extend_from_slice(&kept.registers[..]);
        }
        write(&bytes);
    }

    /// Reads what [`Self::encode`] wrote.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (chunks, rest) = bytes.as_chunks::<{ 8 + REGISTERS }>();
        if !rest.is_empty() || MINUTES < chunks.len() {
            return None;
        }
        let minute = |chunk: &[u8; 8 + REGISTERS]| {
            let (number, registers) = chunk.split_first_chunk::<8>()?;
            Some(Minute { number: i64::from_le_bytes(*number), registers: Box::new(registers.try_into().ok()?) })
        };
        let minutes: Vec<Minute> = chunks.iter().map(minute).collect::<Option<_>>()?;
        let newest = minutes.iter().map(|it| it.number).max().unwrap_or(i64::MIN);
        Some(Self { minutes, newest })
    }

    /// About how many different addresses came in the hour up to `minute`.
    #[must_use]
    pub fn estimate(&self, minute: i64) -> u64 {
        let mut united = [0_u8; REGISTERS];
        let oldest = minute.saturating_sub(MINUTES as i64);
        for kept in self.minutes.iter().filter(|it| oldest < it.number && it.number <= minute) {
            united.iter_mut().zip(kept.registers.iter()).for_each(|(all, one)| *all = (*all).max(*one));
        }
        let count = REGISTERS as f64;
        let empty = united.iter().filter(|it| **it == 0).count();
        let sum: f64 = united.iter().map(|it| 0.5_f64.powi(i32::from(*it))).sum();
        let raw = 0.7213 / (1.0 + 1.079 / count) * count * count / sum;
        let estimate = if raw <= 2.5 * count && empty != 0 { count * (count / empty as f64).ln() } else { raw };
        estimate.round() as u64
    }
}

/// Spreads the bits of an address over a number (the finaliser of `SplitMix64`). Who chooses addresses to fool it makes
/// the estimate smaller, and the brake harder.
fn mixed(address: IpAddr) -> u64 {
    let bits = match address {
        IpAddr::V4(it) => u128::from(it.to_bits()),
        IpAddr::V6(it) => it.to_bits(),
    };
    let mut hash = (bits as u64) ^ ((bits >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for factor in [0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb] {
        hash = (hash ^ (hash >> 30)).wrapping_mul(factor);
    }
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    fn encoded(clients: &Clients) -> Vec<u8> {
        let mut bytes = Vec::new();
        clients.encode(&mut |it| bytes.extend_from_slice(it));
        bytes
    }

    #[track_caller]
    fn check(different: u32, times: u32) {
        let mut clients = Clients::default();
        for number in 0..different * times {
            clients.add(address(0x0b00_0000 + number % different), i64::from(number % 60));
        }
        let estimate = clients.estimate(59) as f64;
        let error = (estimate - f64::from(different)).abs() / f64::from(different.max(1));
        assert!(error < 0.08, "{different}: {estimate}");
    }

    #[test]
    fn it_is_near_the_number_of_different_addresses() {
        check(1, 100);
        check(100, 7);
        check(3_000, 3);
        check(200_000, 1);
    }

    #[test]
    fn what_came_more_than_an_hour_ago_does_not_count() {
        let mut clients = Clients::default();
        (0..500).for_each(|it| clients.add(address(it), 0));
        assert!(450 < clients.estimate(59));
        assert_eq!(clients.estimate(60), 0);
        let again = Clients::decode(&encoded(&clients)).unwrap();
        assert_eq!(again.estimate(59), clients.estimate(59));
        assert!(Clients::decode(&encoded(&clients)[1..]).is_none());
        clients.add(address(1), 100);
        clients.add(address(2), 30);
        assert_eq!(clients.estimate(100), 1);
    }
}
