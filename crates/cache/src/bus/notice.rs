//! What a notice says, and its bytes.

use crate::remote::RemoteKey;
use crate::stamp::Severity;
use crate::tag::TagId;

use super::NodeId;

/// The layout's version: the first byte.
const VERSION: u8 = 1;

/// One thing that was invalidated. Never its value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// An entry.
    Key(RemoteKey),
    /// Everything that carries a tag.
    Tag(TagId),
    /// Everything that carries all of these tags.
    AllTags(Vec<TagId>),
}

/// What was invalidated, and by whom.
///
/// The layout, all numbers big-endian: version (1), sender (8), severity (0 hard, 1 soft), then each target:
/// kind (0 key, 1 tag, 2 all tags), for a key its length (4) and bytes, for a tag 16 bytes, for all tags
/// their number (1) and 16 bytes each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notice {
    /// Who sent it; a node has applied its own before sending them.
    pub sender: NodeId,
    /// Hard or soft.
    pub severity: Severity,
    /// What.
    pub targets: Vec<Target>,
}

impl Notice {
    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.sender.0.to_be_bytes());
        bytes.push(u8::from(self.severity == Severity::Soft));
        for target in &self.targets {
            match target {
                Target::Key(key) => {
                    bytes.push(0);
                    bytes.extend(u32::try_from(key.as_bytes().len()).unwrap_or(u32::MAX).to_be_bytes());
                    bytes.extend(key.as_bytes());
                }
                Target::Tag(tag) => {
                    bytes.push(1);
                    bytes.extend(tag.to_bytes());
                }
                Target::AllTags(tags) => {
                    bytes.push(2);
                    bytes.push(u8::try_from(tags.len()).unwrap_or(u8::MAX));
                    tags.iter().take(usize::from(u8::MAX)).for_each(|tag| bytes.extend(tag.to_bytes()));
                }
            }
        }
        bytes
    }

    /// Reads what [`Notice::encode`] wrote.
    ///
    /// # Errors
    /// [`NoticeError`] for another version or bytes that no notice has; a receiver treats it as a gap.
    pub fn decode(bytes: &[u8]) -> Result<Self, NoticeError> {
        let mut rest = Rest(bytes);
        match rest.byte()? {
            VERSION => {}
            other => return Err(NoticeError::Version(other)),
        }
        let sender = NodeId(u64::from_be_bytes(rest.array()?));
        let severity = match rest.byte()? {
            0 => Severity::Hard,
            1 => Severity::Soft,
            _ => return Err(NoticeError::Malformed),
        };
        let mut targets = Vec::new();
        while !rest.0.is_empty() {
            targets.push(match rest.byte()? {
                0 => {
                    let length = u32::from_be_bytes(rest.array()?) as usize;
                    Target::Key(RemoteKey::from_bytes(rest.take(length)?))
                }
                1 => Target::Tag(TagId::from_bytes(rest.array()?)),
                2 => {
                    let count = rest.byte()?;
                    let tags = (0..count).map(|_| Ok(TagId::from_bytes(rest.array()?)));
                    Target::AllTags(tags.collect::<Result<_, NoticeError>>()?)
                }
                _ => return Err(NoticeError::Malformed),
            });
        }
        Ok(Self { sender, severity, targets })
    }
}

/// Bytes that are no notice of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoticeError {
    /// Another version's layout.
    #[error("a notice of version {0}, this is version {VERSION}")]
    Version(u8),
    /// Cut short, or not a notice.
    #[error("not a notice")]
    Malformed,
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], NoticeError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(NoticeError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, NoticeError> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NoticeError> {
        self.take(N)?.try_into().map_err(|_| NoticeError::Malformed)
    }
}
