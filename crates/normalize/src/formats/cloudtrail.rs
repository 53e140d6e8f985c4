//! CloudTrail files: one object `{"Records":[...]}` over the whole file, or one record a line.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::formats::{Format, Read, joined};
use crate::forms::cloudtrail;
use crate::framing::Framing;
use crate::object::Object;
use crate::reading::Reading;
use crate::refusal::Refusal;

/// The format's line in the list.
pub(super) const FORMAT: Format = Format {
    name: "cloudtrail",
    about: "AWS CloudTrail, as the files in S3 or one record a line",
    framing: Framing::Document,
    detect,
    read,
};

static SIGN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("eventSource"));

fn detect(record: &[u8]) -> bool {
    SIGN.find(record).is_some()
}

fn read(record: &[u8], offset: u64, reading: &Reading<'_>, out: &mut Vec<u8>) -> Result<Read, Refusal> {
    let object = Object::parse(record)?;
    cloudtrail::read(object, offset, reading, out).map(|()| Read::Event).map_err(joined)
}
