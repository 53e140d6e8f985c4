//! Generated events: equal for an equal seed, each with an id of its own, in the order of their arrival.

use serde_json::{Value, json};

use super::random::Random;
use super::sender::Sent;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// Where generated time begins: 2026-01-05, always in the past and never ahead.
pub(crate) const BASE_MS: i64 = 1_767_571_200_000;

/// Writes milliseconds since 1970 as RFC 3339 in UTC.
pub(crate) fn stamp(ms: i64) -> String {
    // Days since 0000-03-01, so that the leap day ends the year; 400 years have 146,097 days.
    let days = ms.div_euclid(DAY_MS) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    let (rest, milli) = (ms.rem_euclid(DAY_MS) / 1000, ms.rem_euclid(1000));
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", year + era * 400)
}

/// An access log.
pub(crate) fn access_log(id: &str, ms: i64, address: &str, status: u64, path: &str) -> Sent {
    let body = json!({"id": id, "timestamp": stamp(ms), "client_ip": address, "endpoint": path, "method": "GET",
                      "status_code": status, "source": "proof"});
    sent(id, address, &body)
}

/// A log event with a message.
pub(crate) fn message(id: &str, ms: i64, address: &str, text: &str) -> Sent {
    let body = json!({"id": id, "timestamp": stamp(ms), "ip": address, "source": "proof-app", "message": text});
    sent(id, address, &body)
}

/// A refused request with a long path that does not compress, about 1 KiB; `number` makes it and its id.
pub(crate) fn incompressible(number: usize) -> Sent {
    let mut random = Random(number as u64);
    let path: String = (0..900).map(|_| char::from(b'a' + (random.next() % 26) as u8)).collect();
    let ms = BASE_MS + number as i64 * 700;
    access_log(&format!("long-{number:06}"), ms, "198.19.77.7", 401, &format!("/{path}"))
}

fn sent(id: &str, address: &str, body: &Value) -> Sent {
    Sent { id: id.to_owned(), entity: address.to_owned(), body: body.to_string() }
}

/// An endless stream of one sender: addresses of its own, quiet ones and ones that try passwords, in the order of time.
#[derive(Debug)]
pub(crate) struct Stream {
    random: Random,
    lane: usize,
    number: usize,
    ms: i64,
    is_messages: bool,
}

impl Stream {
    /// The stream of a sender; of messages, or of access logs.
    pub(crate) const fn new(seed: u64, lane: usize, is_messages: bool) -> Self {
        Self { random: Random(seed ^ (lane as u64) << 32), lane, number: 0, ms: BASE_MS, is_messages }
    }

    /// The next event.
    pub(crate) fn next(&mut self) -> Sent {
        let random = &mut self.random;
        self.ms += random.between(50, 400).cast_signed();
        let is_attacker = random.one_in(4);
        let address = format!("198.19.{}.{}", 2 * self.lane + usize::from(is_attacker), random.between(1, 6));
        let id = format!("s{}-{:07}", self.lane, self.number);
        self.number += 1;
        if self.is_messages {
            let text = if is_attacker { "Failed login for admin" } else { "user logged in" };
            return message(&id, self.ms, &address, text);
        }
        let status = if is_attacker { 401 } else { 200 };
        access_log(&id, self.ms, &address, status, &format!("/page/{}", random.between(0, 40)))
    }
}

#[test]
fn a_stamp_is_the_date_that_everybody_knows() {
    assert_eq!(stamp(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(stamp(951_782_400_001), "2000-02-29T00:00:00.001Z");
    assert_eq!(stamp(BASE_MS + DAY_MS - 1), "2026-01-05T23:59:59.999Z");
    assert_eq!(stamp(4_102_444_799_000), "2099-12-31T23:59:59.000Z");
}
