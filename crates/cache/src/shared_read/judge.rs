//! What tag records say of a value in the remote tier.

use crate::envelope::Header;
use crate::remote::StampRecord;
use crate::stamp::{Stamped, Standing};
use crate::tag::TagId;

/// What the tag records say of a value. A tag of the key that the value does not carry voids it: the code that
/// stored it knew fewer tags.
pub(super) fn judge(
    header: &Header,
    tags: &[TagId],
    records: &[Option<&StampRecord>],
    late: &[TagId],
    late_records: &[Option<StampRecord>],
) -> Standing {
    let carries = |tag: &TagId| header.stamps.iter().any(|stamped| stamped.tag == *tag);
    if !tags.iter().all(carries) {
        return Standing::Void;
    }
    let record_of = |tag: &TagId| match tags.binary_search(tag) {
        Ok(index) => *records.get(index)?,
        Err(_) => late_records.get(late.iter().position(|other| other == tag)?)?.as_ref(),
    };
    let older = |number: u64| header.born.is_none_or(|born| born < number);
    let standing_of = |stamped: &Stamped| {
        let Some(record) = record_of(&stamped.tag) else { return Standing::Void };
        if record.rules.iter().any(|rule| older(rule.number) && rule.others.iter().all(carries)) {
            return Standing::Void;
        }
        stamped.stamps.standing(record.stamps)
    };
    header.stamps.iter().map(standing_of).max().unwrap_or(Standing::Current)
}
