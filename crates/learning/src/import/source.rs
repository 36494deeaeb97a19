//! The bytes of a file: unpacked if they are gzip, counted as they lie on the disk, and ended when nobody wants them.

use std::io::{self, BufReader, Chain, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

/// What gzip files begin with.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Bytes asked of a compressed file at once.
const PACKED_BYTES: usize = 64 * 1024;

/// Counts bytes, and says whether reading should go on.
pub(super) trait Meter {
    /// Called before every read with the bytes that came since.
    ///
    /// # Errors
    /// When reading should end.
    fn tick(&self, bytes: u64) -> io::Result<()>;
}

/// Counts without an end.
#[derive(Debug, Clone, Default)]
pub(super) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Meter for Counter {
    fn tick(&self, bytes: u64) -> io::Result<()> {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

/// The file as it lies there, its first bytes put back.
type Whole<R, M> = Chain<Cursor<Vec<u8>>, Metered<R, M>>;

/// A file's content.
pub(super) enum Source<R: Read, M: Meter> {
    /// As it lies there.
    Plain(Whole<R, M>),
    /// Unpacked; one or several gzip members.
    Gzip(Box<MultiGzDecoder<BufReader<Whole<R, M>>>>),
}

impl<R: Read> Source<R, Counter> {
    pub(super) fn unmetered(reader: R) -> io::Result<Self> {
        Self::open(reader, Counter::default())
    }
}

impl<R: Read, M: Meter> Source<R, M> {
    /// Looks at the first two bytes.
    pub(super) fn open(reader: R, meter: M) -> io::Result<Self> {
        let mut metered = Metered { reader, meter };
        let mut head = Vec::with_capacity(GZIP.len());
        metered.by_ref().take(GZIP.len() as u64).read_to_end(&mut head)?;
        let packed = head == GZIP;
        let whole = Cursor::new(head).chain(metered);
        Ok(if packed {
            Self::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(PACKED_BYTES, whole))))
        } else {
            Self::Plain(whole)
        })
    }
}

impl<R: Read, M: Meter> Read for Source<R, M> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Gzip(reader) => reader.read(buffer),
        }
    }
}

pub(super) struct Metered<R, M> {
    reader: R,
    meter: M,
}

impl<R: Read, M: Meter> Read for Metered<R, M> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.meter.tick(0)?;
        let count = self.reader.read(buffer)?;
        self.meter.tick(count as u64)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_unpacked_member_by_member_and_counted_packed() {
        let bytes = [packed("one,"), packed("two")].concat();
        let counter = Counter::default();

        let mut text = String::new();
        Source::open(bytes.as_slice(), counter.clone()).unwrap().read_to_string(&mut text).unwrap();

        assert_eq!(text, "one,two");
        assert_eq!(counter.get(), bytes.len() as u64);
    }

    #[test]
    fn files_shorter_than_the_magic_are_read_as_they_are() {
        for text in ["", "a", "ab"] {
            let mut read = String::new();
            Source::unmetered(text.as_bytes()).unwrap().read_to_string(&mut read).unwrap();
            assert_eq!(read, text);
        }
    }
}
